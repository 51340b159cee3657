"""One instrument as it changes: the trades of all nodes, and the book as one of them sees it.

Theory of operation
===================
Each node is followed over a connection of its own, so that a busy feed never delays an answer.
First its newest trades are read; then it is asked for what comes after them, and, the one
whose book is watched, for a snapshot and its changes.  When the connection breaks, because the
node restarts, it is made again.  A trade is told only if it is the next one of its node's tape
(S8); where the feed skips some (a restart, a slow reader) they are read from the tape, so that
every trade is told exactly once and in order.  Nodes that join are followed too.
"""

from collections.abc import Callable
from functools import partial

import msgspec
import trio

from exchange.client import results
from exchange.client.cluster import Cluster
from exchange.client.connection import Connection, Request
from exchange.client.errors import ClientError, Refused, Unreachable
from exchange.client.feed_events import RESYNC, Event, read_event
from exchange.client.tape import PAGE, Row, in_order, rows_of
from exchange.domain.units import NodeId, Symbol
from exchange.wire.feeds import BOOK, TRADES, Topic, write_cursor

ASK_SECONDS = 5.0
NEW_NODES_SECONDS = 5.0  # between two looks for nodes that have joined
PAUSE_SECONDS = 0.2  # after a connection that broke
OnEvent = Callable[[Event, bytes], None]


class MarketFeed:
    """Follows one instrument for ever; `on_event` gets each event and its line."""

    def __init__(
        self, cluster: Cluster, symbol: str, *, book_node: int, on_event: OnEvent, history: int = 1
    ) -> None:
        self.past: list[Row] = []  # trades before the first event, up to `history` of each node
        self.cluster = cluster
        self.symbol = symbol
        self.book_node = book_node
        self.history = history
        self.on_event = on_event
        self._nodes: dict[int, _Node] = {}

    async def run(self) -> None:
        """Follow all nodes, and those that join."""
        async with trio.open_nursery() as nursery:
            while True:
                for node_id in await self._node_ids():
                    if node_id not in self._nodes:
                        node = self._nodes[node_id] = _Node(nursery, self, node_id)
                        nursery.start_soon(node.follow)
                        nursery.start_soon(node.catch_up)
                await trio.sleep(NEW_NODES_SECONDS)

    def away(self) -> dict[int, str]:
        """Return the nodes that cannot be heard just now, and why."""
        return {node_id: node.trouble for node_id, node in self._nodes.items() if node.trouble}

    async def _node_ids(self) -> list[int]:
        try:
            return await self.cluster.node_ids(within=ASK_SECONDS)
        except ClientError:
            return []  # the coordinator is away, and nobody needs it just now (C1)


class _Node:
    """What one node tells."""

    def __init__(self, nursery: trio.Nursery, feed: MarketFeed, node_id: int) -> None:
        self.trouble = ""
        self._feed = feed
        self._node_id = node_id
        dial = partial(feed.cluster.dial_node, node_id)
        self._connection = Connection(
            nursery, dial, name=f"the feed of node {node_id}", on_event=self._take
        )
        self._told = 0  # all trades of the tape through here
        self._is_new = True
        self._is_behind = trio.Event()
        self._book_cursor = ""

    async def follow(self) -> None:
        """Subscribe, and again whenever the connection broke."""
        while True:
            try:
                if self._is_new:
                    await self._begin()
                link = await self._connection.connected(within=ASK_SECONDS)
                await self._connection.call(self._subscription(), within=ASK_SECONDS)
            except (Refused, Unreachable) as error:
                self.trouble = self._connection.refusal or str(error)
            else:
                self.trouble = ""
                await link.ended.wait()
                self.trouble = "the connection broke"
            await trio.sleep(PAUSE_SECONDS)

    async def catch_up(self) -> None:
        """Read from the tape what the feed has skipped."""
        while True:
            await self._is_behind.wait()
            self._is_behind = trio.Event()
            try:
                trades = (await self._trades(from_seq=self._told + 1, limit=PAGE)).trades
            except (Refused, Unreachable):
                self._is_behind.set()
                await trio.sleep(PAUSE_SECONDS)
                continue
            for trade in trades:
                event = _event_of(trade, self._node_id, self._feed.symbol)
                self._take_trade(event, msgspec.json.encode(event))
            if len(trades) == PAGE:
                self._is_behind.set()

    async def _begin(self) -> None:
        page = await self._trades(newest=True, limit=self._feed.history)
        self._feed.past.extend(rows_of(page, self._node_id))
        self._feed.past.sort(key=in_order)
        self._told = page.next_seq - 1
        self._is_new = False

    def _subscription(self) -> Request:
        topic = Topic(TRADES, Symbol(self._feed.symbol))
        channels, cursors = [TRADES], [write_cursor(self._node_id, 0, 0, topic, self._told)]
        if self._node_id == self._feed.book_node:
            channels.append(BOOK)
            cursors.extend([self._book_cursor] if self._book_cursor else [])
        value = {"channels": channels, "symbols": [self._feed.symbol], "cursor": cursors}
        return Request("feed.subscribe", value)

    async def _trades(self, **places: object) -> results.Trades:
        request = Request("trades.list", {"symbol": self._feed.symbol, **places})
        connection = self._feed.cluster.node(self._node_id)
        return results.decode(await connection.call(request, within=ASK_SECONDS), results.Trades)

    def _take(self, line: bytes) -> None:
        event = read_event(line)
        if event.channel == TRADES:
            self._take_trade(event, line)
        else:
            self._book_cursor = event.cursor
            self._feed.on_event(event, line)

    def _take_trade(self, event: Event, line: bytes) -> None:
        """Tell the next trade; one that is not has others before it, which come from the tape."""
        if event.kind == RESYNC or event.seq > self._told + 1:
            self._is_behind.set()
        elif event.seq == self._told + 1:
            self._told = event.seq
            self._feed.on_event(event, line)


def _event_of(trade: results.Trade, node_id: int, symbol: str) -> Event:
    """Make the event of a trade that was read from the tape."""
    return Event(
        TRADES,
        node_id,
        trade.seq,
        symbol,
        trade_id=trade.trade_id,
        price=trade.price,
        quantity=trade.quantity,
        aggressor=trade.aggressor,
        ts=trade.ts,
        cursor=write_cursor(NodeId(node_id), 0, 0, Topic(TRADES, Symbol(symbol)), trade.seq),
    )
