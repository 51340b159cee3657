"""What is derived from an order: its open quantity and its status (S9)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.orders import Order, SelfTrade, Side, Status, TimeInForce, status_of
from exchange.domain.units import AccountId, Lots, Micros, OrderId, Stamp, Symbol, Ticks


def an_order(
    *,
    quantity: int = 10,
    total: int = 10,
    filled: int = 0,
    offered: int = 0,
    canceled: bool = False,
) -> Order:
    return Order(
        OrderId(1),
        AccountId(1),
        Symbol("AAPL"),
        Side.BUY,
        TimeInForce.GTC,
        SelfTrade.CANCEL_NEWEST,
        Ticks(1050),
        Lots(quantity),
        Lots(total),
        Stamp(1),
        Micros(0),
        Micros(0),
        filled=Lots(filled),
        offered=Lots(offered),
        canceled=canceled,
    )


def test_sides_oppose_each_other() -> None:
    """Faults 2.7: there are two sides, and no third."""
    assert Side.BUY.opposite is Side.SELL
    assert Side.SELL.opposite is Side.BUY


def test_open_is_what_is_neither_filled_nor_offered() -> None:
    """S9."""
    assert an_order(filled=3, offered=4).open == 3


def test_canceled_order_has_nothing_open_while_it_is_in_doubt() -> None:
    """S9: offers out keep their terms."""
    order = an_order(offered=4, canceled=True)

    assert order.open == 0
    assert not order.is_done


def test_open_is_never_below_zero_when_the_total_shrinks_below_what_is_in_doubt() -> None:
    """S9: final filled <= max(new total, filled + in doubt)."""
    assert an_order(quantity=5, total=5, filled=3, offered=4).open == 0


@pytest.mark.parametrize(
    ("order", "status", "is_done"),
    [
        (an_order(), Status.OPEN, False),
        (an_order(offered=10), Status.OPEN, False),
        (an_order(filled=4), Status.PARTIALLY_FILLED, False),
        (an_order(filled=4, offered=6), Status.PARTIALLY_FILLED, False),
        (an_order(filled=10), Status.FILLED, True),
        (an_order(canceled=True), Status.CANCELED, True),
        (an_order(filled=4, canceled=True), Status.CANCELED, True),
        (an_order(filled=4, offered=2, canceled=True), Status.CANCELED, False),
        (an_order(filled=4, total=4), Status.CANCELED, True),  # an IOC's remainder is gone
        (an_order(filled=4, total=4, quantity=4), Status.FILLED, True),  # amended to what it got
        (an_order(total=0), Status.CANCELED, True),
    ],
)
def test_status_follows_from_the_quantities(order: Order, status: Status, *, is_done: bool) -> None:
    """S9: the table at the head of the module."""
    assert order.status is status
    assert order.is_done is is_done


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_finished_order_never_looks_open(
    quantity: int, total: int, filled: int, offered: int, canceled: bool
) -> None:
    """S9: done means that nothing is open and that the status is final."""
    order = an_order(
        quantity=quantity,
        total=min(quantity, total),
        filled=min(quantity, filled),
        offered=offered,
        canceled=canceled,
    )
    final = order.status in {Status.FILLED, Status.CANCELED}

    assert not (order.is_done and order.open)
    assert final or not order.is_done
    assert order.status is status_of(
        order.quantity, order.total, order.filled, order.offered, order.canceled
    )
