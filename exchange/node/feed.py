"""The market data feed of one node: what happened, in order, to whoever subscribed (C8, S8).

Theory of operation
===================
At the end of each turn the feed looks at what the turn changed and writes the lines of it,
once for all subscribers.  The hub holds them back like every other effect until the turn's
records are durable (E3), so nobody hears of a trade before its acceptance is.  A feed that
nobody listens to costs one comparison a turn.

    channel   | one event is                          | seq counts         | resumed from
    ----------+---------------------------------------+--------------------+-----------------
    trades    | a trade that this node decided        | the node's tape,   | the tape
              |                                       | for ever           |
    book      | levels that changed in a window of    | changes since the  | the ring, else a
              | BOOK_US, of the best DEPTH            | topic is watched   | snapshot
    orders    | orders and fills of one account, by   | the same           | the same
              | one turn                              |                    |
    heartbeat | a second has passed                   | the same           | never

An event goes to all its subscribers in one pass, and the pass starts with another one each
time: nobody is always first.  A subscriber that is UNSENT_MAX bytes behind gets nothing more
until it has caught up; then a `resync` notice and a snapshot.  Nothing here ever waits.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Protocol

import msgspec

from exchange.domain.book import OwnerBook, depth
from exchange.domain.orders import Side
from exchange.domain.units import AccountId, Micros, Seq, Symbol
from exchange.engine.effects import Refused, order_answer
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
    FeedFilter,
    FeedWriter,
    Levels,
    Topic,
    read_cursors,
)

DEPTH = 50  # levels of a side that are published
BOOK_US = 20_000  # changes of a book are gathered so long
HEARTBEAT_US = 1_000_000
RING = 64  # events of a topic kept for those who come again
RESUMED_MAX = 1_000  # trades replayed to one who comes again
TOPICS_MAX = 10_000  # of one connection
UNSENT_MAX = 1 << 20  # bytes behind; then nothing more is sent for now
CAUGHT_UP = 1 << 14


class Readers(Protocol):
    """Sends lines to connections."""

    def send_lines(self, connection: int, lines: bytes) -> None: ...
    def unsent(self, connection: int) -> int: ...


Event = tuple[tuple[int, ...], bytes]  # who followed its topic then, and its line


class Publication(msgspec.Struct, frozen=True):
    """What a turn has to tell, once it is durable; an effect of the shell."""

    events: list[Event]
    personal: list[tuple[int, bytes]]  # snapshots: to one connection each


class _Followed:
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


class Feed:
    """All topics of one node.  `collect` when a turn is decided, `release` when it is durable."""

    def __init__(self, soft: Soft, *, wall_us: Callable[[], int]) -> None:
        self._soft = soft
        self._state = soft.state
        self._wall_us = wall_us
        self._writer = FeedWriter(soft.state.node_id, soft.state.scalars.epoch)
        self._topics: dict[Topic, _Followed] = {}
        self._topics_of: dict[int, dict[Topic, None]] = {}  # by connection
        self._asked: list[tuple[int, Topic, Cursor | None]] = []  # want to be brought level
        self._behind: dict[int, None] = {}
        self._changed: dict[Symbol, None] = {}  # books to be told at the end of the window
        self._stream_seq = Seq(0)  # of the own stream, as far as it was looked at
        self._replicas: list[OwnerBook] = []
        self._generation = 0
        self._flushed_us = 0
        self._beat_us = 0
        self._turn = 0
        self._readers: Readers

    def connect(self, readers: Readers) -> None:
        """Say where lines go; it puts its subscriptions here, so it comes second."""
        self._readers = readers

    @property
    def is_followed(self) -> bool:
        """Tell whether anybody listens."""
        return bool(self._topics)

    @property
    def is_due(self) -> bool:
        """Tell whether something waits for a turn, though nothing happens."""
        return bool(self._topics) and bool(
            self._changed or self._behind or Topic(HEARTBEAT) in self._topics
        )

    # Subscriptions: called while a turn is decided.

    def subscribe(self, connection: int, value: FeedFilter, account: AccountId) -> Refused | None:
        """Follow topics from the end of this turn on; a snapshot or what was missed comes first."""
        topics = self._named(value, account)
        if isinstance(topics, Refused):
            return topics
        cursors = read_cursors(value.cursor)
        if isinstance(cursors, Refused):
            return cursors
        mine = self._topics_of.setdefault(connection, {})
        if len(mine.keys() | set(topics)) > TOPICS_MAX:
            self._forget_if_empty(connection)
            return Refused("too_many_topics", f"a connection follows at most {TOPICS_MAX} topics")
        if not self._topics:
            self._begin()
        for topic in topics:
            mine[topic] = None
            followed = self._topics.get(topic)
            if followed is None:
                followed = self._topics[topic] = self._new(topic)
            self._asked.append((connection, topic, cursors.get((self._state.node_id, topic))))
        return None

    def unsubscribe(self, connection: int, value: FeedFilter, account: AccountId) -> Refused | None:
        """Follow topics no more."""
        topics = self._named(value, account)
        if isinstance(topics, Refused):
            return topics
        for topic in topics:
            self._leave(connection, topic)
        self._forget_if_empty(connection)
        return None

    def drop(self, connection: int) -> None:
        """Forget a connection that has ended."""
        for topic in list(self._topics_of.get(connection, ())):
            self._leave(connection, topic)
        self._forget_if_empty(connection)

    def _named(self, value: FeedFilter, account: AccountId) -> list[Topic] | Refused:
        topics: list[Topic] = []
        for channel in dict.fromkeys(value.channels):
            if channel == ORDERS:
                topics.append(Topic(ORDERS, account=account))
            elif channel == HEARTBEAT:
                topics.append(Topic(HEARTBEAT))
            elif not value.symbols:
                return Refused("missing_field", f"the channel {channel} needs `symbols`")
            else:
                topics += [Topic(channel, Symbol(symbol)) for symbol in value.symbols]
        unknown = [
            topic.symbol
            for topic in topics
            if topic.symbol and topic.symbol not in self._state.instruments
        ]
        if unknown:
            return Refused("unknown_instrument", f"{unknown[0]} is not listed")
        return topics

    def _begin(self) -> None:
        """Look only at what happens from now on."""
        self._stream_seq = self._soft.stream_seq
        self._replicas = self._owners()
        self._changed.clear()

    def _new(self, topic: Topic) -> _Followed:
        self._generation += 1
        followed = _Followed(topic, self._generation)
        if topic.channel == BOOK:
            followed.levels = self._levels(topic.symbol)
        elif topic.channel == TRADES:
            followed.generation = 0  # its seq is the tape's, and stays
            followed.seq = self._state.instruments[topic.symbol].trade_seq
        elif topic.channel == ORDERS:
            owner = self._state.accounts.find(topic.account)
            followed.fill_seq = owner.fill_seq if owner is not None else Seq(0)
        return followed

    def _leave(self, connection: int, topic: Topic) -> None:
        followed = self._topics.get(topic)
        if followed is None:
            return
        self._topics_of.get(connection, {}).pop(topic, None)
        followed.readers.pop(connection, None)
        self._asked = [asked for asked in self._asked if asked[:2] != (connection, topic)]
        if not followed.readers and not any(asked[1] == topic for asked in self._asked):
            del self._topics[topic]

    def _forget_if_empty(self, connection: int) -> None:
        if not self._topics_of.get(connection):
            self._topics_of.pop(connection, None)
            self._behind.pop(connection, None)

    # What happened: called at the end of a turn.

    def collect(
        self, items: Sequence[object], records: Sequence[Record], now_us: int
    ) -> Publication | None:
        """Write what the turn changed; None if nobody wants to know."""
        if not self._topics:
            return None
        events: list[Event] = []
        self._look_at_peers(items)
        self._look_at_own(events, records)
        if self._changed and now_us - self._flushed_us >= BOOK_US:
            self._flushed_us = now_us
            self._tell_books(events)
        if now_us - self._beat_us >= HEARTBEAT_US:
            self._beat_us = now_us
            self._tell_heartbeat(events)
        personal = self._bring_level() if self._asked or self._behind else []
        return Publication(events, personal) if events or personal else None

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
        owners = self._owners()
        if is_swapped or len(owners) != len(self._replicas):
            self._note(topic.symbol for topic in self._topics if topic.channel == BOOK)
        self._replicas = owners

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
        self, followed: _Followed, order_ids: Iterable[int], seq: Seq, *, kind: str
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

    def _emit(self, events: list[Event], followed: _Followed, line: bytes) -> None:
        followed.seq = Seq(followed.seq + 1)
        followed.ring.append((followed.seq, line))
        if followed.readers:
            events.append((tuple(followed.readers), line))

    def _bring_level(self) -> list[tuple[int, bytes]]:
        """Write snapshots, or what was missed, for those who are new or have caught up."""
        for connection in list(self._behind):
            if self._readers.unsent(connection) <= CAUGHT_UP:
                del self._behind[connection]
                mine = self._topics_of.get(connection, {})
                self._asked += [(connection, topic, None) for topic in mine]
        personal = []
        for connection, topic, cursor in self._asked:
            followed = self._topics.get(topic)
            if followed is None or connection not in self._topics_of:
                continue
            is_again = connection in followed.readers
            lines = [self._writer.resync(topic, followed.seq)] if is_again else []
            personal.append((connection, b"".join(lines + self._level(followed, cursor))))
            followed.readers[connection] = None
        self._asked.clear()
        return personal

    def _level(self, followed: _Followed, cursor: Cursor | None) -> list[bytes]:
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

    def _trades_since(self, followed: _Followed, cursor: Cursor | None) -> list[bytes]:
        if cursor is None or cursor.seq >= followed.seq:
            return []
        if followed.seq - cursor.seq > RESUMED_MAX:
            return [self._writer.resync(followed.topic, followed.seq)]
        symbol = followed.topic.symbol
        return [self._trade_line(symbol, seq) for seq in range(cursor.seq + 1, followed.seq + 1)]

    def _owners(self) -> list[OwnerBook]:
        soft = self._soft
        return [soft.own, *(link.replica for _, link in sorted(soft.links.items()))]

    def _levels(self, symbol: Symbol) -> Levels:
        owners = self._owners()
        bids: dict[int, tuple[int, int]] = {}
        asks: dict[int, tuple[int, int]] = {}
        for side, levels in ((Side.BUY, bids), (Side.SELL, asks)):
            for price, quantity, orders in depth(owners, symbol, side, DEPTH):
                levels[price] = (quantity, orders)
        return bids, asks

    def _now(self) -> Micros:
        return Micros(self._wall_us())

    # What may be told: called when the turn is durable.

    def release(self, publication: Publication) -> None:
        """Serve all subscribers in one pass that starts with another one each time."""
        gathered: dict[int, list[bytes]] = {}
        for readers, line in publication.events:
            for connection in readers:
                gathered.setdefault(connection, []).append(line)
        for connection, lines in publication.personal:
            gathered.setdefault(connection, []).append(lines)
        order = list(gathered)
        self._turn += 1
        start = self._turn % len(order) if order else 0
        for connection in order[start:] + order[:start]:
            self._send(connection, b"".join(gathered[connection]))

    def _send(self, connection: int, lines: bytes) -> None:
        if connection in self._behind:
            return
        if self._readers.unsent(connection) > UNSENT_MAX:
            self._behind[connection] = None
            return
        self._readers.send_lines(connection, lines)
