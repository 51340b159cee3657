"""Subscribers of one gateway do not get into each other's way, whoever comes and goes when."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import trio

from exchange.client.connection import Connection, Request
from exchange.client.link import Answer, OnEvent
from exchange.gateway.feed.hub import FeedHub, WebSocketFollower
from exchange.node.embedding import stream_pair
from exchange.process.logs import Event
from exchange.wire.feeds import FeedFilter, Topic, read_cursors, write_cursor

BOOK = FeedFilter(channels=["book"], symbols=["AAPL"])
Refusal = Callable[[dict[str, Any]], str]


class Sink:
    """Where the frames of one subscriber go."""

    def __init__(self) -> None:
        self.unsent = 0
        self.messages: list[dict[str, Any]] = []
        self.gate = trio.Event()
        self.gate.set()

    def push(self, messages: bytes) -> None:
        self.messages += msgspec.json.decode(messages)

    def push_frame(self, frame: bytes) -> None:
        self.push(frame[frame.index(b"[") :])

    async def drained(self, _limit: int) -> None:
        await self.gate.wait()

    async def receive(self) -> str | None:
        raise AssertionError

    async def charge(self, _key: str, _price: int) -> bool:
        raise AssertionError

    def learn(self, _key: str, *, is_good: bool) -> None:
        raise AssertionError(is_good)


class OneNode:
    """A node that says ok, or refuses; its links can be broken."""

    local_id = 1

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.ids = [1]
        self.link: trio.SocketStream
        self.asked: list[dict[str, Any]] = []
        self.refusal: Refusal = lambda _value: ""
        self.tape: list[dict[str, Any]] = []

    async def node_ids(self) -> list[int]:
        return self.ids

    async def is_known(self, _node_id: int) -> bool:
        return True

    def is_up(self, _node_id: int) -> bool:
        return True

    def feed_connection(self, _node_id: int, on_event: OnEvent) -> Connection:
        return Connection(self._nursery, self._dial, name="node 1", on_event=on_event)

    async def ask(self, node_id: int, request: Request, *, within: float = 0) -> Answer:
        tape = [row for row in self.tape if row.get("node", node_id) == node_id]
        last = tape[-1]["seq"] if tape else 0
        first = last if request.value.get("newest") else request.value["from_seq"]
        rows = [row for row in tape if row["seq"] >= first][: request.value["limit"]]
        page = {"trades": rows, "next_seq": last + 1}
        return Answer("trades", msgspec.Raw(msgspec.json.encode(page)))

    async def _dial(self) -> trio.abc.Stream:
        ours, self.link = stream_pair()
        self._nursery.start_soon(self._serve, self.link)
        return ours

    async def _serve(self, stream: trio.SocketStream) -> None:
        rest = b""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with stream:
                while data := await stream.receive_some(65_536):
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        await stream.send_all(self._answer(msgspec.json.decode(line)))

    def _answer(self, request: dict[str, Any]) -> bytes:
        self.asked.append(request)
        code = self.refusal(request["value"])
        answer = {"id": request["id"], "type": "ok", "value": {}}
        if code:
            answer |= {"type": "error", "value": {"code": code, "title": "", "detail": "no"}}
        return msgspec.json.encode(answer) + b"\n"


@asynccontextmanager
async def a_hub(told: list[Event]) -> AsyncIterator[tuple[FeedHub, OneNode]]:
    async with trio.open_nursery() as nursery:
        node = OneNode(nursery)
        hub = FeedHub(nursery, node, tell=told.append)  # type: ignore[arg-type]
        nursery.start_soon(hub.run)
        yield hub, node
        nursery.cancel_scope.cancel()


async def test_subscriber_that_comes_while_the_last_one_leaves_stays(
    autojump_clock: trio.abc.Clock,
) -> None:
    """C8: an outsider that toggled a topic once threw out whoever came to it, unlogged."""
    async with a_hub([]) as (hub, _), trio.open_nursery() as coming:
        first, second = WebSocketFollower(hub, Sink()), WebSocketFollower(hub, sink := Sink())
        await first.subscribe(BOOK, "")
        sink.gate = trio.Event()
        coming.start_soon(second.subscribe, BOOK, "")
        await trio.testing.wait_all_tasks_blocked()
        first.leave()
        sink.gate.set()
        await trio.testing.wait_all_tasks_blocked()

        assert len(hub.subscribers) == 1
        second.leave()
        assert not hub.subscribers


async def test_first_own_orders_are_asked_for_when_the_node_is_linked(
    autojump_clock: trio.abc.Clock,
) -> None:
    """C7: the first subscription to `orders` was refused, as if the node were not there."""
    async with a_hub([]) as (hub, node):
        follower = WebSocketFollower(hub, Sink())
        await follower.subscribe(FeedFilter(channels=["orders"]), "1-1.secret")

    assert [request["value"]["channels"] for request in node.asked] == [["orders"]]


async def test_one_refused_topic_of_a_resume_silences_no_other(
    autojump_clock: trio.abc.Clock,
) -> None:
    """C8: the others go on; who followed that one is told, and so is the operator."""
    told: list[Event] = []
    async with a_hub(told) as (hub, node):
        symbols = [f"S{number}" for number in range(9)]
        follower = WebSocketFollower(hub, sink := Sink())
        await follower.subscribe(FeedFilter(channels=["book"], symbols=symbols), "")
        node.asked.clear()
        node.refusal = lambda value: "unknown_instrument" if "S3" in value["symbols"] else ""
        await node.link.aclose()
        await trio.sleep(1)
        good = {
            symbol
            for request in node.asked
            if not node.refusal(request["value"])
            for symbol in request["value"]["symbols"]
        }

    assert good == set(symbols) - {"S3"}
    assert [(message["symbol"], message["kind"]) for message in sink.messages] == [("S3", "closed")]
    assert [event.name for event in told] == ["topic_refused"]


async def test_trades_of_the_tape_have_a_cursor_and_what_is_skipped_is_said(
    autojump_clock: trio.abc.Clock,
) -> None:
    """C8: a reader that was away for long goes on from what it was told, not from before."""
    async with a_hub([]) as (hub, node):
        node.tape = [{"seq": seq, "symbol": "AAPL"} for seq in range(1, 1_500)]
        old = write_cursor(1, 0, 0, Topic("trades", "AAPL"), 2)  # type: ignore[arg-type]
        follower = WebSocketFollower(hub, sink := Sink())
        await follower.subscribe(FeedFilter(channels=["trades"], symbols=["AAPL"], cursor=old), "")

    *trades, skipped = sink.messages
    read = read_cursors(trades[-1]["cursor"])
    assert [trade["seq"] for trade in trades] == list(range(3, 1_003))
    assert isinstance(read, dict)
    assert [place.seq for place in read.values()] == [1_002]
    assert (skipped["kind"], skipped["seq"]) == ("resync", 1_499)


async def test_resume_misses_nothing_of_a_node_that_was_silent(
    autojump_clock: trio.abc.Clock,
) -> None:
    """C8: a reader heard of node 1 alone; what node 2 decided meanwhile is told all the same."""
    async with a_hub([]) as (hub, node):
        node.ids = [1, 2]
        node.tape = [a_trade(1, 5), a_trade(2, 7)]
        value = FeedFilter(channels=["trades"], symbols=["AAPL"])
        first = WebSocketFollower(hub, sink := Sink())
        begun = await first.subscribe(value, "")
        event = {"type": "feed", "channel": "trades", **a_trade(1, 6)}
        event["cursor"] = write_cursor(1, 0, 0, Topic("trades", "AAPL"), 6)  # type: ignore[arg-type]
        hub._on_event(msgspec.json.encode(event))
        await trio.sleep(1)
        first.leave()
        seen = [message["cursor"] for message in sink.messages]
        node.tape += [a_trade(1, 6), a_trade(2, 8), a_trade(1, 7)]
        told = {}
        for name, cursor in (("begun", begun), ("seen", seen)):
            again = WebSocketFollower(hub, sink := Sink())
            resumed = FeedFilter(channels=["trades"], symbols=["AAPL"], cursor=cursor)
            await again.subscribe(resumed, "")
            told[name] = [(message["node"], message["seq"]) for message in sink.messages]
            again.leave()

    assert told == {"begun": [(1, 6), (1, 7), (2, 8)], "seen": [(1, 7), (2, 8)]}


def a_trade(node_id: int, seq: int) -> dict[str, Any]:
    return {"node": node_id, "symbol": "AAPL", "seq": seq}
