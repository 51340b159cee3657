"""The feed's requests and lines (interfaces section 3, C8): JSON lines of type `feed`.

    {"type":"feed","channel":"trades","node":1,"symbol":"AAPL","seq":17,"trade_id":"1-9",...}
    {"type":"feed","channel":"book","node":1,"symbol":"AAPL","seq":4,"kind":"snapshot"|"delta",
     "bids":[[price, quantity, orders], ...],"asks":[...],"crc32":2357,"ts":...,"cursor":...}
    {"type":"feed","channel":"orders","node":1,"user_id":"1-1","seq":2,"kind":"update",
     "orders":[...],"fills":[...],"ts":...,"cursor":...}
    {"type":"feed","channel":"heartbeat","node":1,"seq":9,"lsn":120,"ts":...}
    {"type":"feed","channel":"book","node":1,"symbol":"AAPL","seq":9,"kind":"resync"}
    {"type":"feed","channel":"orders","node":1,"user_id":"1-1","seq":2,"kind":"closed"}

In a delta a level says what it is now, and quantity "0" takes it away.  The checksum is CRC-32
of the ten best levels after the delta, bids then asks: `price:quantity` joined by `|`.
A resync says that events after `seq` were skipped; for a book a snapshot follows, trades are
to be had from `trades.list`.  Closed says that nothing comes after `seq`: a key that opened
the channel was revoked, replaced or has expired.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple

import msgspec

from exchange.domain.instruments import Instrument, Rule
from exchange.domain.names import SYMBOL
from exchange.domain.orders import SIDE_NAMES, Fill, Trade
from exchange.domain.units import AccountId, Epoch, Lsn, Micros, NodeId, Seq, Symbol, format_id
from exchange.engine.effects import FillsAnswer, OrderAnswer, Refused
from exchange.wire.envelope import Rich
from exchange.wire.numbers import number_text, texts_of, time_text
from exchange.wire.values import OrderWriter, fills_value

TRADES, BOOK, ORDERS, HEARTBEAT = "trades", "book", "orders", "heartbeat"
TOP = 10  # levels of a side in the checksum
SYMBOLS_MAX = 1_000  # in one request
CURSORS_MAX = 4_000
_CURSOR = re.compile(
    r"\A([1-9][0-9]{0,3})\.([0-9]{1,15})\.([0-9]{1,15})\.([bto])"
    rf"\.((?:{SYMBOL})?)\.([0-9]{{1,19}})\.([0-9]{{1,19}})\Z",  # a symbol may hold points
    re.ASCII,
)
_LETTERS = {TRADES: "t", BOOK: "b", ORDERS: "o"}
_CHANNELS = {letter: channel for channel, letter in _LETTERS.items()}
_ENCODE = msgspec.json.Encoder().encode

Levels = tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]  # best first
CursorText = Annotated[str, msgspec.Meta(max_length=160)]


class FeedFilter(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Which topics; `cursor` is that of the last event seen of a topic, one or several."""

    channels: Annotated[
        list[Literal["trades", "book", "orders", "heartbeat"]],
        msgspec.Meta(min_length=1, max_length=8),
    ]
    symbols: Annotated[
        list[Annotated[str, msgspec.Meta(max_length=64)]], msgspec.Meta(max_length=SYMBOLS_MAX)
    ] = []
    cursor: (
        CursorText | Annotated[list[CursorText], msgspec.Meta(max_length=CURSORS_MAX)] | None
    ) = None


class FeedSubscribe(Rich, frozen=True, gc=False, tag="feed.subscribe"):
    value: FeedFilter


class FeedUnsubscribe(Rich, frozen=True, gc=False, tag="feed.unsubscribe"):
    value: FeedFilter


class Topic(NamedTuple):
    """What can be followed: a channel, and whose or of what."""

    channel: str
    symbol: Symbol = Symbol("")
    account: AccountId = AccountId(0)


class Cursor(msgspec.Struct, frozen=True):
    """Where a reader is in one topic of one node."""

    epoch: int
    generation: int
    seq: int


def write_cursor(node_id: int, epoch: int, generation: int, topic: Topic, seq: int) -> str:
    """Write a cursor; opaque to readers, and good wherever the node can be reached."""
    letter = _LETTERS[topic.channel]
    text = f"{node_id}.{epoch}.{generation}.{letter}.{topic.symbol}.{topic.account}.{seq}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursors(
    given: str | list[str] | None,
) -> dict[tuple[int, Topic], Cursor] | Refused:
    """Read cursors by node and topic; refused if one is none."""
    cursors = {}
    for text in [given] if isinstance(given, str) else given or []:
        try:
            plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            match = _CURSOR.match(plain.decode())
        except (binascii.Error, ValueError):
            match = None
        if match is None:
            return Refused("invalid_value", "`cursor` is the `cursor` of an event")
        node, epoch, generation, letter, symbol, account, seq = match.groups()
        topic = Topic(_CHANNELS[letter], Symbol(symbol), AccountId(int(account)))
        cursors[int(node), topic] = Cursor(int(epoch), int(generation), int(seq))
    return cursors


def checksum(bids: Iterable[tuple[str, str]], asks: Iterable[tuple[str, str]]) -> int:
    """Return CRC-32 over the ten best levels of each side, as (price, quantity) texts."""
    rows = [*list(bids)[:TOP], *list(asks)[:TOP]]
    return zlib.crc32("|".join(f"{price}:{quantity}" for price, quantity in rows).encode())


class FeedWriter:
    """Writes the lines of one node."""

    def __init__(self, node_id: NodeId, epoch: Epoch) -> None:
        self._node_id = node_id
        self._epoch = epoch
        self._orders = OrderWriter()

    def trade(self, trade: Trade, rule: Rule) -> bytes:
        """Write a trade; its cursor is of no epoch: the tape outlives them."""
        topic = Topic(TRADES, trade.symbol)
        price, quantity = texts_of(rule.tick)(trade.price), texts_of(rule.lot)(trade.quantity)
        return (
            f'{{"type":"feed","channel":"trades","node":{self._node_id},"symbol":"{trade.symbol}",'
            f'"seq":{trade.seq},"trade_id":"{format_id(trade.trade_id)}","price":"{price}",'
            f'"quantity":"{quantity}","aggressor":"{SIDE_NAMES[trade.aggressor]}",'
            f'"ts":"{time_text(trade.ts)}",'
            f'"cursor":"{write_cursor(self._node_id, 0, 0, topic, trade.seq)}"}}\n'
        ).encode()

    def snapshot(
        self, topic: Topic, generation: int, seq: Seq, rule: Rule, levels: Levels, ts: Micros
    ) -> bytes:
        """Write a whole book, as far as it is published."""
        bids, asks = (_rows(rule, side) for side in levels)
        return self._book(topic, generation, seq, "snapshot", bids, asks, rule, levels, ts)

    def delta(
        self,
        topic: Topic,
        generation: int,
        seq: Seq,
        rule: Rule,
        before: Levels,
        after: Levels,
        ts: Micros,
    ) -> bytes:
        """Write the levels that differ; those that are gone with quantity 0."""
        changes: list[list[tuple[str, str, int]]] = []
        for old, new in zip(before, after, strict=True):
            changed = {price: new[price] for price in new if old.get(price) != new[price]}
            gone = {price: (0, 0) for price in old if price not in new}
            changes.append(_rows(rule, changed | gone))
        bids, asks = changes
        return self._book(topic, generation, seq, "delta", bids, asks, rule, after, ts)

    def _book(
        self,
        topic: Topic,
        generation: int,
        seq: Seq,
        kind: str,
        bids: list[tuple[str, str, int]],
        asks: list[tuple[str, str, int]],
        rule: Rule,
        levels: Levels,
        ts: Micros,
    ) -> bytes:
        value = {
            "type": "feed",
            "channel": BOOK,
            "node": self._node_id,
            "symbol": topic.symbol,
            "seq": seq,
            "kind": kind,
            "bids": bids,
            "asks": asks,
            "crc32": _checksum_of(rule, levels),
            "ts": time_text(ts),
            "cursor": write_cursor(self._node_id, self._epoch, generation, topic, seq),
        }
        return _ENCODE(value) + b"\n"

    def orders(
        self,
        topic: Topic,
        generation: int,
        seq: Seq,
        kind: str,
        orders: list[OrderAnswer],
        fills: list[tuple[Fill, Instrument]],
        ts: Micros,
    ) -> bytes:
        """Write what became of an account's orders."""
        told = msgspec.json.decode(fills_value(FillsAnswer(fills, Seq(0))))["fills"]
        value = {
            "type": "feed",
            "channel": ORDERS,
            "node": self._node_id,
            "user_id": format_id(topic.account),
            "seq": seq,
            "kind": kind,
            "orders": [msgspec.Raw(self._orders.order(order).encode()) for order in orders],
            "fills": told,
            "ts": time_text(ts),
            "cursor": write_cursor(self._node_id, self._epoch, generation, topic, seq),
        }
        return _ENCODE(value) + b"\n"

    def heartbeat(self, seq: Seq, lsn: Lsn, ts: Micros) -> bytes:
        """Write that the node lives, and how far its log is."""
        value = {
            "type": "feed",
            "channel": HEARTBEAT,
            "node": self._node_id,
            "seq": seq,
            "lsn": lsn,
            "ts": time_text(ts),
        }
        return _ENCODE(value) + b"\n"

    def resync(self, topic: Topic, seq: Seq) -> bytes:
        """Write that events through `seq` were skipped."""
        return self._notice(topic, seq, "resync")

    def closed(self, topic: Topic, seq: Seq) -> bytes:
        """Write that nothing is told after `seq`: a key opens the topic no more."""
        return self._notice(topic, seq, "closed")

    def _notice(self, topic: Topic, seq: Seq, kind: str) -> bytes:
        value: dict[str, object] = {
            "type": "feed",
            "channel": topic.channel,
            "node": self._node_id,
            "seq": seq,
            "kind": kind,
        }
        if topic.symbol:
            value["symbol"] = topic.symbol
        if topic.account:
            value["user_id"] = format_id(topic.account)
        return _ENCODE(value) + b"\n"


def _rows(rule: Rule, levels: dict[int, tuple[int, int]]) -> list[tuple[str, str, int]]:
    return [
        (number_text(rule.tick, price), number_text(rule.lot, quantity), orders)
        for price, (quantity, orders) in levels.items()
    ]


def _checksum_of(rule: Rule, levels: Levels) -> int:
    bids, asks = (
        [
            (number_text(rule.tick, price), number_text(rule.lot, quantity))
            for price, (quantity, _) in list(side.items())[:TOP]
        ]
        for side in levels
    )
    return checksum(bids, asks)
