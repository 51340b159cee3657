"""Engine answers as lines, in the shape of the verb that asked (interfaces section 1).

The verbs of the reference get bare values with JSON numbers; the richer ones get
`{"id","type","value"}` with decimal strings.  Numbers are written in the shortest exact form.
What an order's first answer says is all inside `value`, so that a retry gets the same bytes;
what differs between the two (`lsn`, `visible`, `replayed`) stands beside it (faults 2.15).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import assert_never

import msgspec

from exchange.domain.instruments import CASH, Instrument, money
from exchange.domain.orders import Order, Side, Status
from exchange.domain.units import Lots, Seq, Symbol, Ticks
from exchange.engine import effects
from exchange.engine.effects import AnswerBody, OrderAnswer, Refused
from exchange.engine.state import Listing
from exchange.wire import requests
from exchange.wire.envelope import Rich
from exchange.wire.errors import DETAIL_MAX, FramingError, RequestError, title_of
from exchange.wire.numbers import number_text
from exchange.wire.requests import CreateOrder, OrderCreate, Request
from exchange.wire.values import (
    OrderWriter,
    account_value,
    balance_value,
    book_value,
    fills_value,
    key_value,
    keys_value,
    replica_value,
    trades_value,
    transfers_value,
)

OK = b'"ok"\n'
NOT_ENOUGH = b'"notEnough"\n'
NOT_EMPTY = b'"notEmpty"\n'
_ENCODE = msgspec.json.Encoder().encode

# A verb of the reference and a refusal that it has a word of its own for.
_WORDS: dict[tuple[type, str], bytes] = {
    (requests.UpdateBalance, "insufficient_funds"): NOT_ENOUGH,
    (requests.CreateOrder, "insufficient_funds"): NOT_ENOUGH,
    (requests.DeleteAccount, "not_empty"): NOT_EMPTY,
    (requests.DeleteOrder, "unknown_instrument"): b"0\n",  # nothing was there to delete
}


class AnswerWriter:
    """Writes the answers of one node.  It only reads the instruments."""

    def __init__(self, instruments: Mapping[Symbol, Listing]) -> None:
        self._listed = instruments
        self._orders = OrderWriter()

    def line(self, request: Request, body: AnswerBody) -> bytes:
        """Return the line that answers `request`."""
        if type(request) is CreateOrder:
            if type(body) is effects.Done:
                return OK
        elif type(request) is OrderCreate and type(body) is OrderAnswer:
            return _order_line(bytes(request.id), self._orders.order(body), body)
        if isinstance(body, Refused):
            return self._refusal(request, body.code, body.detail)
        if isinstance(request, Rich):
            return self._rich(request, body)
        return self._plain(request, body)

    def _refusal(self, request: Request, code: str, detail: str) -> bytes:
        word = _WORDS.get((type(request), code))
        if word is not None:
            return word
        request_id = bytes(request.id) if isinstance(request, Rich) else b""
        return error_line(code, detail, request_id)

    def _rich(self, request: Rich, body: AnswerBody) -> bytes:
        request_id = bytes(request.id)
        match body:
            case OrderAnswer():
                return _order_line(request_id, self._orders.order(body), body)
            case effects.CancelAnswer():
                return _order_line(request_id, self._orders.canceled(body), body.order)
            case effects.Done():
                return rich_line("ok", b"{}", request_id)
            case effects.RemovedAnswer():
                return rich_line("canceled", b'{"orders":%d}' % body.orders, request_id)
            case effects.BalanceAnswer():
                return rich_line("balance", balance_value(body), request_id)
            case effects.AccountAnswer():
                return rich_line("account", account_value(body), request_id)
            case effects.OrdersAnswer():
                return rich_line("orders", self._orders.page(body).encode(), request_id)
            case effects.FillsAnswer():
                return rich_line("fills", fills_value(body), request_id)
            case effects.TransfersAnswer():
                return rich_line("transfers", transfers_value(body), request_id)
            case effects.BookAnswer():
                return rich_line("book", book_value(body.books[0]), request_id)
            case effects.TradesAnswer():
                return rich_line("trades", trades_value(body), request_id)
            case effects.KeyAnswer():
                return rich_line("key", key_value(body), request_id)
            case effects.KeysAnswer():
                return rich_line("keys", keys_value(body), request_id)
            case effects.StatusAnswer():
                return rich_line("status", _ENCODE(body), request_id)
            case effects.ReplicaAnswer():
                return rich_line("replica", replica_value(body), request_id)
            case Refused():
                return error_line(body.code, body.detail, request_id)
            case _:
                assert_never(body)

    def _plain(self, request: Request, body: AnswerBody) -> bytes:
        match body:
            case effects.AccountAnswer() if isinstance(request, requests.ReadBalance):
                return _cash(body)
            case effects.AccountAnswer():
                return _stock(body)
            case effects.RemovedAnswer() if isinstance(request, requests.DeleteOrder):
                return self._removed(request, body)
            case OrderAnswer() if body.status is Status.REJECTED:
                detail = "a rule of the market refuses the order"
                return self._refusal(request, body.reason, detail)
            case effects.Done() | effects.BalanceAnswer():
                return OK
            case _:
                raise AssertionError(f"{type(body).__name__} does not answer {type(request)}")

    def _removed(self, request: requests.DeleteOrder, body: effects.RemovedAnswer) -> bytes:
        value = request.value
        listing = self._listed[Symbol(value.ticker or value.ticker_id or "")]
        return listing.instrument.rule.lot.text(body.quantity).encode() + b"\n"


def error_line(code: str, detail: str, request_id: bytes = b"") -> bytes:
    """Write an error; `request_id` is the id of the request as received, empty if it had none."""
    value = {"code": code, "title": title_of(code), "detail": detail[:DETAIL_MAX]}
    return rich_line("error", _ENCODE(value), request_id)


def line_of_error(error: RequestError | FramingError) -> bytes:
    """Write what was wrong with a line."""
    request_id = error.request_id if isinstance(error, RequestError) else b""
    return error_line(error.code, error.detail, request_id)


def rich_line(kind: str, value: bytes, request_id: bytes = b"") -> bytes:
    """Write an answer in the form of the richer verbs; `value` is JSON."""
    if request_id:
        return b'{"id":%b,"type":"%b","value":%b}\n' % (request_id, kind.encode(), value)
    return b'{"type":"%b","value":%b}\n' % (kind.encode(), value)


def _order_line(request_id: bytes, value: str, body: OrderAnswer) -> bytes:
    head = f'"id":{request_id.decode()},' if request_id else ""
    visible = f',"visible":{body.visible}' if body.visible >= 0 else ""
    replayed = ',"replayed":true' if body.is_replay else ""
    line = f'{{{head}"type":"order","value":{value},"lsn":{body.lsn}{visible}{replayed}}}\n'
    return line.encode()


def _cash(body: effects.AccountAnswer) -> bytes:
    for balance in body.balances:
        if balance.asset == CASH:
            return money(balance.available, balance.decimals).encode() + b"\n"
    return b"0\n"


def _stock(body: effects.AccountAnswer) -> bytes:
    """Everything owned but cash, available and held; nothing owned is not shown."""
    rows = [
        f'"{balance.asset}":{money(balance.available + balance.held, balance.decimals)}'
        for balance in body.balances
        if balance.asset != CASH and balance.available + balance.held
    ]
    return f"{{{','.join(rows)}}}\n".encode()


def market_line(books: Iterable[effects.SymbolBook]) -> bytes:
    """Answer `R market`."""
    rows = []
    for book in books:
        rule = book.instrument.rule
        tick, lot = rule.tick, rule.lot
        sell, buy = (
            ",".join(
                f'{{"quantity":{number_text(lot, quantity)},"price":{number_text(tick, price)}}}'
                for price, quantity, _ in levels
            )
            for levels in (book.asks, book.bids)
        )
        rows.append(f'"{book.instrument.symbol}":{{"sell":[{sell}],"buy":[{buy}]}}')
    return f"{{{','.join(rows)}}}\n".encode()


class OwnLevels:
    """The open orders of an account, gathered to levels: the answer to `R order`."""

    def __init__(self) -> None:
        self._levels: dict[Instrument, dict[Side, Counter[Ticks]]] = {}

    def put(self, order: Order, instrument: Instrument) -> None:
        """Add an order."""
        if order.open:
            sides = self._levels.setdefault(instrument, {Side.BUY: Counter(), Side.SELL: Counter()})
            sides[order.side][order.price] += order.open

    def line(self) -> bytes:
        """Return the answer, in the shape of the market."""
        books = [
            effects.SymbolBook(
                instrument,
                Seq(0),
                _rows(sides[Side.BUY], is_descending=True),
                _rows(sides[Side.SELL], is_descending=False),
            )
            for instrument, sides in sorted(self._levels.items(), key=lambda item: item[0].symbol)
        ]
        return market_line(books)


def _rows(levels: Mapping[Ticks, int], *, is_descending: bool) -> list[tuple[Ticks, Lots, int]]:
    return [
        (price, Lots(quantity), 0)
        for price, quantity in sorted(levels.items(), reverse=is_descending)
    ]
