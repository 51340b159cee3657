"""The naive book serves best price first, oldest first; holds are what the rules say (S1, S9)."""

from typing import Any

import pytest

from recovery.audit.market import BUY, IOC, SELL, Half, Instrument, Order

ACME = ["ACME", "ACME", "USD", "0.01", "1", 0, 2]


def an_order(
    number: int, *, side: int = SELL, price: int = 100, quantity: int = 10, tif: int = 1
) -> Order:
    first = (0, 0, 0, 0, "")
    record: list[Any] = [6, number, 1, "ACME", side, tif, 1, price, quantity, number, "", first, 0]
    return Order(record, Instrument(ACME))


@pytest.mark.parametrize(
    ("row", "tick_value", "lot_value"),
    [
        (ACME, 1, 1),
        (["ES", "ES", "USD", "0.25", "1", 0, 2], 25, 1),
        (["BTC", "BTC", "USD", "0.5", "0.01", 8, 4], 50, 1_000_000),
    ],
)
def test_a_tick_and_a_lot_are_worth_whole_units(
    row: list[Any], tick_value: int, lot_value: int
) -> None:
    """M2."""
    instrument = Instrument(row)

    assert (instrument.tick_value, instrument.lot_value) == (tick_value, lot_value)


def test_a_listing_that_is_not_whole_is_refused() -> None:
    """M2."""
    with pytest.raises(ValueError, match="whole"):
        Instrument(["X", "X", "USD", "0.001", "1", 0, 2])


@pytest.mark.parametrize("side", [BUY, SELL])
def test_the_best_price_comes_first_then_the_oldest(side: int) -> None:
    """Price-time priority; faults 2.11: tests hold two bids."""
    half = Half(side)
    worse = 90 if side == BUY else 110
    for order in (an_order(1, side=side, price=worse), an_order(2, side=side)):
        half.add(order)
    youngest = an_order(3, side=side)
    half.add(youngest)

    assert [order.order_id for order in half.orders()] == [2, 3, 1]
    first = half.first(before=99)
    assert first is not None
    assert first.order_id == 2
    first.offered = 10
    assert half.first(before=99) is youngest
    assert half.first(before=3) is not youngest
    half.remove(youngest)
    half.remove(first)
    assert [order.order_id for order in half.orders()] == [1]


def test_an_immediate_order_never_rests() -> None:
    """S2."""
    half = Half(SELL)
    order = an_order(1, tif=IOC)
    half.add(order)

    assert half.first(before=99) is None
    half.remove(order)


def test_a_hold_covers_what_is_open_and_offers_at_the_worst_price() -> None:
    """S1."""
    buyer, seller = an_order(1, side=BUY, price=100), an_order(2)
    assert (buyer.hold(), seller.hold()) == (1_000, 10)
    buyer.offers = {(2, 1, 1): (4, 105)}
    buyer.offered = 4

    assert buyer.hold() == 6 * 100 + 4 * 105
    buyer.canceled = True
    assert buyer.open == 0
    assert buyer.hold() == 4 * 105
    assert not buyer.is_done


def test_an_amendment_below_what_is_in_doubt_leaves_nothing_open() -> None:
    """S9: open is never below zero."""
    order = an_order(1)
    order.offered = 8
    order.total = 5

    assert order.open == 0
