"""`exchange watch`: book and tape as they change, as a picture for people or events for programs.

    table        on a terminal a picture that stays in its place; elsewhere one after another
    json, jsonl  each event as the feed tells it, one a line
    csv          a row for each trade, and for each level that changed

The events come from the feed (`market_feed`), which survives restarts of nodes.
"""

import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import click
import trio
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel

from exchange.client import output
from exchange.client.cluster import Cluster
from exchange.client.commands_market import LEVEL, TRADE, book_rows
from exchange.client.feed_events import Event, FollowedBook
from exchange.client.market_feed import MarketFeed
from exchange.client.results import Book
from exchange.client.tape import Row
from exchange.wire.feeds import BOOK

TAPE_ROWS = 20
TAPE_COLUMNS = TRADE[:4]
EVENT = ("ts", "event", "node", "seq", "side", "price", "quantity", "orders", "trade_id")
TELL_SECONDS = 0.5  # between two looks whether a node went or came back


async def watch_market(
    cluster: Cluster,
    symbol: str,
    *,
    node_id: int,
    form: str,
    depth: int = 10,
    every: float = 0.2,
    limit: int | None = None,
) -> None:
    """Show book and tape until interrupted, or until `limit` events were shown."""
    if form == "table":
        await _Picture(symbol, node_id, depth).show(cluster, every=every, limit=limit)
    else:
        await _print_events(cluster, symbol, node_id, form, limit)


class _Picture:
    """What a person sees."""

    def __init__(self, symbol: str, node_id: int, depth: int) -> None:
        self._symbol = symbol
        self._node_id = node_id
        self._depth = depth
        self._book = FollowedBook()
        self._tape: deque[Row] = deque(maxlen=TAPE_ROWS)
        self._events = 0

    async def show(self, cluster: Cluster, *, every: float, limit: int | None) -> None:
        """Draw what there is whenever it has changed."""
        console = Console()
        async with _following(
            cluster, self._symbol, self._node_id, self._take, history=TAPE_ROWS
        ) as feed:
            with Live(console=console, auto_refresh=False) as live:
                before: tuple[int, int, dict[int, str]] = (-1, 0, {})
                while limit is None or self._events < limit or self._events != before[0]:
                    now = (self._events, len(feed.past), feed.away())
                    if now != before:
                        before = now
                        picture = self._draw(feed)
                        if console.is_terminal:
                            live.update(picture, refresh=True)
                        else:
                            console.print(picture)
                    await trio.sleep(every)

    def _take(self, event: Event, _line: bytes) -> None:
        self._events += 1
        if event.channel == BOOK:
            self._book.take(event)
            self._book.verify(event)
        else:
            self._tape.append(
                {
                    "ts": event.ts,
                    "price": event.price,
                    "quantity": event.quantity,
                    "aggressor": event.aggressor,
                }
            )

    def _draw(self, feed: MarketFeed) -> RenderableType:
        newest = [*feed.past, *self._tape][-TAPE_ROWS:]
        rows = [{**row, "ts": str(row["ts"])[11:23]} for row in reversed(newest)]
        seen, depth = self._book, self._depth
        levels = book_rows(Book(self._symbol, seen.seq, seen.bids(depth), seen.asks(depth)))
        book = Panel(output.table(levels, LEVEL), title=f"{self._symbol} on node {self._node_id}")
        tape = Panel(output.table(rows, TAPE_COLUMNS), title="trades, newest first")
        return Group(
            Columns([book, tape]),
            *(f"waiting for node {node_id}: {why}" for node_id, why in feed.away().items()),
        )


async def _print_events(
    cluster: Cluster, symbol: str, node_id: int, form: str, limit: int | None
) -> None:
    """Print each event; a pipe that is full slows the reading of the feed down, nothing grows."""
    waiting: deque[tuple[Event, bytes]] = deque()
    woken = trio.Event()

    def take(event: Event, line: bytes) -> None:
        waiting.append((event, line))
        woken.set()

    if form == "csv":
        click.echo(output.csv_text([], EVENT), nl=False)
    shown = 0
    async with _following(cluster, symbol, node_id, take) as feed, _telling_who_is_away(feed):
        while limit is None or shown < limit:
            while waiting and shown != limit:
                _print(*waiting.popleft(), form)
                shown += 1
            sys.stdout.flush()
            if shown != limit:
                await woken.wait()
                woken = trio.Event()


def _print(event: Event, line: bytes, form: str) -> None:
    if form == "csv":
        text = output.csv_text(list(_rows(event)), EVENT, has_header=False)
    else:
        text = line.decode().rstrip("\n") + "\n"
    sys.stdout.write(text)


def _rows(event: Event) -> Iterator[dict[str, object]]:
    head = {
        "ts": event.ts,
        "event": event.kind or "trade",
        "node": event.node,
        "seq": event.seq,
    }
    if event.channel != BOOK:
        yield {
            **head,
            "side": event.aggressor,
            "price": event.price,
            "quantity": event.quantity,
            "trade_id": event.trade_id,
        }
        return
    for side, levels in (("ask", event.asks), ("bid", event.bids)):
        for price, quantity, orders in levels:
            yield {**head, "side": side, "price": price, "quantity": quantity, "orders": orders}


@asynccontextmanager
async def _following(
    cluster: Cluster,
    symbol: str,
    node_id: int,
    take: Callable[[Event, bytes], None],
    *,
    history: int = 1,
) -> AsyncIterator[MarketFeed]:
    feed = MarketFeed(cluster, symbol, book_node=node_id, history=history, on_event=take)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run)
        yield feed
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _telling_who_is_away(feed: MarketFeed) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell_who_is_away, feed)
        yield
        nursery.cancel_scope.cancel()


async def _tell_who_is_away(feed: MarketFeed) -> None:
    known: set[int] = set()
    while True:
        away = feed.away()
        for node_id in sorted(away.keys() - known):
            output.talk(f"waiting for node {node_id}: {away[node_id]}")
        for node_id in sorted(known - away.keys()):
            output.talk(f"node {node_id} is back")
        known = set(away)
        await trio.sleep(TELL_SECONDS)
