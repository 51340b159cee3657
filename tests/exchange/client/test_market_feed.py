"""One instrument as it changes: every trade once, through restarts."""

from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from exchange.client.cluster import Cluster
from exchange.client.feed_events import Event
from exchange.client.market_feed import MarketFeed
from exchange.client.settings import Endpoint
from exchange.wire.feeds import checksum

BOOK = {"type": "feed", "channel": "book", "node": 1, "symbol": "X"}
TRADE = {"trade_id": "1-1", "price": "10", "quantity": "1", "aggressor": "buy", "ts": "t"}


class Node:
    """A node with a tape; it tells what it is told to tell."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.tape = 0  # trades so far
        self.asked: list[dict[str, Any]] = []  # subscriptions
        self._nursery = nursery
        self._streams: list[trio.StapledStream[Any, Any]] = []

    async def dial(self, _address: str, *, name: str) -> trio.abc.Stream:
        """Connect."""
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        self._streams.append(theirs)
        self._nursery.start_soon(self._serve, theirs)
        return ours

    async def tell(self, *events: dict[str, Any]) -> None:
        """Send events to the newest reader."""
        for event in events:
            await self._streams[-1].send_all(msgspec.json.encode(event) + b"\n")
        await trio.testing.wait_all_tasks_blocked()

    async def restart(self) -> None:
        """Break all connections."""
        streams, self._streams = self._streams, []
        for stream in streams:
            await stream.aclose()

    async def _serve(self, stream: trio.StapledStream[Any, Any]) -> None:
        try:
            async for data in stream:
                for line in data.splitlines():
                    request = msgspec.json.decode(line)
                    answer = {"id": request["id"], **self._answer(request)}
                    await stream.send_all(msgspec.json.encode(answer) + b"\n")
        except trio.ClosedResourceError:
            pass

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        value = request["value"]
        if request["type"] == "node.status":  # who is it that was dialed?
            return {"type": "status", "value": {"node_id": 1}}
        if request["type"] == "feed.subscribe":
            self.asked.append(value)
            return {"type": "ok", "value": {}}
        first = self.tape if value.get("newest") else value["from_seq"]
        trades = [{**TRADE, "seq": seq} for seq in range(max(1, first), self.tape + 1)]
        return {"type": "trades", "value": {"trades": trades, "next_seq": self.tape + 1}}


class OneNode(Cluster):
    """A cluster of one node."""

    async def node_ids(self, *, within: float = 1.0) -> list[int]:
        """Return the only one."""
        await trio.lowlevel.checkpoint()
        return [1]

    async def locate(self, node_id: int) -> str:
        """Return where it is."""
        await trio.lowlevel.checkpoint()
        return "nowhere:1"


@pytest.fixture
def node(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> Node:
    """Return a node that every dial reaches."""
    node = Node(nursery)
    monkeypatch.setattr("exchange.client.cluster.open_stream", node.dial)
    return node


@pytest.fixture
async def told(nursery: trio.Nursery, node: Node, autojump_clock: trio.abc.Clock) -> list[Event]:
    """Return what a feed of it tells, which began after two trades."""
    node.tape = 2
    told: list[Event] = []
    cluster = OneNode(nursery, Endpoint(node="nowhere:1"))
    feed = MarketFeed(
        cluster, "X", book_node=1, on_event=lambda event, _line: told.append(event), history=5
    )
    nursery.start_soon(feed.run)
    await trio.testing.wait_all_tasks_blocked()
    assert [row["seq"] for row in feed.past] == [2]
    return told


def a_trade(seq: int) -> dict[str, Any]:
    """Make an event."""
    return {"type": "feed", "channel": "trades", "node": 1, "symbol": "X", "seq": seq, **TRADE}


async def test_trades_are_told_once(node: Node, told: list[Event]) -> None:
    """S8: `seq` is gapless."""
    await node.tell(a_trade(3), a_trade(3), a_trade(4), a_trade(2))

    assert [event.seq for event in told] == [3, 4]


async def test_trades_that_the_feed_skipped_are_read_from_the_tape(
    node: Node, told: list[Event]
) -> None:
    """Interfaces 3: after a resync trades are to be had from `trades.list`."""
    node.tape = 6
    await node.tell(
        {"type": "feed", "channel": "trades", "node": 1, "seq": 5, "kind": "resync"}, a_trade(6)
    )

    assert [event.seq for event in told] == [3, 4, 5, 6]
    assert told[0].trade_id == "1-1"
    assert told[0].cursor


async def test_the_feed_survives_a_restart_of_its_node(node: Node, told: list[Event]) -> None:
    """Faults 2.17: it goes on from the last event seen, and asks for the book again."""
    await node.tell(
        a_trade(3),
        {**BOOK, "seq": 0, "kind": "snapshot", "cursor": "c1", "crc32": checksum([], [])},
    )
    await node.restart()
    await trio.sleep(1)
    await node.tell(a_trade(4))

    assert [event.seq for event in told if event.channel == "trades"] == [3, 4]
    assert "c1" in node.asked[1]["cursor"]
    assert node.asked[1]["cursor"][0] != node.asked[0]["cursor"][0]
