"""What a node tells: its topics, each event written once for all who follow them (C8, S8).

    channel   | one event is                          | seq counts         | resumed from
    ----------+---------------------------------------+--------------------+-----------------
    trades    | a trade that this node decided        | the node's tape,   | the tape
              |                                       | for ever           |
    book      | levels that changed in a window of    | changes since the  | the ring, else a
              | BOOK_US, of the best DEPTH            | topic is watched   | snapshot
    orders    | orders and fills of one account, by   | the same           | the same
              | one turn                              |                    |
    heartbeat | a second has passed                   | the same           | never

Nothing here knows a connection from a number; who follows, and how far each is behind, is the
feed's business (`exchange.node.feed`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from exchange.domain.book import OwnerBook, depth
from exchange.domain.orders import Side
from exchange.domain.units import AccountId, Micros, Seq, Symbol
from exchange.engine.effects import order_answer
from exchange.engine.inputs import PeerBatch
from exchange.engine.messages import Events, SnapshotChunk, SnapshotEnd
from exchange.engine.records import LocalTrade, OrderRejected, Record, TradeAccepted
from exchange.engine.soft import Soft
from exchange.wire.feeds import (
    BOOK,
    HEARTBEAT,
    ORDERS,
    TRADES,
    Cursor,
    FeedWriter,
    Levels,
    Topic,
)

DEPTH = 50  # levels of a side that are published
BOOK_US = 20_000  # changes of a book are gathered so long
HEARTBEAT_US = 1_000_000
RING = 64  # events of a topic kept for those who come again
RESUMED_MAX = 1_000  # trades replayed to one who comes again

Event = tuple[tuple[int, ...], bytes]  # who followed its topic then, and its line


class Followed:
    """A topic that somebody follows."""

    def __init__(self, topic: Topic, generation: int) -> None:
        self.topic = topic
        self.generation = generation  # a cursor of another one is stale
        self.seq = Seq(0)
        self.ring: deque[tuple[int, bytes]] = deque(maxlen=RING)
        self.readers: dict[int, None] = {}
        self.levels: Levels = ({}, {})  # of a book, as last told
        self.fill_seq = Seq(0)  # of an account, as last told

    def since(self, seq: int) -> list[bytes] | None:
        """Return the events after one, None if they are not all here any more."""
        if seq == self.seq:
            return []
        if seq > self.seq or not self.ring or self.ring[0][0] > seq + 1:
            return None
        return [line for number, line in self.ring if number > seq]


class Topics:
    """The topics that somebody follows, and what the turns do to them."""

    def __init__(self, soft: Soft, *, wall_us: Callable[[], int]) -> None:
        self._soft = soft
        self._state = soft.state
        self._wall_us = wall_us
        self._writer = FeedWriter(soft.state.node_id, soft.state.scalars.epoch)
        self._topics: dict[Topic, Followed] = {}
        self._changed: dict[Symbol, None] = {}  # books to be told at the end of the window
        self._stream_seq = Seq(0)  # of the own stream, as far as it was looked at
        self._shown: list[OwnerBook] = []  # whose orders make the books, as last told
        self._generation = 0
        self._flushed_us = 0
        self._beat_us = 0

    def __len__(self) -> int:
        return len(self._topics)

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._topics)

    @property
    def is_due(self) -> bool:
        """Tell whether something waits for a turn, though nothing happens."""
        return bool(self._changed or Topic(HEARTBEAT) in self._topics)

    def find(self, topic: Topic) -> Followed | None:
        """Return a topic that somebody follows."""
        return self._topics.get(topic)

    def follow(self, topic: Topic) -> Followed:
        """Return a topic, from now on followed."""
        if not self._topics:
            self._begin()
        followed = self._topics.get(topic)
        if followed is None:
            followed = self._topics[topic] = self._new(topic)
        return followed

    def forget(self, topic: Topic) -> None:
        """Tell nothing of a topic any more."""
        del self._topics[topic]

    def _begin(self) -> None:
        """Look only at what happens from now on."""
        self._stream_seq = self._soft.stream_seq
        self._shown = self._soft.matched
        self._changed.clear()

    def _new(self, topic: Topic) -> Followed:
        self._generation += 1
        followed = Followed(topic, self._generation)
        if topic.channel == BOOK:
            followed.levels = self._levels(topic.symbol)
        elif topic.channel == TRADES:
            followed.generation = 0  # its seq is the tape's, and stays
            followed.seq = self._state.instruments[topic.symbol].trade_seq
        elif topic.channel == ORDERS:
            owner = self._state.accounts.find(topic.account)
            followed.fill_seq = owner.fill_seq if owner is not None else Seq(0)
        return followed

    # What happened: called at the end of a turn.

    def collect(
        self, items: Sequence[object], records: Sequence[Record], now_us: int
    ) -> list[Event]:
        """Write what the turn changed."""
        events: list[Event] = []
        self._look_at_peers(items)
        self._look_at_own(events, records)
        if self._changed and now_us - self._flushed_us >= BOOK_US:
            self._flushed_us = now_us
            self._tell_books(events)
        if now_us - self._beat_us >= HEARTBEAT_US:
            self._beat_us = now_us
            self._tell_heartbeat(events)
        return events

    def _look_at_peers(self, items: Iterable[object]) -> None:
        """Note the books that peers changed; a replica that was swapped changes all of them."""
        is_swapped = False
        for item in items:
            if type(item) is not PeerBatch:
                continue
            for message in item.batch.messages:
                if isinstance(message, Events):
                    self._note(event.symbol for event in message.events)
                elif isinstance(message, SnapshotChunk):
                    self._note(event.symbol for event in message.orders)
                elif isinstance(message, SnapshotEnd):
                    is_swapped = True
        if is_swapped or self._soft.matched != self._shown:  # a peer has come or gone (B5)
            self._note(topic.symbol for topic in self._topics if topic.channel == BOOK)
        self._shown = self._soft.matched

    def _note(self, symbols: Iterable[Symbol]) -> None:
        for symbol in symbols:
            if Topic(BOOK, symbol) in self._topics:
                self._changed[symbol] = None

    def _look_at_own(self, events: list[Event], records: Sequence[Record]) -> None:
        """Tell trades and orders; note books.  Each order touched is in the own stream (B1)."""
        soft = self._soft
        count, self._stream_seq = soft.stream_seq - self._stream_seq, soft.stream_seq
        ring = soft.ring
        touched: dict[AccountId, dict[int, None]] = {}
        for event in islice(ring, max(0, len(ring) - count), None):
            if Topic(BOOK, event.symbol) in self._topics:
                self._changed[event.symbol] = None
            if Topic(ORDERS, account=event.account) in self._topics:
                touched.setdefault(event.account, {})[event.order_id] = None
        traded: dict[Symbol, None] = {}
        for record in records:
            kind = type(record)
            if kind is LocalTrade or kind is TradeAccepted:
                order = self._state.find_order(record.maker)  # type: ignore[union-attr]
                assert order is not None, "a trade of no order"
                traded[order.symbol] = None
            elif kind is OrderRejected and Topic(ORDERS, account=record.account) in self._topics:  # type: ignore[union-attr]
                touched.setdefault(record.account, {})[record.order_id] = None  # type: ignore[union-attr]
        for symbol in traded:
            self._tell_trades(events, symbol)
        for account, order_ids in touched.items():
            self._tell_orders(events, account, order_ids)
        if count > len(ring):  # more than can be looked back at: all of it is new
            self._note(topic.symbol for topic in self._topics if topic.channel == BOOK)

    def _tell_trades(self, events: list[Event], symbol: Symbol) -> None:
        followed = self._topics.get(Topic(TRADES, symbol))
        if followed is None:
            return
        listing = self._state.instruments[symbol]
        for seq in range(followed.seq + 1, listing.trade_seq + 1):
            self._emit(events, followed, self._trade_line(symbol, seq))

    def _trade_line(self, symbol: Symbol, seq: int) -> bytes:
        trade = self._state.trades.find((symbol, Seq(seq)))
        assert trade is not None, "the tape is gapless"
        return self._writer.trade(trade, self._state.rules[symbol])

    def _tell_orders(
        self, events: list[Event], account: AccountId, order_ids: Iterable[int]
    ) -> None:
        followed = self._topics[Topic(ORDERS, account=account)]
        line = self._orders_line(followed, order_ids, Seq(followed.seq + 1), kind="update")
        self._emit(events, followed, line)

    def _orders_line(
        self, followed: Followed, order_ids: Iterable[int], seq: Seq, *, kind: str
    ) -> bytes:
        """Write orders as they are, and the fills since the last event."""
        state, account = self._state, followed.topic.account
        owner = state.accounts.find(account)
        last = owner.fill_seq if owner is not None else Seq(0)
        fills = []
        if kind == "update":
            for number in range(followed.fill_seq + 1, last + 1):
                fill = state.fills.find((account, Seq(number)))
                assert fill is not None, "fills are gapless"
                fills.append((fill, state.instruments[fill.symbol].instrument))
            followed.fill_seq = last
        orders = [
            order_answer(order, state.instruments[order.symbol].instrument, lsn=state.lsn)
            for order in map(state.find_order, order_ids)  # type: ignore[arg-type]
            if order is not None
        ]
        return self._writer.orders(
            followed.topic, followed.generation, seq, kind, orders, fills, self._now()
        )

    def _tell_books(self, events: list[Event]) -> None:
        for symbol in self._changed:
            followed = self._topics.get(Topic(BOOK, symbol))
            if followed is None:
                continue
            levels = self._levels(symbol)
            if levels == followed.levels:
                continue
            line = self._writer.delta(
                followed.topic,
                followed.generation,
                Seq(followed.seq + 1),
                self._state.rules[symbol],
                followed.levels,
                levels,
                self._now(),
            )
            followed.levels = levels
            self._emit(events, followed, line)
        self._changed.clear()

    def _tell_heartbeat(self, events: list[Event]) -> None:
        followed = self._topics.get(Topic(HEARTBEAT))
        if followed is not None:
            seq = Seq(followed.seq + 1)
            line = self._writer.heartbeat(seq, self._state.lsn, self._now())
            self._emit(events, followed, line)

    def _emit(self, events: list[Event], followed: Followed, line: bytes) -> None:
        followed.seq = Seq(followed.seq + 1)
        followed.ring.append((followed.seq, line))
        if followed.readers:
            events.append((tuple(followed.readers), line))

    # Bringing a reader level.

    def resync(self, followed: Followed) -> bytes:
        """Write that events were skipped."""
        return self._writer.resync(followed.topic, followed.seq)

    def closed(self, followed: Followed) -> bytes:
        """Write that a topic is told no more: the key that opened it is not good any more."""
        return self._writer.closed(followed.topic, followed.seq)

    def level(self, followed: Followed, cursor: Cursor | None) -> list[bytes]:
        """Return what brings a new reader level with a topic."""
        topic = followed.topic
        if topic.channel == TRADES:
            return self._trades_since(followed, cursor)
        is_same = cursor is not None and cursor.epoch == self._state.scalars.epoch
        if cursor is not None and is_same and cursor.generation == followed.generation:
            missed = followed.since(cursor.seq)
            if missed is not None:
                return missed
        if topic.channel == BOOK:
            rule = self._state.rules[topic.symbol]
            return [
                self._writer.snapshot(
                    topic, followed.generation, followed.seq, rule, followed.levels, self._now()
                )
            ]
        if topic.channel == ORDERS:
            live = sorted(self._state.open_by_account.get(topic.account, {}))
            return [self._orders_line(followed, live, followed.seq, kind="snapshot")]
        return []

    def _trades_since(self, followed: Followed, cursor: Cursor | None) -> list[bytes]:
        if cursor is None or cursor.seq >= followed.seq:
            return []
        if followed.seq - cursor.seq > RESUMED_MAX:
            return [self._writer.resync(followed.topic, followed.seq)]
        symbol = followed.topic.symbol
        return [self._trade_line(symbol, seq) for seq in range(cursor.seq + 1, followed.seq + 1)]

    def _levels(self, symbol: Symbol) -> Levels:
        owners = self._soft.matched
        bids: dict[int, tuple[int, int]] = {}
        asks: dict[int, tuple[int, int]] = {}
        for side, levels in ((Side.BUY, bids), (Side.SELL, asks)):
            for price, quantity, orders in depth(owners, symbol, side, DEPTH):
                levels[price] = (quantity, orders)
        return bids, asks

    def _now(self) -> Micros:
        return Micros(self._wall_us())
