"""The market data feed of one node: who follows what, and hears of it in order (C8, S8).

Theory of operation
===================
At the end of each turn the topics (`exchange.node.topics`) look at what the turn changed and
write the lines of it, once for all subscribers.  The hub holds them back like every other
effect until the turn's records are durable (E3), so nobody hears of a trade before its
acceptance is.  A feed that nobody listens to costs one comparison a turn.

An event goes to all its subscribers in one pass, and the pass starts with another one each
time: nobody is always first.  A subscriber that is UNSENT_MAX bytes behind gets nothing more
until it has caught up; then a `resync` notice and a snapshot.  Nothing here ever waits.

The channel `orders` is opened by a key.  When keys change, and each second because keys
expire, every key that opened one is asked for again; the first that opens it no more closes
the topic for its connection, with a `closed` notice, before the events of that turn.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from exchange.domain.units import AccountId, Symbol
from exchange.engine.effects import Refused, not_listed
from exchange.engine.records import Record
from exchange.engine.soft import Soft
from exchange.node.topics import Event, Topics
from exchange.wire.feeds import HEARTBEAT, ORDERS, Cursor, FeedFilter, Topic, read_cursors

TOPICS_MAX = 10_000  # of one connection
UNSENT_MAX = 1 << 20  # bytes behind; then nothing more is sent for now
CAUGHT_UP = 1 << 14
KEYS_US = 1_000_000  # between two looks for keys that have expired
NO_KEY = b""  # under `--no-auth`


class Readers(Protocol):
    """Sends lines to connections."""

    def send_lines(self, connection: int, lines: bytes) -> None: ...
    def unsent(self, connection: int) -> int: ...


MayRead = Callable[[AccountId, bytes], bool]  # of an account, by the hash of a key


class Publication(msgspec.Struct, frozen=True):
    """What a turn has to tell, once it is durable; an effect of the shell."""

    events: list[Event]
    personal: list[tuple[int, bytes]]  # snapshots: to one connection each


class Feed:
    """All readers of one node.  `collect` when a turn is decided, `release` when it is durable."""

    def __init__(
        self,
        soft: Soft,
        *,
        wall_us: Callable[[], int],
        may_read: MayRead = lambda _account, _key_hash: True,
    ) -> None:
        self._state = soft.state
        self._topics = Topics(soft, wall_us=wall_us)
        self._may_read = may_read
        self._topics_of: dict[int, dict[Topic, None]] = {}  # by connection
        self._keys: dict[tuple[int, Topic], dict[bytes, None]] = {}  # that opened it there
        self._key_changes = 0  # of the state when they were last asked for
        self._keys_us = 0
        self._asked: list[tuple[int, Topic, Cursor | None]] = []  # want to be brought level
        self._behind: dict[int, None] = {}
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
        return self._topics.is_due or bool(self._behind or self._keys)

    # Subscriptions: called while a turn is decided.

    def subscribe(
        self, connection: int, value: FeedFilter, account: AccountId, key_hash: bytes = NO_KEY
    ) -> Refused | None:
        """Follow topics from the end of this turn on; a snapshot or what was missed comes first."""
        topics = self._named(value, account)
        if isinstance(topics, Refused):
            return topics
        cursors = read_cursors(value.cursor)
        if isinstance(cursors, Refused):
            return cursors
        if ORDERS in value.channels and key_hash and not self._may_read(account, key_hash):
            return Refused("unauthorized", "the key is good no more")
        mine = self._topics_of.setdefault(connection, {})
        if len(mine.keys() | set(topics)) > TOPICS_MAX:
            self._forget_if_empty(connection)
            return Refused("too_many_topics", f"a connection follows at most {TOPICS_MAX} topics")
        for topic in topics:
            mine[topic] = None
            self._topics.follow(topic)
            if topic.account and key_hash:
                self._keys.setdefault((connection, topic), {})[key_hash] = None
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
            return not_listed(unknown[0], self._state.instruments)
        return topics

    def _leave(self, connection: int, topic: Topic) -> None:
        followed = self._topics.find(topic)
        if followed is None:
            return
        self._topics_of.get(connection, {}).pop(topic, None)
        self._keys.pop((connection, topic), None)
        followed.readers.pop(connection, None)
        self._asked = [asked for asked in self._asked if asked[:2] != (connection, topic)]
        if not followed.readers and not any(asked[1] == topic for asked in self._asked):
            self._topics.forget(topic)

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
        closed = self._close_topics(now_us) if self._keys else []
        events = self._topics.collect(items, records, now_us)
        personal = self._bring_level() if self._asked or self._behind else []
        if not (events or personal or closed):
            return None
        return Publication(events, closed + personal)

    def _close_topics(self, now_us: int) -> list[tuple[int, bytes]]:
        """Close what was opened by keys that open it no more."""
        is_time = now_us - self._keys_us >= KEYS_US
        if not is_time and self._key_changes == self._state.key_changes:
            return []
        self._keys_us, self._key_changes = now_us, self._state.key_changes
        gone = [
            (connection, topic)
            for (connection, topic), keys in self._keys.items()
            if not all(self._may_read(topic.account, key_hash) for key_hash in keys)
        ]
        personal = []
        for connection, topic in gone:
            followed = self._topics.find(topic)
            assert followed is not None, "a key opens a topic that is followed"
            personal.append((connection, self._topics.closed(followed)))
            self._leave(connection, topic)
            self._forget_if_empty(connection)
        return personal

    def _bring_level(self) -> list[tuple[int, bytes]]:
        """Write snapshots, or what was missed, for those who are new or have caught up."""
        for connection in list(self._behind):
            if self._readers.unsent(connection) <= CAUGHT_UP:
                del self._behind[connection]
                mine = self._topics_of.get(connection, {})
                self._asked += [(connection, topic, None) for topic in mine]
        personal = []
        for connection, topic, cursor in self._asked:
            followed = self._topics.find(topic)
            if followed is None or connection not in self._topics_of:
                continue
            is_again = connection in followed.readers
            lines = [self._topics.resync(followed)] if is_again else []
            personal.append((connection, b"".join(lines + self._topics.level(followed, cursor))))
            followed.readers[connection] = None
        self._asked.clear()
        return personal

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
