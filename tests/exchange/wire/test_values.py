"""The values of the richer answers (interfaces section 2)."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.book import OrderEvent
from exchange.domain.orders import Fill, Side, Status, TimeInForce, Trade, Transfer
from exchange.domain.units import (
    AccountId,
    Asset,
    Epoch,
    Lots,
    Lsn,
    Micros,
    NodeId,
    OrderId,
    Seq,
    Stamp,
    Symbol,
    Ticks,
    TradeId,
    Units,
    make_id,
)
from exchange.engine import effects
from exchange.engine.effects import OrderAnswer
from exchange.wire import values
from tests.exchange.wire.shop import AAPL, ORDER, PAIR

OPEN = {
    "order_id": "3-9",
    "client_order_id": "mine",
    "symbol": "AAPL",
    "side": "buy",
    "type": "limit",
    "time_in_force": "gtc",
    "self_trade_prevention": "cancel_newest",
    "price": "10.5",
    "quantity": "100",
    "filled_quantity": "0",
    "remaining_quantity": "100",
    "average_price": None,
    "status": "open",
    "reason": None,
    "in_doubt_quantity": "0",
    "ts": "2023-11-14T22:13:20.123456Z",
}


def shown(order: OrderAnswer) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(values.OrderWriter().order(order))
    return value


def changed(**changes: object) -> OrderAnswer:
    return msgspec.structs.replace(ORDER, **changes)


def test_order_is_written_with_the_names_of_the_document() -> None:
    """Interfaces section 2."""
    assert shown(ORDER) == OPEN


@pytest.mark.parametrize(
    ("order", "members"),
    [
        (
            changed(filled=30, cost=30 * 1050, in_doubt=20, status=Status.PARTIALLY_FILLED),
            {
                "filled_quantity": "30",
                "remaining_quantity": "70",
                "average_price": "10.5",
                "in_doubt_quantity": "20",
                "status": "partially_filled",
            },
        ),
        (
            changed(filled=100, cost=100 * 1050 - 100, status=Status.FILLED),
            {
                "filled_quantity": "100",
                "remaining_quantity": "0",
                "average_price": "10.49",
                "status": "filled",
            },
        ),
        (
            changed(
                time_in_force=TimeInForce.IOC, total=0, status=Status.CANCELED, reason="because"
            ),
            {
                "time_in_force": "ioc",
                "remaining_quantity": "0",
                "status": "canceled",
                "reason": "because",
            },
        ),
        (
            changed(in_doubt=20, status=Status.CANCELED),
            {"remaining_quantity": "20", "in_doubt_quantity": "20", "status": "canceled"},
        ),
        (
            changed(status=Status.REJECTED, reason="insufficient_funds"),
            {"remaining_quantity": "0", "status": "rejected", "reason": "insufficient_funds"},
        ),
        (
            changed(instrument=PAIR, side=Side.SELL, price=6000, client_order_id=""),
            {
                "symbol": "BTC-USD",
                "side": "sell",
                "price": "60000",
                "quantity": "0.1",
                "remaining_quantity": "0.1",
                "client_order_id": None,
            },
        ),
    ],
)
def test_order_says_what_became_of_it(order: OrderAnswer, members: dict[str, object]) -> None:
    """S9: remaining is what may still be filled; after a cancel that is what is in doubt."""
    assert shown(order) == OPEN | members


@given(st.text(min_size=1, max_size=64))
def test_client_order_id_cannot_break_the_line(name: str) -> None:
    """Faults 3: whatever a client calls its order."""
    value = values.OrderWriter().order(changed(client_order_id=name))

    assert json.loads(value)["client_order_id"] == name
    assert "\n" not in value


def test_instruments_do_not_share_what_is_remembered() -> None:
    writer = values.OrderWriter()

    first, other = writer.order(ORDER), writer.order(changed(instrument=PAIR))

    assert json.loads(first)["price"] == "10.5"
    assert json.loads(other)["price"] == "10500"
    assert writer.order(ORDER) == first


def test_canceled_order_says_what_was_removed() -> None:
    """S9: the answer says exactly what was removed and what is still in doubt."""
    order = changed(in_doubt=20, status=Status.CANCELED)

    value = json.loads(
        values.OrderWriter().canceled(effects.CancelAnswer(order, Lots(80), Lots(20)))
    )
    assert value["canceled_quantity"] == "80"
    assert value["in_doubt_quantity"] == "20"


def test_page_of_orders_ends_with_an_opaque_cursor() -> None:
    more = json.loads(values.OrderWriter().page(effects.OrdersAnswer([ORDER, ORDER], Seq(3))))
    last = json.loads(values.OrderWriter().page(effects.OrdersAnswer([], None)))

    assert more == {"orders": [OPEN, OPEN], "next_cursor": "3"}
    assert last == {"orders": [], "next_cursor": None}


def test_account_shows_available_and_held_in_decimals() -> None:
    """Interfaces section 1: `account.get`."""
    balances = [
        effects.BalanceAnswer(Asset("BTC"), Units(50_000_000), Units(1), 8),
        effects.BalanceAnswer(Asset("USD"), Units(10_050), Units(0), 2),
    ]
    body = effects.AccountAnswer(AccountId(make_id(3, 17)), balances)

    assert json.loads(values.account_value(body)) == {
        "user_id": "3-17",
        "balances": {
            "BTC": {"available": "0.5", "held": "0.00000001"},
            "USD": {"available": "100.5", "held": "0"},
        },
    }
    assert json.loads(values.balance_value(balances[1])) == {
        "asset": "USD",
        "available": "100.5",
        "held": "0",
    }


def test_fill_is_one_side_of_a_trade() -> None:
    """Interfaces section 1: `fills.list`."""
    fill = Fill(
        seq=Seq(1),
        trade_id=TradeId(make_id(1, 5)),
        order_id=OrderId(make_id(3, 9)),
        symbol=AAPL.symbol,
        side=Side.SELL,
        price=Ticks(1050),
        quantity=Lots(7),
        is_maker=True,
        ts=Micros(1),
    )

    assert json.loads(values.fills_value(effects.FillsAnswer([(fill, AAPL)], Seq(2)))) == {
        "fills": [
            {
                "seq": 1,
                "trade_id": "1-5",
                "order_id": "3-9",
                "symbol": "AAPL",
                "side": "sell",
                "price": "10.5",
                "quantity": "7",
                "role": "maker",
                "ts": "1970-01-01T00:00:00.000001Z",
            }
        ],
        "next_seq": 2,
    }


def test_withdrawal_is_a_transfer_below_zero() -> None:
    """M3."""
    transfer = Transfer(Seq(1), Asset("USD"), Units(-1050), Micros(1))

    value = json.loads(values.transfers_value(effects.TransfersAnswer([(transfer, 2)], Seq(2))))
    assert value == {
        "transfers": [
            {"seq": 1, "asset": "USD", "quantity": "-10.5", "ts": "1970-01-01T00:00:00.000001Z"}
        ],
        "next_seq": 2,
    }


def test_book_has_price_quantity_and_orders_of_each_level() -> None:
    """Interfaces section 1: `book.get`."""
    book = effects.SymbolBook(
        AAPL, Seq(5), [(Ticks(1050), Lots(100), 2), (Ticks(1000), Lots(1), 1)], []
    )

    assert json.loads(values.book_value(book)) == {
        "symbol": "AAPL",
        "seq": 5,
        "bids": [["10.5", "100", 2], ["10", "1", 1]],
        "asks": [],
    }


def test_trade_names_its_aggressor() -> None:
    """S8."""
    trade = Trade(
        seq=Seq(1),
        trade_id=TradeId(make_id(1, 5)),
        symbol=AAPL.symbol,
        price=Ticks(1050),
        quantity=Lots(7),
        aggressor=Side.BUY,
        ts=Micros(1),
    )

    value = json.loads(values.trades_value(effects.TradesAnswer(AAPL, [trade], Seq(2))))
    assert value["trades"][0] == {
        "seq": 1,
        "trade_id": "1-5",
        "symbol": "AAPL",
        "price": "10.5",
        "quantity": "7",
        "aggressor": "buy",
        "ts": "1970-01-01T00:00:00.000001Z",
    }
    assert value["next_seq"] == 2


def test_replica_is_written_with_all_that_restores_an_order() -> None:
    """Interfaces section 5: `recover-node` asks for it."""
    order = OrderEvent(
        OrderId(make_id(2, 7)),
        Symbol("BTC-USD"),
        Side.SELL,
        Ticks(150),
        Lots(25),
        Stamp(1 << 60),
        3,
        AccountId(make_id(2, 1)),
    )
    answer = effects.ReplicaAnswer(
        NodeId(2), False, True, Epoch(4), Seq(9), Lsn(70), 1, "ab", [(order, PAIR)], None
    )

    assert json.loads(values.replica_value(answer)) == {
        "node_id": 2,
        "is_linked": False,
        "is_complete": True,
        "epoch": 4,
        "seq": 9,
        "seen_lsn": 70,
        "count": 1,
        "sum": "ab",
        "orders": [
            {
                "order_id": "2-7",
                "user_id": "2-1",
                "symbol": "BTC-USD",
                "side": "sell",
                "price": PAIR.rule.tick.text(150),
                "remaining_quantity": PAIR.rule.lot.text(25),
                "stamp": 1 << 60,
                "version": 3,
            }
        ],
        "next_cursor": None,
    }
