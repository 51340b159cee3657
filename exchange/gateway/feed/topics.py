"""One topic of one node as the gateway keeps it: enough to bring a new subscriber level.

A ring of the last events answers those who come again with a cursor; a copy of the book makes
snapshots without asking the node.  Pure: bytes in, bytes out.
"""

from collections import deque
from typing import NamedTuple

import msgspec

from exchange.client.errors import Refused
from exchange.client.feed_events import RESYNC, SNAPSHOT, Event, FollowedBook
from exchange.domain.units import Symbol, format_id
from exchange.wire.feeds import (
    BOOK,
    ORDERS,
    TRADES,
    FeedFilter,
    Topic,
    read_cursors,
    write_cursor,
)

JOINT = "."  # between the places of several nodes in one cursor
RING = 256  # events kept for those who come again
_ENCODE = msgspec.json.Encoder().encode


class Key(NamedTuple):
    """Names a topic: `name` is a symbol, an account, or empty."""

    node: int
    channel: str
    name: str


def key_of(event: Event) -> Key:
    """Return the topic that an event is of."""
    return Key(event.node, event.channel, event.symbol or event.user_id)


def cursors_of(value: FeedFilter) -> dict[Key, str]:
    """Return the cursors of a request by topic; Refused if one is none."""
    given = [value.cursor] if isinstance(value.cursor, str) else value.cursor or []
    cursors: dict[Key, str] = {}
    seqs: dict[Key, int] = {}
    for text in [part for whole in given for part in whole.split(JOINT)]:
        read = read_cursors(text)
        if not isinstance(read, dict):
            raise Refused("invalid_value", "`cursor` is the `cursor` of an event")
        for (node_id, topic), place in read.items():
            account = format_id(topic.account) if topic.account else ""
            key = Key(node_id, topic.channel, topic.symbol or account)
            if key not in cursors or key.channel != TRADES or place.seq > seqs[key]:
                cursors[key], seqs[key] = text, place.seq
    return cursors


def tape_cursor(key: Key, seq: int) -> str:
    """Return the cursor of a place in a node's tape; of no epoch, as the tape."""
    return write_cursor(key.node, 0, 0, Topic(TRADES, Symbol(key.name)), seq)


class TopicState:
    """What is known of a topic."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.cursor = ""  # of the last event: where the node is asked to go on
        self._last: Event | None = None
        self._ring: deque[tuple[int, str, bytes]] = deque(maxlen=RING)
        self._book = FollowedBook()
        self._has_snapshot = False  # the ring began with one

    def take(self, event: Event, line: bytes) -> None:
        """Learn an event."""
        if event.kind in (SNAPSHOT, RESYNC):
            self._ring.clear()  # what is before it does not lead to it
            self._has_snapshot = event.kind == SNAPSHOT
        if event.kind == RESYNC:
            return
        self._last, self.cursor = event, event.cursor
        self._ring.append((event.seq, event.cursor, line))
        if event.channel == BOOK:
            self._book.take(event)

    def with_cursor(self, cursor: str) -> bytes:
        """Give the last event another cursor, here and as it is returned."""
        seq, own, line = self._ring.pop()
        line = line.replace(b'"cursor":"%b"' % own.encode(), b'"cursor":"%b"' % cursor.encode())
        self._ring.append((seq, own, line))
        return line

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

    def leads_on_from(self, seq: int) -> bool:
        """Tell whether what is here begins right behind a number."""
        return bool(self._ring) and self._ring[0][0] <= seq + 1

    def after(self, seq: int) -> list[bytes]:
        """Return the events that are here behind a number."""
        return [line for number, _, line in self._ring if number > seq]

    def all_since_snapshot(self) -> list[bytes]:
        """Return the node's last snapshot and all since; nothing if it is not here any more."""
        if not self._has_snapshot or len(self._ring) == RING:
            return []
        return [line for _, _, line in self._ring]

    def snapshot(self) -> bytes | None:
        """Return the book as it is now, None if there is none yet."""
        last = self._last
        if not self._book.has_begun or last is None:
            return None
        value = {
            "type": "feed",
            "channel": BOOK,
            "node": self.key.node,
            "symbol": self.key.name,
            "seq": last.seq,
            "kind": SNAPSHOT,
            "bids": self._book.bids(),
            "asks": self._book.asks(),
            "crc32": self._book.checksum(),
            "ts": last.ts,
            "cursor": last.cursor,
        }
        return _ENCODE(value)

    def notice(self, kind: str, seq: int | None = None) -> bytes:
        """Return the notice `resync`, to who was too slow, or `closed`, to who may read no more."""
        name = "symbol" if self.key.channel != ORDERS else "user_id"
        value = {
            "type": "feed",
            "channel": self.key.channel,
            "node": self.key.node,
            "seq": seq if seq is not None else self._last.seq if self._last is not None else 0,
            "kind": kind,
        }
        if self.key.name:
            value[name] = self.key.name
        return _ENCODE(value)
