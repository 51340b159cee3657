"""What is derived is rebuilt; what nobody will write to a disk is forgotten."""

import msgspec
import pytest

from exchange.domain.orders import Side
from exchange.domain.units import Lots, NodeId, Ticks
from exchange.engine import inputs
from exchange.engine.effects import OrderAnswer
from exchange.engine.ledger import check_state
from exchange.engine.table import Table
from exchange.wire.values import OrderWriter
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


def sums(engines: Engines) -> list[tuple[int, int]]:
    """Return price and sum of what each order of node 1 has offered."""
    return [(entry.price, entry.value) for entry in engines.state(1).offers_by_taker.values()]


def test_the_sum_of_an_orders_offers_follows_offers_answers_and_amendments() -> None:
    """S1: the hold is derived from sums that are kept; `check_state` adds all offers up."""
    engines = Engines(2)
    engines.sell(2, 1000, 3)
    engines.sell(2, 1005, 2)
    item = engines.place(1, Side.BUY, 1010, 8)
    engines.step(1, item)
    order_id = next(iter(engines.state(1).orders))

    assert sums(engines) == [(1010, 5 * 1010)]

    amend = inputs.AmendOrder(0, engines.account(1), order_id, Ticks(1020), Lots(9))
    engines.step(1, amend)

    assert sums(engines) == [(1020, 5 * 1020)]
    assert redo(1, engines.machines[1].log).offers_by_taker == engines.state(1).offers_by_taker

    engines.step(1, msgspec.structs.replace(amend, price=Ticks(990)))

    assert sums(engines) == [(990, 5 * 1010)]

    engines.settle()

    assert sums(engines) == []
    engines.check_quiet()


def test_nothing_is_filled_beyond_what_was_allowed_and_nothing_negative_remains() -> None:
    """S9: amended below what is in doubt, which is accepted all the same: filled <= that."""
    engines = Engines(2)
    engines.sell(2, 1000, 6)
    engines.step(1, engines.place(1, Side.BUY, 1000, 10))
    order_id = next(iter(engines.state(1).orders))
    engines.step(1, inputs.AmendOrder(0, engines.account(1), order_id, Ticks(1000), Lots(3)))

    assert engines.state(1).overdrawn == {order_id: 6}
    assert redo(1, engines.machines[1].log).overdrawn == {order_id: 6}

    engines.settle()
    answer = engines.ask(1, inputs.OrderQuery(engines.account(1), order_id))

    assert isinstance(answer, OrderAnswer)
    assert (answer.total, answer.filled, engines.state(1).overdrawn) == (3, 6, {})
    assert '"remaining_quantity":"0"' in OrderWriter().order(answer)


def test_a_fill_beyond_what_was_allowed_is_noticed() -> None:
    """S9: the assertion can fail."""
    engines = Engines(1)
    order_id = engines.sell(1, 1000, 6)
    order = engines.state(1).orders[order_id]
    order.filled, order.offered = Lots(6), Lots(1)

    with pytest.raises(AssertionError, match="more is filled"):
        check_state(engines.state(1))
