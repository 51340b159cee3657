"""Apply keeps the double entry.  Docstrings cite the rule."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.orders import Reason, SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    AccountId,
    Asset,
    Lots,
    Micros,
    OrderId,
    Symbol,
    Ticks,
    Units,
    make_id,
)
from exchange.engine import inputs
from exchange.engine.apply import _APPLY, apply
from exchange.engine.ledger import hold_needed
from exchange.engine.records import (
    AccountOpened,
    OrderCanceled,
    OrderRejected,
    Record,
    Transferred,
)
from tests.support.engines import Engines, redo

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "ioc", "cancel", "amend"]),
        st.integers(1, 2),
        st.integers(995, 1005),
        st.integers(1, 9),
    ),
    max_size=25,
)


def test_every_record_has_its_handler() -> None:
    """E2: what can be logged can be redone."""
    assert set(_APPLY) == set(get_args(Record))


@given(ACTIONS, st.randoms(use_true_random=False))
def test_sums_stay_zero_and_both_halves_mirror(
    actions: list[tuple[str, int, int, int]], random: object
) -> None:
    """S13, M3: double entry per node, clearing mirrored per pair, whatever is asked."""
    engines = Engines(2)
    for kind, node, price, quantity in actions:
        account, tif = engines.account(node), TimeInForce.GTC
        live = sorted(engines.state(node).orders)
        match kind:
            case "buy" | "sell" | "ioc":
                side = Side.SELL if kind == "sell" else Side.BUY
                tif = TimeInForce.IOC if kind == "ioc" else tif
                item = engines.place(node, side, price, quantity, time_in_force=tif)
                engines.step(node, item)
            case "cancel" if live:
                engines.step(node, inputs.CancelOrder(0, account, live[price % len(live)]))
            case "amend" if live:
                order_id = live[price % len(live)]
                amend = inputs.AmendOrder(0, account, order_id, Ticks(price), Lots(quantity))
                engines.step(node, amend)
        if quantity % 2:
            engines.settle()
    engines.settle()

    engines.check_quiet()
    for node in (1, 2):
        live_state = engines.state(node)
        redone = redo(node, engines.machines[node].log)
        assert dict(redone.orders) == dict(live_state.orders)
        assert dict(redone.accounts) == dict(live_state.accounts)


def test_hold_covers_what_is_open_and_what_is_offered() -> None:
    """S1: limit price x open + the sum over offers out of max(offered limit, price) x quantity."""
    engines = Engines(2)
    engines.sell(2, 1000, 3)
    engines.step(1, engines.place(1, Side.BUY, 1010, 8))
    (order,) = engines.state(1).orders.values()
    assert order.held == 1010 * 5 + 1010 * 3

    amend = inputs.AmendOrder(0, engines.account(1), order.order_id, Ticks(990), None)
    engines.step(1, amend)
    assert order.held == 990 * 5 + 1010 * 3 == hold_needed(engines.state(1), order)
    engines.settle()
    engines.check_quiet()


def test_going_below_zero_is_our_bug() -> None:
    """Asserts stay on: a record that takes what is not there stops the node."""
    engines = Engines(1, linked=False)
    record = Transferred(engines.account(1), Asset("USD"), Units(-2_000_000), Micros(0))

    with pytest.raises(AssertionError, match="below zero"):
        apply(engines.state(1), record)


def test_record_of_an_unknown_account_is_our_bug() -> None:
    """W4: redo never skips and never invents."""
    engines = Engines(1, linked=False)
    record = Transferred(AccountId(make_id(1, 99)), Asset("USD"), Units(1), Micros(0))

    with pytest.raises(AssertionError, match="not there"):
        apply(engines.state(1), record)
    with pytest.raises(KeyError):
        apply(engines.state(1), OrderCanceled(OrderId(5), "", Micros(0)))  # type: ignore[arg-type]


def test_numbers_given_out_never_fall_behind() -> None:
    """E2, C1: a log made whole again may have them in another order; none is given out twice."""
    state = redo(1, [])
    for number in (7, 3):
        order_id = OrderId(make_id(1, number))
        apply(state, AccountOpened(AccountId(make_id(1, number)), b"", Micros(0)))
        apply(state, rejected(order_id, AccountId(make_id(1, number))))

    assert (state.scalars.number, state.scalars.account_number) == (7, 7)


def rejected(order_id: OrderId, account: AccountId) -> OrderRejected:
    return OrderRejected(
        order_id,
        account,
        Symbol("AAPL"),
        Side.BUY,
        TimeInForce.GTC,
        SelfTrade.CANCEL_NEWEST,
        Ticks(1),
        Lots(1),
        "",
        Reason.INSUFFICIENT_FUNDS,
        Micros(0),
    )
