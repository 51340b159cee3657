"""What the naive book has beside the suite it shares with the fast one in `test_markets.py`."""

import pytest

from exchange.domain.naive_book import NaiveBook
from exchange.domain.orders import Side
from exchange.domain.units import AccountId, Lots, OrderId, Stamp, Ticks

ANN, BOB = AccountId(1), AccountId(2)


def a_book() -> NaiveBook:
    book = NaiveBook()
    book.add(OrderId(1), Side.BUY, Ticks(1049), Lots(10), ANN)
    book.add(OrderId(2), Side.BUY, Ticks(1050), Lots(5), ANN)
    book.add(OrderId(3), Side.SELL, Ticks(1051), Lots(7), BOB)
    return book


def test_open_quantity_is_what_rests() -> None:
    """S9."""
    book = a_book()
    book.take(Side.SELL, Ticks(1049), Lots(6), BOB)

    assert [book.open_quantity(OrderId(number)) for number in (1, 2, 3, 4)] == [9, 0, 7, 0]


def test_order_without_a_stamp_is_the_youngest() -> None:
    """S2."""
    book = NaiveBook()
    book.add(OrderId(1), Side.BUY, Ticks(1050), Lots(1), ANN, Stamp(50))
    book.add(OrderId(2), Side.BUY, Ticks(1050), Lots(1), ANN)
    book.add(OrderId(3), Side.BUY, Ticks(1050), Lots(1), ANN, Stamp(7))

    assert book.orders(Side.BUY) == [3, 1, 2]


def test_order_id_is_used_once() -> None:
    """Faults 2.7: duplicate ids."""
    with pytest.raises(AssertionError, match="order id in use"):
        a_book().add(OrderId(1), Side.BUY, Ticks(1049), Lots(10), ANN)


def test_check_finds_a_crossed_book() -> None:
    """At rest no bid reaches an ask."""
    book = a_book()
    book._sides[Side.SELL][0].price = Ticks(1050)

    with pytest.raises(AssertionError, match="book is crossed"):
        book.check()
