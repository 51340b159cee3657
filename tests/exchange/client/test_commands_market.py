"""The market as people see it."""

import json
from collections.abc import Callable

import pytest

from exchange.client.commands_market import book_rows
from exchange.client.results import Book

People = Callable[..., int]
Captured = pytest.CaptureFixture[str]


def test_instrument_is_listed_and_found(people: People, symbol: str, capsys: Captured) -> None:
    """M2."""
    assert people("instrument", "create", symbol, "--tick-size", "0.25", "-o", "json") == 0
    created = json.loads(capsys.readouterr().out)
    assert people("instrument", "list", "-o", "jsonl") == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert created["tick_size"] == "0.25"
    assert created in listed


def test_listing_that_cannot_be_is_refused(people: People, capsys: Captured) -> None:
    """M2: tick x lot is a whole number of quote units."""
    assert people("instrument", "create", "TINY", "--tick-size", "0.001") == 1
    assert people("instrument", "create", "not a symbol") == 1


def test_book_shows_what_rests(people: People, symbol: str, capsys: Captured) -> None:
    """Interfaces 1: every level, best first."""
    people("account", "open")
    people("instrument", "create", symbol)
    people("account", "deposit", "USD", "1000")
    people("order", "buy", symbol, "3", "10")
    people("order", "buy", symbol, "2", "11")
    capsys.readouterr()

    assert people("book", symbol, "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["bids"] == [["11", "2", 1], ["10", "3", 1]]
    assert people("book", symbol, "-o", "csv", "--node", "2", "--depth", "1") == 0
    assert capsys.readouterr().out == "side,price,quantity,orders\nbid,11,2,1\n"
    assert people("trades", symbol, "-o", "csv") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_unknown_symbol_is_answered_by_the_nearest(
    people: People, symbol: str, capsys: Captured
) -> None:
    """Interfaces 4: suggestions on typos."""
    people("instrument", "create", f"{symbol}ABLE")

    assert people("book", f"{symbol}ABEL") == 1
    assert f"did you mean {symbol}ABLE" in capsys.readouterr().err


def test_rows_of_a_book_go_from_high_to_low() -> None:
    """People read a book with the best prices next to each other."""
    book = Book("X", 1, [("10", "1", 1), ("9", "1", 1)], [("11", "1", 1), ("12", "1", 1)])

    assert [row["price"] for row in book_rows(book)] == ["12", "11", "10", "9"]
