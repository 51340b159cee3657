"""Answers as lines, literally as interfaces section 1 has them."""

import json

import msgspec
import pytest

from exchange.domain.instruments import Instrument
from exchange.domain.orders import Order, SelfTrade, Side, Status, TimeInForce
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
    Units,
    make_id,
)
from exchange.engine import effects
from exchange.engine.effects import AnswerBody, Refused
from exchange.engine.state import Listing
from exchange.wire.answers import AnswerWriter, OwnLevels, error_line, line_of_error, market_line
from exchange.wire.errors import FramingError, RequestError
from exchange.wire.requests import Bye, decode_request
from tests.exchange.wire.shop import AAPL, ORDER, PAIR

WRITER = AnswerWriter({Symbol("AAPL"): Listing(AAPL), Symbol("BTC-USD"): Listing(PAIR)})
NO_FUNDS = Refused("insufficient_funds", "too little")
REJECTED = msgspec.structs.replace(ORDER, status=Status.REJECTED, reason="insufficient_funds")
C_ORDER = b"""{"type":"C order","value":
    {"order_type":"buy","ticker":"AAPL","price":10.5,"quantity":100}}"""
D_ORDER = C_ORDER.replace(b"C order", b"D order")
CREATE = b"""{"id":7,"type":"order.create","value":
    {"symbol":"AAPL","side":"buy","price":"10.5","quantity":"100","client_order_id":"mine"}}"""


def answer(line: bytes, body: AnswerBody) -> bytes:
    request = decode_request(line)
    assert not isinstance(request, Bye)
    return WRITER.line(request, body)


def balance(asset: str, available: int, held: int, decimals: int) -> effects.BalanceAnswer:
    return effects.BalanceAnswer(Asset(asset), Units(available), Units(held), decimals)


def account(*balances: effects.BalanceAnswer) -> effects.AccountAnswer:
    return effects.AccountAnswer(AccountId(make_id(3, 17)), list(balances))


def removed(lots: int) -> effects.RemovedAnswer:
    return effects.RemovedAnswer(Lots(lots), Lots(0), 1)


def levels(side: tuple[tuple[int, int], ...]) -> list[tuple[Ticks, Lots, int]]:
    return [(Ticks(price), Lots(quantity), 1) for price, quantity in side]


def book(
    instrument: Instrument = AAPL,
    bids: tuple[tuple[int, int], ...] = (),
    asks: tuple[tuple[int, int], ...] = (),
) -> effects.SymbolBook:
    return effects.SymbolBook(instrument, Seq(1), levels(bids), levels(asks))


ANSWERS: list[tuple[bytes, AnswerBody, bytes]] = [
    (b'{"type":"R balance"}', account(balance("USD", 10_000, 500, 2)), b"100"),
    (b'{"type":"R balance"}', account(balance("USD", 10_050, 0, 2)), b"100.5"),
    (b'{"type":"R balance"}', account(), b"0"),
    (b'{"type":"U balance","value":100}', balance("USD", 10_000, 0, 2), b'"ok"'),
    (b'{"type":"U balance","value":-1}', NO_FUNDS, b'"notEnough"'),
    (
        b'{"type":"R stock"}',
        account(balance("AAPL", 60, 40, 0), balance("MSFT", 0, 0, 0), balance("USD", 1, 0, 2)),
        b'{"AAPL":100}',
    ),
    (
        b'{"type":"R stock"}',
        account(balance("AAPL", 1, 0, 0), balance("BTC", 50_000_000, 0, 8)),
        b'{"AAPL":1,"BTC":0.5}',
    ),
    (b'{"type":"R stock"}', account(), b"{}"),
    (
        b'{"type":"C stock","value":{"ticker_id":"AAPL","quantity":100}}',
        balance("AAPL", 100, 0, 0),
        b'"ok"',
    ),
    (C_ORDER, effects.Done(), b'"ok"'),
    (C_ORDER, REJECTED, b'"notEnough"'),
    (C_ORDER, NO_FUNDS, b'"notEnough"'),
    (D_ORDER, removed(90), b"90"),
    (D_ORDER.replace(b"AAPL", b"BTC-USD"), removed(250), b"0.25"),
    (D_ORDER, Refused("unknown_instrument", "AAPL is not listed"), b"0"),
    (b'{"type":"D account"}', effects.Done(), b'"ok"'),
    (b'{"type":"D account"}', Refused("not_empty", "withdraw first"), b'"notEmpty"'),
]


@pytest.mark.parametrize(("line", "body", "wanted"), ANSWERS)
def test_answer_of_the_document(line: bytes, body: AnswerBody, wanted: bytes) -> None:
    """Interfaces section 1."""
    assert answer(line, body) == wanted + b"\n"


@pytest.mark.parametrize(
    ("books", "wanted"),
    [
        (
            [book(asks=((1055, 100),))],
            b'{"AAPL":{"sell":[{"quantity":100,"price":10.55}],"buy":[]}}',
        ),
        (
            [book(bids=((1050, 1), (1000, 2))), book(PAIR, asks=((6000, 250),))],
            b'{"AAPL":{"sell":[],"buy":[{"quantity":1,"price":10.5},{"quantity":2,"price":10}]},'
            b'"BTC-USD":{"sell":[{"quantity":0.25,"price":60000}],"buy":[]}}',
        ),
        ([], b"{}"),
    ],
)
def test_market_of_the_document(books: list[effects.SymbolBook], wanted: bytes) -> None:
    """Interfaces section 1."""
    assert market_line(books) == wanted + b"\n"


OWN = Order(
    OrderId(1),
    AccountId(1),
    Symbol("AAPL"),
    Side.BUY,
    TimeInForce.GTC,
    SelfTrade.CANCEL_NEWEST,
    price=Ticks(1),
    quantity=Lots(1),
    total=Lots(1),
    stamp=Stamp(1),
    created=Micros(0),
    updated=Micros(0),
)


def own(side: Side, price: int, quantity: int, **changes: object) -> Order:
    terms = {"side": side, "price": price, "quantity": quantity, "total": quantity}
    return msgspec.structs.replace(OWN, **(terms | changes))


def test_own_orders_are_gathered_to_levels_best_first() -> None:
    """Interfaces section 1: `R order` has the shape of `R market`; faults 2.11."""
    levels = OwnLevels()
    for order in (
        own(Side.BUY, 1000, 5),
        own(Side.BUY, 1050, 10, filled=3, offered=2),
        own(Side.BUY, 1000, 7),
        own(Side.SELL, 1200, 1),
        own(Side.SELL, 1100, 2),
        own(Side.SELL, 1100, 9, offered=9),
        own(Side.SELL, 1300, 9, offered=3, canceled=True),
    ):
        levels.put(order, ORDER.instrument)
    levels.put(own(Side.SELL, 6000, 250), PAIR)

    assert json.loads(levels.line()) == {
        "AAPL": {
            "sell": [{"quantity": 2, "price": 11}, {"quantity": 1, "price": 12}],
            "buy": [{"quantity": 5, "price": 10.5}, {"quantity": 12, "price": 10}],
        },
        "BTC-USD": {"sell": [{"quantity": 0.25, "price": 60000}], "buy": []},
    }


@pytest.mark.parametrize(
    ("line", "body"),
    [
        (C_ORDER, Refused("not_ready", "the node is starting")),
        (D_ORDER, Refused("unknown_account", "no such account")),
        (b'{"type":"R balance"}', Refused("unknown_account", "no such account")),
        (b'{"type":"U balance","value":1}', Refused("amount_out_of_range", "too much")),
    ],
)
def test_any_other_refusal_is_an_error_of_exactly_three_members(line: bytes, body: Refused) -> None:
    """Interfaces section 1."""
    title = body.code.replace("_", " ").capitalize()

    assert json.loads(answer(line, body)) == {
        "type": "error",
        "value": {"code": body.code, "title": title, "detail": body.detail},
    }


def test_plain_order_rejected_for_another_reason_is_an_error() -> None:
    body = msgspec.structs.replace(REJECTED, reason="self_trade")

    assert json.loads(answer(C_ORDER, body))["value"]["code"] == "self_trade"


def test_rich_order_has_lsn_and_visibility_beside_its_value() -> None:
    """B3: durable through here, visible on so many peers."""
    line = json.loads(answer(CREATE, ORDER))

    assert line["id"] == 7
    assert line["type"] == "order"
    assert line["value"]["self_trade_prevention"] == "cancel_newest"
    assert (line["lsn"], line["visible"]) == (77, 2)
    assert set(line) == {"id", "type", "value", "lsn", "visible"}


def test_retried_order_has_the_same_value_byte_for_byte() -> None:
    """Faults 2.15: what differs stands beside the value."""
    retried = msgspec.structs.replace(ORDER, lsn=Lsn(99), visible=-1, is_replay=True)

    first, again = answer(CREATE, ORDER), answer(CREATE, retried)

    value = first[first.index(b'"value":') : first.index(b',"lsn"')]
    assert value in again
    assert again == b'{"id":7,"type":"order",' + value + b',"lsn":99,"replayed":true}\n'


def test_rejected_rich_order_is_an_order() -> None:
    """E2: a rule refused it; it has an id and can be looked up."""
    line = json.loads(answer(CREATE, REJECTED))

    assert line["type"] == "order"
    assert line["value"]["status"] == "rejected"
    assert line["value"]["reason"] == "insufficient_funds"


STATUS = effects.StatusAnswer(
    node_id=NodeId(3),
    cluster="c",
    epoch=Epoch(2),
    is_ready=True,
    is_draining=False,
    is_storage_full=False,
    applied_lsn=Lsn(5),
    open_orders=0,
    sum="0" * 32,
    offers_in_doubt=0,
    acceptances=0,
    waiting=0,
    stream_seq=Seq(0),
    instruments=1,
    trades=0,
    offers=0,
    declines=0,
    peers=[],
)
RICH: list[tuple[str, bytes, AnswerBody, str]] = [
    (
        "order.cancel",
        b'{"order_id":"3-9"}',
        effects.CancelAnswer(ORDER, Lots(80), Lots(20)),
        "order",
    ),
    ("order.cancel_all", b"{}", removed(9), "canceled"),
    ("order.amend", b'{"order_id":"3-9","price":1}', ORDER, "order"),
    ("order.get", b'{"order_id":"3-9"}', ORDER, "order"),
    ("orders.list", b"{}", effects.OrdersAnswer([ORDER], None), "orders"),
    ("fills.list", b"{}", effects.FillsAnswer([], Seq(1)), "fills"),
    ("account.get", b"{}", account(balance("USD", 1, 0, 2)), "account"),
    ("account.deposit", b'{"asset":"USD","quantity":1}', balance("USD", 1, 0, 2), "balance"),
    ("account.withdraw", b'{"asset":"USD","quantity":1}', balance("USD", 1, 0, 2), "balance"),
    ("account.close", b"{}", effects.Done(), "ok"),
    ("transfers.list", b"{}", effects.TransfersAnswer([], Seq(1)), "transfers"),
    ("book.get", b'{"symbol":"AAPL"}', effects.BookAnswer([book()]), "book"),
    ("trades.list", b'{"symbol":"AAPL"}', effects.TradesAnswer(AAPL, [], Seq(1)), "trades"),
    ("node.status", b"{}", STATUS, "status"),
    (
        "replica.list",
        b'{"node_id":1}',
        effects.ReplicaAnswer(
            NodeId(1), False, True, Epoch(1), Seq(9), Lsn(3), 0, "0" * 32, [], None
        ),
        "replica",
    ),
    ("account.close", b"{}", Refused("not_empty", "withdraw first"), "error"),
    ("order.create", CREATE[CREATE.index(b'{"symbol') : -1], NO_FUNDS, "error"),
]


@pytest.mark.parametrize(("verb", "value", "body", "kind"), RICH)
@pytest.mark.parametrize("request_id", [b"", b"7", b'"a\\u00e9"', b"null", b"1e999"])
def test_rich_answer_has_the_id_and_its_type(
    verb: str, value: bytes, body: AnswerBody, kind: str, request_id: bytes
) -> None:
    """Interfaces section 1: `id` is echoed as it was received."""
    head = b'"id":%b,' % request_id if request_id else b""

    line = answer(b'{%b"type":"%b","value":%b}' % (head, verb.encode(), value), body)

    assert line.startswith(b'{%b"type":"%b","value":{' % (head, kind.encode()))
    assert line.endswith(b"}\n")
    assert json.loads(line)["type"] == kind


def test_status_says_whether_the_node_is_quiet() -> None:
    """Interfaces section 1: quiescence is read from here."""
    value = json.loads(answer(b'{"type":"node.status"}', STATUS))["value"]

    assert value == msgspec.to_builtins(STATUS)


def test_error_has_the_id_of_its_request() -> None:
    """Interfaces section 1."""
    error = RequestError("missing_field", "no `side`", b'"x"')
    framing = FramingError("line_too_long", "a line is at most 65536 bytes", [])

    assert line_of_error(error).startswith(b'{"id":"x","type":"error","value":{')
    assert line_of_error(framing).startswith(b'{"type":"error","value":{"code":"line_too_long"')


def test_detail_of_an_error_stays_on_one_short_line() -> None:
    """Faults 3: log injection."""
    line = error_line("invalid_value", 'a\nb"' + "x" * 10_000)

    assert line.count(b"\n") == 1
    assert len(line) < 500
    assert json.loads(line)["value"]["detail"].startswith('a\nb"')
