"""Status, replay and demo as commands."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

People = Callable[..., int]
Captured = pytest.CaptureFixture[str]


def test_status_shows_every_node(people: People, capsys: Captured) -> None:
    """Interfaces 1: quiescence is read from here."""
    assert people("status", "-o", "json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert people("status", "-o", "csv") == 0
    rows = capsys.readouterr().out.splitlines()

    assert [node["node_id"] for node in shown["nodes"]] == [1, 2]
    assert shown["unreachable"] == {}
    assert [row.split(",")[2] for row in rows[1:]] == ["ready", "ready"]


def test_replay_reports_and_ends_with_0(
    people: People, symbol: str, tmp_path: Path, capsys: Captured
) -> None:
    """Issue item 8: fills equal to the naive book's on every line, conservation exact."""
    whole = Path(__file__).parents[3] / "bench" / "data" / "aapl.csv.gz"
    path = tmp_path / "aapl.csv"
    with gzip.open(whole) as file:
        path.write_bytes(b"".join(file.readlines()[:300]))

    assert people("replay", path, "--symbol", symbol, "--accounts", "4", "-o", "json") == 0

    shown = capsys.readouterr()
    report = json.loads(shown.out)
    assert report["trade_lines"] == report["trade_lines_equal"] > 10
    assert report["is_naive_equal"]
    assert report["is_books_equal"]
    assert report["is_conserved"]
    assert "everything is as it must be" in shown.err


def test_second_replay_over_the_same_book_is_compared_again(
    people: People, symbol: str, tmp_path: Path, capsys: Captured
) -> None:
    """A replay leaves no order behind, so that the next one has an empty book."""
    path = tmp_path / "small.csv"
    path.write_text("ts_ns,kind,side,price,quantity,order_id\n1,add,buy,10.01,5,a\n")

    for _ in range(2):
        assert people("replay", path, "--symbol", symbol, "--accounts", "3") == 0
        assert "everything is as it must be" in capsys.readouterr().err


def test_replay_over_orders_of_others_is_refused(
    people: People, symbol: str, tmp_path: Path, capsys: Captured
) -> None:
    """Fills could not be compared; the error says what to do."""
    path = tmp_path / "small.csv"
    path.write_text("ts_ns,kind,side,price,quantity,order_id\n1,add,buy,10.01,5,a\n")
    assert people("replay", path, "--symbol", symbol, "--accounts", "3") == 0
    assert people("account", "open") == 0
    assert people("account", "deposit", "USD", "1000") == 0
    assert people("order", "buy", symbol, "1", "10.01") == 0

    assert people("replay", path, "--symbol", symbol, "--accounts", "3") == 2
    assert "open orders of others" in capsys.readouterr().err


def test_number_after_generate_is_answered_with_the_right_option(
    people: People, capsys: Captured
) -> None:
    """Interfaces 4: suggestions."""
    assert people("replay", "--generate", "500") == 2
    assert "--generate --orders 500" in capsys.readouterr().err
