"""Fan-out: each node is followed once, each event reaches all who want it (C8).

Theory of operation
===================
    node -> Upstream -> on_event -> pending, by topic
    every `window` seconds: pending -> one frame for each set of topics that is followed by
    somebody -> pushed to each subscriber of that set

What costs is a send, so a frame gathers the events of a window, and it is encoded once for
all subscribers with the same topics.  A pass begins with another subscriber each time.  While
one pass is being sent the next gathers: under load frames grow instead of queues.

A subscriber that is UNSENT_MAX bytes behind gets nothing until it has caught up, then a
`resync` notice of each topic and a snapshot of each book: memory is bounded by construction.

A trade's cursor says how far the tapes of all nodes are told, so that a reader who comes again
misses nothing of a node that it has not heard of.

A private topic is opened by each subscriber's own key, on one connection for all.  When the
node closes it, because one of these keys is good no more, or the connection breaks, nobody
hears of it until his own key has opened it again; who holds a bad one is told `closed`.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import trio

from exchange.client.connection import Request
from exchange.client.errors import ClientError, Refused
from exchange.client.feed_events import CLOSED, RESYNC, read_event
from exchange.coordinator.keys import owner_of
from exchange.domain.units import format_id, node_of
from exchange.gateway.feed.topics import (
    JOINT,
    Key,
    TopicState,
    cursors_of,
    key_of,
    tape_cursor,
)
from exchange.gateway.feed.upstream import ASKED_AGAIN, Upstream
from exchange.gateway.http.messages import Socket
from exchange.gateway.http.websocket import text_frame
from exchange.gateway.nodes import Nodes
from exchange.process.logs import Event as LogEvent
from exchange.wire.feeds import (
    BOOK,
    HEARTBEAT,
    ORDERS,
    TRADES,
    FeedFilter,
    read_cursors,
)

WINDOW_S = 0.05
LOOK_S = 5.0  # between looks for new nodes
UNSENT_MAX = 1 << 18  # bytes behind; then nothing more is sent for now
CAUGHT_UP = 1 << 14
TOPICS_MAX = 4_096  # of one subscriber
AT_ONCE = 64  # sends between two checkpoints: a pass must not hold up requests
LOCATE_S = 1.0  # for a node to say where its tape is
RESUMED_MAX = 1_000  # trades fetched for one who comes again
PAUSE_S = 0.5  # before a node that could not open a private topic is asked again


class Subscriber:
    """One WebSocket, and what it follows."""

    def __init__(self, sink: Socket) -> None:
        self.sink = sink
        self.keys: dict[Key, str] = {}  # and the API key that opens it, empty for public ones
        self.is_behind = False

    def send(self, messages: Iterable[bytes]) -> None:
        """Send messages as one frame."""
        self.sink.push(b"[%b]" % b",".join(messages))


class WebSocketFollower:
    """A subscriber as its WebSocket sees it."""

    def __init__(self, hub: "FeedHub", sink: Socket) -> None:
        self._hub = hub
        self._subscriber = Subscriber(sink)

    async def subscribe(self, value: FeedFilter, api_key: str) -> list[str]:
        """Follow topics; returns where the tapes are followed from."""
        return await self._hub.subscribe(self._subscriber, value, api_key)

    async def unsubscribe(self, value: FeedFilter, api_key: str) -> None:
        """Follow topics no more, whichever node told them."""
        named = {(key.channel, key.name) for key in await self._hub.keys_of(value, api_key)}
        gone = [key for key in self._subscriber.keys if (key.channel, key.name) in named]
        self._hub.unsubscribe(self._subscriber, gone)

    def leave(self) -> None:
        """Follow nothing any more."""
        self._hub.unsubscribe(self._subscriber)


class FeedHub:
    """All topics and all subscribers of a gateway."""

    def __init__(
        self,
        nursery: trio.Nursery,
        nodes: Nodes,
        *,
        window_s: float = WINDOW_S,
        tell: Callable[[LogEvent], object] = lambda _event: None,
    ) -> None:
        self._nursery = nursery
        self._nodes = nodes
        self._tell = tell
        self._claims: Counter[Key] = Counter()  # who is just about to follow a topic holds it
        self._window_s = window_s
        self._upstreams: dict[int, Upstream] = {}
        self._topics: dict[Key, TopicState] = {}
        self._followers: dict[Key, dict[Subscriber, None]] = {}
        self._pending: dict[Key, list[bytes]] = {}
        self._outgoing: list[tuple[Subscriber, bytes]] = []
        self._reopening: dict[Key, trio.CancelScope] = {}
        self._wake = trio.Event()
        self._pass = 0
        self.subscribers: dict[Subscriber, None] = {}
        self.frames = 0  # encoded
        self.sends = 0

    async def run(self) -> None:
        """Gather and send, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_nodes)
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                await trio.sleep(self._window_s)
                self._gather()
                await self._send_gathered()

    # Subscriptions.

    async def subscribe(self, subscriber: Subscriber, value: FeedFilter, api_key: str) -> list[str]:
        """Follow topics; what brings the subscriber level is sent before this returns.

        Returns a cursor of each symbol's trades: to come again with, should none happen until
        then.  Raises ClientError.
        """
        keys = await self.keys_of(value, api_key)
        cursors = cursors_of(value)
        if len(subscriber.keys.keys() | set(keys)) > TOPICS_MAX:
            raise Refused("too_many_topics", f"a connection follows at most {TOPICS_MAX} topics")
        for key in keys:
            self._topics.setdefault(key, TopicState(key))
        self._claims.update(keys)
        try:
            await self._follow(keys, api_key)
            await self._locate(keys)
            self.subscribers[subscriber] = None
            for key in keys:
                await subscriber.sink.drained(UNSENT_MAX)
                fetched = await self._missed(key, cursors.get(key))
                self._gather()  # what is pending is not for this one: it is level after this
                subscriber.keys[key] = api_key if key.channel == ORDERS else ""
                self._followers.setdefault(key, {})[subscriber] = None
                self._bring_level(subscriber, key, cursors.get(key), fetched)
            symbols = dict.fromkeys(key.name for key in keys if key.channel == TRADES)
            return [cursor for name in symbols if (cursor := self._market_cursor(name))]
        finally:
            self._claims.subtract(keys)
            self._claims += Counter()  # without those that nobody holds
            self._forget(keys)
            if not subscriber.keys:
                self.subscribers.pop(subscriber, None)

    def unsubscribe(self, subscriber: Subscriber, keys: Iterable[Key] | None = None) -> None:
        """Follow topics no more; all of them if none are named."""
        gone = list(subscriber.keys if keys is None else keys)
        for key in gone:
            subscriber.keys.pop(key, None)
            followers = self._followers.get(key, {})
            followers.pop(subscriber, None)
        self._forget(gone)
        if not subscriber.keys:
            self.subscribers.pop(subscriber, None)

    async def keys_of(self, value: FeedFilter, api_key: str) -> list[Key]:
        """Return the topics that a request names; raises Refused."""
        ids = await self._nodes.node_ids()
        if not ids:
            raise Refused("unavailable", "no node is there")
        keys: list[Key] = []
        for channel in dict.fromkeys(value.channels):
            if channel == ORDERS:
                keys.append(await self._own_key(api_key))
            elif channel == HEARTBEAT:
                keys += [Key(node_id, HEARTBEAT, "") for node_id in ids]
            elif not value.symbols:
                raise Refused("missing_field", f"the channel {channel} needs `symbols`")
            elif channel == BOOK:
                seen_by, other = self._book_nodes(ids)
                keys += [Key(seen_by.get(name, other), BOOK, name) for name in value.symbols]
            else:
                keys += [Key(node, TRADES, symbol) for node in ids for symbol in value.symbols]
        return keys

    async def _own_key(self, api_key: str) -> Key:
        owner = owner_of(api_key)
        if owner is None or not await self._nodes.is_known(node_of(owner)):
            raise Refused("unauthorized", "the channel orders needs the key of an account")
        return Key(node_of(owner), ORDERS, format_id(owner))

    def _book_nodes(self, ids: list[int]) -> tuple[dict[str, int], int]:
        """Choose whose views of books are told: by symbol, and of all other symbols.

        It is the node here, else the one whose view is followed already, else one that is up.
        """
        if self._nodes.local_id in ids:
            return {}, self._nodes.local_id
        followed = {key.name: key.node for key in self._topics if key.channel == BOOK}
        return followed, min(ids, key=lambda node_id: (not self._nodes.is_up(node_id), node_id))

    async def _follow(self, keys: list[Key], api_key: str) -> None:
        by_node: dict[tuple[int, bool], list[Key]] = {}
        for key in keys:
            by_node.setdefault((key.node, key.channel == ORDERS), []).append(key)
        for (node_id, is_private), some in by_node.items():
            auth = api_key if is_private else ""
            await self._upstream(node_id).follow(some, auth)

    async def _locate(self, keys: Iterable[Key]) -> None:
        """Ask where tapes are that have told nothing yet: a reader may come again before they do.

        A node that does not answer is left out.
        """
        async with trio.open_nursery() as nursery:
            for key in keys:
                if key.channel == TRADES and not self._topics[key].cursor:
                    nursery.start_soon(self._locate_one, key)

    async def _locate_one(self, key: Key) -> None:
        value = {"symbol": key.name, "newest": True, "limit": 1}
        try:
            answer = await self._nodes.ask(key.node, Request("trades.list", value), within=LOCATE_S)
        except ClientError:
            return
        state = self._topics[key]
        if not state.cursor:  # or an event came first
            state.cursor = tape_cursor(key, msgspec.json.decode(answer.value, type=_Page).last_seq)

    def _market_cursor(self, name: str) -> str:
        """Return how far the tape of each node is told: a cursor of the market's trades."""
        states = [self._topics.get(Key(node_id, TRADES, name)) for node_id in self._upstreams]
        return JOINT.join(state.cursor for state in states if state is not None and state.cursor)

    def _upstream(self, node_id: int) -> Upstream:
        upstream = self._upstreams.get(node_id)
        if upstream is None:
            connection = self._nodes.feed_connection(node_id, self._on_event)
            upstream = Upstream(
                connection,
                cursor_of=lambda key: self._topics[key].cursor if key in self._topics else "",
                on_lost=lambda: self._close_private(node_id),
                on_refused=self._on_refused,
            )
            self._upstreams[node_id] = upstream
            self._nursery.start_soon(upstream.run)
        return upstream

    def _forget(self, keys: Iterable[Key]) -> None:
        """Leave the topics that nobody follows any more."""
        by_node: dict[int, list[Key]] = {}
        for key in keys:
            if key in self._claims or (key in self._reopening and self._waiting(key)):
                continue  # whoever waits for it still follows it
            if not self._followers.get(key) and key in self._topics:
                self._followers.pop(key, None)
                del self._topics[key]
                self._pending.pop(key, None)
                by_node.setdefault(key.node, []).append(key)
        for node_id, some in by_node.items():
            self._upstream(node_id).leave(some)

    # Bringing a subscriber level.

    async def _missed(self, key: Key, cursor: str | None) -> tuple[int, list[bytes]]:
        """Fetch the trades after a cursor that is older than the ring; and through which seq."""
        if key.channel != TRADES or cursor is None or self._topics[key].since(cursor) is not None:
            return 0, []
        read = read_cursors(cursor)
        assert isinstance(read, dict), "it was read before"
        place = next(iter(read.values()))
        value = {"symbol": key.name, "from_seq": place.seq + 1, "limit": RESUMED_MAX}
        answer = await self._nodes.ask(key.node, Request("trades.list", value))
        page = msgspec.json.decode(answer.value, type=_Page)
        lines = [_trade_event(key, row) for row in page.trades]
        last = place.seq + len(lines)
        newer = await self._nodes.ask(
            key.node, Request("trades.list", {"symbol": key.name, "newest": True, "limit": 1})
        )
        newest = msgspec.json.decode(newer.value, type=_Page).last_seq
        if newest > last and not self._topics[key].leads_on_from(last):
            lines.append(self._topics[key].notice(RESYNC, newest))
            last = newest
        return last, lines

    def _bring_level(
        self, subscriber: Subscriber, key: Key, cursor: str | None, fetched: tuple[int, list[bytes]]
    ) -> None:
        state = self._topics[key]
        missed = state.since(cursor) if cursor is not None else None
        if missed is None and key.channel == BOOK:
            snapshot = state.snapshot()  # absent: the node's own is under way, to all
            missed = [] if snapshot is None else [snapshot]
        elif missed is None and key.channel == ORDERS:
            missed = state.all_since_snapshot()  # the node has just been asked for one
        elif missed is None:
            last, lines = fetched
            missed = lines + (state.after(last) if lines else [])
        if missed:
            subscriber.send(missed)

    # Events.

    def _on_event(self, line: bytes) -> None:
        event = read_event(line)
        key = key_of(event)
        state = self._topics.get(key)
        if state is None:
            return
        if event.kind == CLOSED:
            self._close(key)
            return
        state.take(event, line)
        if key.channel == TRADES and event.cursor:
            line = state.with_cursor(self._market_cursor(key.name))
        if not self._pending:
            self._wake.set()
        self._pending.setdefault(key, []).append(line)

    def _gather(self) -> None:
        """Make frames of what is pending, one for each set of topics; a new first each time."""
        pending, self._pending = self._pending, {}
        wanted: dict[Subscriber, list[Key]] = {}
        for key in pending:
            for subscriber in self._followers.get(key, ()):
                wanted.setdefault(subscriber, []).append(key)
        bodies = {key: b",".join(lines) for key, lines in pending.items()}
        frames: dict[tuple[Key, ...], bytes] = {}
        order = list(wanted)
        self._pass += 1
        start = self._pass % len(order) if order else 0
        for subscriber in order[start:] + order[:start]:
            keys = tuple(wanted[subscriber])
            frame = frames.get(keys)
            if frame is None:
                frame = text_frame(b"[%b]" % b",".join(bodies[key] for key in keys))
                frames[keys] = frame
                self.frames += 1
            self._outgoing.append((subscriber, frame))

    async def _send_gathered(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        for place, (subscriber, frame) in enumerate(outgoing):
            self._send(subscriber, frame)
            if place % AT_ONCE == AT_ONCE - 1:
                await trio.lowlevel.checkpoint()

    def _send(self, subscriber: Subscriber, frame: bytes) -> None:
        unsent = subscriber.sink.unsent
        if subscriber.is_behind and unsent <= CAUGHT_UP:
            subscriber.is_behind = False
            for key in subscriber.keys:
                state = self._topics[key]
                snapshot = state.snapshot() if key.channel == BOOK else None
                subscriber.send([state.notice(RESYNC), *([snapshot] if snapshot else [])])
            return  # the frame is in the snapshots, or skipped with the rest
        subscriber.is_behind = subscriber.is_behind or unsent > UNSENT_MAX
        if not subscriber.is_behind:
            subscriber.sink.push_frame(frame)
            self.sends += 1

    def _on_refused(self, key: Key, refused: Refused) -> None:
        """Tell that a node tells no more of a topic, instead of being silent about it."""
        name = f"{key.channel} {key.name}".strip()
        text = f"node {key.node} tells no more of {name}: {refused.code}"
        self._tell(LogEvent("topic_refused", text, node=key.node, topic=name, code=refused.code))
        self._gather()  # what came before was for all
        for subscriber in list(self._followers.get(key, ())):
            subscriber.send([self._topics[key].notice(CLOSED)])
            self.unsubscribe(subscriber, [key])

    # Private topics.

    def _close_private(self, node_id: int) -> None:
        for key in [key for key in self._topics if key.channel == ORDERS and key.node == node_id]:
            self._close(key)

    def _close(self, key: Key) -> None:
        """Tell nobody of a private topic until his own key has opened it again."""
        self._gather()  # what came before was for all
        self._followers[key] = {}
        before = self._reopening.pop(key, None)
        if before is not None:
            before.cancel()
        scope = self._reopening[key] = trio.CancelScope()
        self._nursery.start_soon(self._reopen, key, scope)

    async def _reopen(self, key: Key, scope: trio.CancelScope) -> None:
        with scope:
            for api_key in dict.fromkeys(each.keys[key] for each in self._waiting(key)):
                is_open = await self._is_opened(key, api_key)
                self._gather()  # a snapshot: it is told below
                for subscriber in self._waiting(key):
                    if subscriber.keys[key] != api_key:
                        continue
                    if is_open:
                        self._followers.setdefault(key, {})[subscriber] = None
                        self._bring_level(subscriber, key, None, (0, []))
                    else:
                        subscriber.send([self._topics[key].notice(CLOSED)])
                        self.unsubscribe(subscriber, [key])
        if self._reopening.get(key) is scope:
            del self._reopening[key]

    async def _is_opened(self, key: Key, api_key: str) -> bool:
        """Ask a node whether a key opens a topic, as long as it takes."""
        while any(each.keys[key] == api_key for each in self._waiting(key)):
            try:
                await self._upstream(key.node).follow([key], api_key)
            except Refused as refused:
                if refused.code not in ASKED_AGAIN:
                    return False
            except ClientError:
                pass
            else:
                return True
            await trio.sleep(PAUSE_S)
        return False

    def _waiting(self, key: Key) -> list[Subscriber]:
        """Return who follows a topic, and hears nothing of it now."""
        followers = self._followers.get(key, {})
        return [each for each in self.subscribers if key in each.keys and each not in followers]

    # Nodes.

    async def _watch_nodes(self) -> None:
        """Follow the trades of nodes that join, for those who follow the market's."""
        while True:
            await trio.sleep(LOOK_S)
            if not self.subscribers:
                continue
            for node_id in await self._nodes.node_ids():
                if node_id not in self._upstreams:
                    await self._join(node_id)

    async def _join(self, node_id: int) -> None:
        for key in [key for key in self._followers if key.channel in (TRADES, HEARTBEAT)]:
            new = Key(node_id, key.channel, key.name)
            state = self._topics.setdefault(new, TopicState(new))
            if new.channel == TRADES and not state.cursor:
                state.cursor = tape_cursor(new, 0)  # all of it is new
            followers = self._followers.setdefault(new, {})
            for subscriber in self._followers[key]:
                followers[subscriber] = None
                subscriber.keys[new] = ""
            try:
                await self._upstream(node_id).follow([new], "")
            except ClientError:
                continue


class _Page(msgspec.Struct, frozen=True):
    """As much of a tape as is handed on."""

    trades: list[dict[str, Any]]
    next_seq: int

    @property
    def last_seq(self) -> int:
        return self.next_seq - 1


def _trade_event(key: Key, row: dict[str, Any]) -> bytes:
    """Write a trade of the tape as its event was."""
    head = {"type": "feed", "channel": TRADES, "node": key.node}
    return msgspec.json.encode(head | row | {"cursor": tape_cursor(key, row["seq"])})
