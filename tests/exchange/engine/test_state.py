"""What is derived is rebuilt; what nobody will write to a disk is forgotten."""

from exchange.domain.orders import Side
from exchange.domain.units import NodeId
from exchange.engine.table import Table
from tests.support.engines import Engines, redo


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


def test_a_state_that_gets_no_checkpoint_forgets_what_changed() -> None:
    """W5: those who only fold a log would gather the keys of all of it."""
    engines = Engines(2)
    engines.sell(2, 1000, 3)
    state = redo(2, engines.machines[2].log)
    before = dict(state.accounts)
    assert state.accounts.dirty

    state.mark_clean()

    assert not any(table.dirty for table in state.tables().values() if isinstance(table, Table))
    assert (state.touched, state.accounts) == ({}, before)
