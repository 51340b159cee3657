"""Lines of the feed as their readers know them, and the book that follows from them (C8)."""

from collections.abc import Iterable

import msgspec

from exchange.client.errors import BadAnswer
from exchange.wire.feeds import checksum
from exchange.wire.numbers import sort_key

SNAPSHOT, RESYNC, CLOSED = "snapshot", "resync", "closed"
GONE = "0"  # the quantity of a level that is there no more

Level = tuple[str, str, int]  # price, quantity, orders


class Event(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="feed"):
    """A line of the feed: a trade, levels of a book, what became of orders, or a notice."""

    channel: str
    node: int
    seq: int
    symbol: str = ""
    kind: str = ""
    trade_id: str = ""
    price: str = ""
    quantity: str = ""
    aggressor: str = ""
    bids: list[Level] = []
    asks: list[Level] = []
    crc32: int = 0
    ts: str = ""
    cursor: str = ""
    user_id: str = ""


_EVENT = msgspec.json.Decoder(Event)


def read_event(line: bytes) -> Event:
    """Read a line of the feed; BadAnswer if it is none."""
    try:
        return _EVENT.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadAnswer(f"not an event: {line[:80]!r}: {error}") from error


class FollowedBook:
    """A book kept up to date by its events."""

    def __init__(self) -> None:
        self.seq = 0
        self.has_begun = False  # with a snapshot
        self._bids: dict[str, tuple[str, int]] = {}
        self._asks: dict[str, tuple[str, int]] = {}

    def take(self, event: Event) -> None:
        """Apply an event; after a resync a snapshot follows, which is all that is needed."""
        if event.kind == RESYNC:
            return
        if event.kind == SNAPSHOT:
            self._bids, self._asks = {}, {}
            self.has_begun = True
        self.seq = event.seq
        _fold(self._bids, event.bids)
        _fold(self._asks, event.asks)

    def bids(self, depth: int | None = None) -> list[Level]:
        """Return what is bid for, best first."""
        return _levels(self._bids, depth, is_descending=True)

    def asks(self, depth: int | None = None) -> list[Level]:
        """Return what is offered, best first."""
        return _levels(self._asks, depth, is_descending=False)

    def verify(self, event: Event) -> None:
        """Raise BadAnswer if this is not the book behind an event that was taken."""
        if event.kind != RESYNC and event.crc32 != self.checksum():
            raise BadAnswer(f"the book of {event.symbol} is not what its checksum says")

    def checksum(self) -> int:
        """Return what an event has as `crc32` if this is the book behind it."""
        return checksum(
            *(
                [(price, quantity) for price, quantity, _ in levels]
                for levels in (self.bids(), self.asks())
            )
        )


def _fold(side: dict[str, tuple[str, int]], levels: Iterable[Level]) -> None:
    for price, quantity, orders in levels:
        if quantity == GONE:
            side.pop(price, None)
        else:
            side[price] = (quantity, orders)


def _levels(
    side: dict[str, tuple[str, int]], depth: int | None, *, is_descending: bool
) -> list[Level]:
    prices = sorted(side, key=sort_key, reverse=is_descending)[:depth]
    return [(price, *side[price]) for price in prices]
