"""Book and tape as they change, for people and for programs."""

import json
from collections.abc import Callable

import pytest

People = Callable[..., int]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def traded(people: People, symbol: str, capsys: Captured) -> str:
    """Return an instrument with one trade, and 1 left to buy at 10."""
    people("account", "open")
    people("instrument", "create", symbol)
    people("account", "deposit", "USD", "1000")
    people("account", "deposit", symbol, "5")
    people("order", "buy", symbol, "3", "10")
    people("account", "open")
    people("account", "deposit", symbol, "5")
    people("order", "sell", symbol, "2", "10", "--wait")
    capsys.readouterr()
    return symbol


def test_events_are_printed_where_nobody_looks(
    people: People, traded: str, capsys: Captured
) -> None:
    """Interfaces 4: piped and without `-o`, watch prints lines of JSON."""
    assert people("watch", traded, "--limit", "1") == 0

    event = json.loads(capsys.readouterr().out)
    assert (event["channel"], event["kind"]) == ("book", "snapshot")
    assert event["bids"] == [["10", "1", 1]]


def test_events_are_rows(people: People, traded: str, capsys: Captured) -> None:
    """Interfaces 4: every verb with csv."""
    assert people("watch", traded, "--limit", "1", "-o", "csv") == 0

    header, row = capsys.readouterr().out.splitlines()
    assert header == "ts,event,node,seq,side,price,quantity,orders,trade_id"
    assert ",bid,10,1,1," in row


def test_a_picture_shows_book_and_tape(people: People, traded: str, capsys: Captured) -> None:
    """Issue 5, item 6: a live book and tape."""
    assert people("watch", traded, "--limit", "1", "-o", "table", "--node", "2") == 0

    shown = capsys.readouterr().out
    assert f"{traded} on node 2" in shown
    assert "bid" in shown
    assert "sell" in shown


def test_what_is_not_there_is_not_watched(people: People, capsys: Captured) -> None:
    """Interfaces 4: an error instead of an endless wait."""
    assert people("watch", "NOSUCH") == 1
    assert people("book", "NOSUCH", "--node", "7") == 2
    assert "there is no node 7" in capsys.readouterr().err
