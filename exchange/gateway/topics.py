"""One topic of one node as the gateway keeps it: enough to bring a new subscriber level.

A ring of the last events answers those who come again with a cursor; a copy of the book makes
snapshots without asking the node.  Pure: bytes in, bytes out.
"""

from collections import deque
from typing import NamedTuple

import msgspec

from exchange.wire.feeds import BOOK, checksum

RING = 256  # events kept for those who come again
DROPPED = "0"
_ENCODE = msgspec.json.Encoder().encode


class Key(NamedTuple):
    """Names a topic: `name` is a symbol, an account, or empty."""

    node: int
    channel: str
    name: str


class Event(msgspec.Struct, frozen=True):
    """As much of an event as the gateway reads."""

    node: int
    channel: str
    seq: int
    symbol: str = ""
    user_id: str = ""
    kind: str = ""
    cursor: str = ""
    ts: str = ""
    bids: list[tuple[str, str, int]] = []
    asks: list[tuple[str, str, int]] = []

    @property
    def key(self) -> Key:
        """Return the topic that the event is of."""
        return Key(self.node, self.channel, self.symbol or self.user_id)


_EVENT = msgspec.json.Decoder(Event)


def read_event(line: bytes) -> Event:
    """Read a line of the feed."""
    return _EVENT.decode(line)


class TopicState:
    """What is known of a topic."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.cursor = ""  # of the last event: where the node is asked to go on
        self._last: Event | None = None
        self._ring: deque[tuple[int, str, bytes]] = deque(maxlen=RING)
        self._bids: dict[str, tuple[str, int]] = {}
        self._asks: dict[str, tuple[str, int]] = {}
        self._has_book = False
        self._has_snapshot = False  # the ring began with one

    def take(self, event: Event, line: bytes) -> None:
        """Learn an event."""
        if event.kind in ("snapshot", "resync"):
            self._ring.clear()  # what is before it does not lead to it
            self._has_snapshot = event.kind == "snapshot"
        if event.kind == "resync":
            return
        self._last, self.cursor = event, event.cursor
        self._ring.append((event.seq, event.cursor, line))
        if event.channel == BOOK:
            self._take_book(event)

    def since(self, cursor: str) -> list[bytes] | None:
        """Return the events after a cursor; None if it is not known here any more."""
        if cursor and cursor == self.cursor:
            return []
        lines: list[bytes] | None = None
        for _, known, line in self._ring:
            if lines is not None:
                lines.append(line)
            elif known == cursor:
                lines = []
        return lines

    def all_since_snapshot(self) -> list[bytes]:
        """Return the node's last snapshot and all since; nothing if it is not here any more."""
        if not self._has_snapshot or len(self._ring) == RING:
            return []
        return [line for _, _, line in self._ring]

    def snapshot(self) -> bytes | None:
        """Return the book as it is now, None if there is none yet."""
        last = self._last
        if not self._has_book or last is None:
            return None
        bids = _rows(self._bids, is_descending=True)
        asks = _rows(self._asks, is_descending=False)
        value = {
            "type": "feed",
            "channel": BOOK,
            "node": self.key.node,
            "symbol": self.key.name,
            "seq": last.seq,
            "kind": "snapshot",
            "bids": bids,
            "asks": asks,
            "crc32": checksum(_texts(bids), _texts(asks)),
            "ts": last.ts,
            "cursor": last.cursor,
        }
        return _ENCODE(value)

    def notice(self, kind: str) -> bytes:
        """Return the notice `resync`, to who was too slow, or `closed`, to who may read no more."""
        name = "symbol" if self.key.channel != "orders" else "user_id"
        value = {
            "type": "feed",
            "channel": self.key.channel,
            "node": self.key.node,
            "seq": self._last.seq if self._last is not None else 0,
            "kind": kind,
        }
        if self.key.name:
            value[name] = self.key.name
        return _ENCODE(value)

    def _take_book(self, event: Event) -> None:
        if event.kind == "snapshot":
            self._bids.clear()
            self._asks.clear()
            self._has_book = True
        for side, rows in ((self._bids, event.bids), (self._asks, event.asks)):
            for price, quantity, orders in rows:
                if quantity == DROPPED:
                    side.pop(price, None)
                else:
                    side[price] = (quantity, orders)


def _rows(side: dict[str, tuple[str, int]], *, is_descending: bool) -> list[tuple[str, str, int]]:
    order = sorted(side, key=_exact, reverse=is_descending)
    return [(price, *side[price]) for price in order]


def _exact(price: str) -> tuple[int, str]:
    """Order decimal texts in their shortest form without leaving exact numbers."""
    whole, _, fraction = price.partition(".")
    return int(whole), fraction


def _texts(rows: list[tuple[str, str, int]]) -> list[tuple[str, str]]:
    return [(price, quantity) for price, quantity, _ in rows]
