"""Tables know what changed, and read through to the store."""

from exchange.domain.orders import Side
from exchange.domain.units import NodeId
from exchange.engine.state import Table
from tests.support.engines import Engines, redo


def a_table() -> Table[int, str]:
    table: Table[int, str] = Table()
    table.load = {1: "stored", 2: "stored too"}.get
    return table


def test_find_reads_through_and_keeps_what_it_found() -> None:
    """E7."""
    table = a_table()

    assert table.find(1) == "stored"
    assert table[1] == "stored"
    assert table.find(9) is None


def test_deleted_entry_does_not_come_back_from_the_store() -> None:
    """E7, W5: until the checkpoint says so on disk, memory says it."""
    table = a_table()
    table.drop(1)

    assert table.find(1) is None
    assert table.dirty == {1}


def test_changed_entries_are_dirty_and_read_ones_are_not() -> None:
    """W5: a checkpoint writes dirty entries only."""
    table = a_table()
    table.find(2)
    table.put(3, "new")

    assert table.dirty == {3}


def test_derived_state_is_rebuilt_from_the_tables() -> None:
    """E2: nothing that matters is only derived."""
    engines = Engines(2)
    engines.sell(2, 1000, 3)
    engines.step(1, engines.place(1, Side.BUY, 1010, 8))
    live, redone = engines.state(1), redo(1, engines.machines[1].log)

    assert redone.open_by_account == live.open_by_account
    assert redone.offers_by_taker == live.offers_by_taker
    assert redone.offers_to[NodeId(2)] == live.offers_to[NodeId(2)]
    assert redone.offered_against == live.offered_against
    assert redone.decimals == live.decimals
