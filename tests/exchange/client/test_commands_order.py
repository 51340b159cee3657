"""Orders as people place them, and the one line that says what happened."""

import json
from collections.abc import Callable

import pytest

from exchange.client.commands_order import told
from exchange.client.results import Order, Placed

People = Callable[..., int]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def trader(people: People, symbol: str, capsys: Captured) -> People:
    """Return `exchange` with a funded account."""
    assert people("account", "open") == 0
    assert people("instrument", "create", symbol) == 0
    assert people("account", "deposit", "USD", "10000") == 0
    assert people("account", "deposit", symbol, "100") == 0
    capsys.readouterr()
    return people


def test_one_line_says_where_an_order_is_safe(
    trader: People, symbol: str, capsys: Captured
) -> None:
    """Interfaces 4: durable where and at which LSN, visible on how many peers."""
    assert trader("order", "buy", symbol, "10", "9.50", "-o", "json") == 0
    shown = capsys.readouterr()

    order = json.loads(shown.out)
    assert (order["status"], order["price"], order["visible"]) == ("open", "9.5", 1)
    assert f"at LSN {order['lsn']}, visible on 1 peer\n" in shown.err


def test_order_is_amended_listed_and_canceled(
    trader: People, symbol: str, capsys: Captured
) -> None:
    """S9: quantity is the new total."""
    trader("order", "sell", symbol, "10", "12", "-o", "json")
    order_id = json.loads(capsys.readouterr().out)["order_id"]
    assert trader("order", "amend", order_id, "--quantity", "4") == 0
    capsys.readouterr()
    assert trader("order", "list", "-o", "csv") == 0
    listed = capsys.readouterr().out.splitlines()
    assert trader("order", "cancel", order_id, "-o", "json") == 0
    canceled = capsys.readouterr()

    assert len(listed) == 2
    assert listed[1].startswith(f"{order_id},{symbol},sell,12,4,0,4,")
    assert json.loads(canceled.out)["canceled_quantity"] == "4"
    assert f"4 {symbol} removed" in canceled.err


def test_one_order_is_shown_by_either_id(trader: People, symbol: str, capsys: Captured) -> None:
    """Interfaces 4."""
    trader("order", "buy", symbol, "2", "10", "--client-order-id", "mine", "-o", "json")
    placed = json.loads(capsys.readouterr().out)

    shown = []
    for name in ([placed["order_id"]], ["--client-order-id", "mine"]):
        assert trader("order", "show", *name, "-o", "json") == 0
        shown.append(json.loads(capsys.readouterr().out)["remaining_quantity"])
    assert shown == ["2", "2"]
    assert trader("order", "show") == 2


def test_trade_shows_in_fills(trader: People, symbol: str, capsys: Captured) -> None:
    """S13, and `--ioc` waits until nothing is in doubt."""
    trader("account", "open")
    trader("account", "deposit", "USD", "100")
    trader("order", "buy", symbol, "2", "10")
    capsys.readouterr()
    trader("order", "list", "-o", "jsonl")
    bought = json.loads(capsys.readouterr().out)
    trader("account", "open")
    trader("account", "deposit", symbol, "5")
    capsys.readouterr()

    assert trader("order", "sell", symbol, "5", "9", "--ioc", "-o", "json") == 0
    sold = json.loads(capsys.readouterr().out)
    assert trader("fills", "-o", "json") == 0
    (fill,) = json.loads(capsys.readouterr().out)

    assert bought["remaining_quantity"] == "2"
    assert (sold["status"], sold["filled_quantity"], sold["average_price"]) == (
        "canceled",
        "2",
        "10",
    )
    assert (fill["price"], fill["quantity"], fill["role"]) == ("10", "2", "taker")


def test_rejected_order_ends_with_1(trader: People, symbol: str, capsys: Captured) -> None:
    """S1: not covered."""
    assert trader("order", "buy", symbol, "1000000", "100") == 1
    assert "rejected: insufficient_funds" in capsys.readouterr().err


def test_self_trade_says_so(trader: People, symbol: str, capsys: Captured) -> None:
    """S10."""
    trader("order", "buy", symbol, "2", "10")
    trader("order", "sell", symbol, "2", "10", "--ioc")

    assert "canceled (self trade)" in capsys.readouterr().err


def test_all_orders_are_canceled(trader: People, symbol: str, capsys: Captured) -> None:
    """Interfaces 1: `order.cancel_all`."""
    trader("order", "buy", symbol, "2", "10", "--client-order-id", "mine")
    trader("order", "buy", symbol, "2", "11")
    assert trader("order", "cancel", "--client-order-id", "mine") == 0
    capsys.readouterr()

    assert trader("order", "cancel", "--all", "--symbol", symbol, "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == {"orders": 1}


def test_wrong_price_and_unknown_order_are_told(
    trader: People, symbol: str, capsys: Captured
) -> None:
    """M1: exactly or not at all."""
    assert trader("order", "buy", symbol, "1", "9.505") == 1
    assert trader("order", "cancel", "1-999999") == 1

    told_of = capsys.readouterr().err
    assert "0.01" in told_of
    assert "unknown_order" in told_of


def test_doubt_and_replay_are_told() -> None:
    """S4: unknown stays unknown; faults 2.15: nothing was done twice."""
    order = Order("1-7", "AAPL", "buy", "10", "5", "open", in_doubt_quantity="2")

    line = told(Placed(order, 9, -1, True), 1)

    assert "2 in doubt" in line
    assert line.endswith("at LSN 9; nothing was done, this id was used before")


@pytest.mark.parametrize(
    "words",
    [
        ("cancel", "--all", "--symbol", ""),
        ("cancel", "1-2", "--client-order-id", "x"),
        ("buy", "AAPL", "1", "5", "--client-order-id", ""),
    ],
)
def test_what_an_unset_variable_would_widen_is_refused(
    people: People, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """`--symbol "$UNSET"` must not cancel every order, nor an empty name lose a retry's safety."""
    assert people("order", *words) == 2
    assert "error: " in capsys.readouterr().err
