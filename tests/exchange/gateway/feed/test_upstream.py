"""A node's feed is followed again, from where it was, when the connection breaks."""

import msgspec
import trio

from exchange.client.connection import Connection
from exchange.gateway.feed.topics import Key
from exchange.gateway.feed.upstream import Upstream
from exchange.node.embedding import stream_pair

TRADES = Key(1, "trades", "AAPL")


async def test_topics_go_on_from_the_last_event_after_a_break(
    nursery: trio.Nursery, autojump_clock: trio.abc.Clock
) -> None:
    """C8: resume by cursor."""
    send, receive = trio.open_memory_channel[trio.SocketStream](4)

    async def dial() -> trio.abc.Stream:
        ours, theirs = stream_pair()
        await send.send(theirs)
        return ours

    upstream = Upstream(Connection(nursery, dial, name="node 1"), cursor_of=lambda _key: "c7")
    nursery.start_soon(upstream.run)
    first = await receive.receive()
    async with trio.open_nursery() as asking:
        asking.start_soon(upstream.follow, [TRADES], "")
        await answered(first)
    await first.aclose()
    second = await receive.receive()
    request = await answered(second)
    await second.aclose()

    assert request["type"] == "feed.subscribe"
    assert request["value"] == {"channels": ["trades"], "symbols": ["AAPL"], "cursor": ["c7"]}
    nursery.cancel_scope.cancel()


async def answered(stream: trio.SocketStream) -> dict[str, object]:
    """Read one request and say ok."""
    request: dict[str, object] = msgspec.json.decode(await stream.receive_some(65_536))
    answer = {"id": request["id"], "type": "ok", "value": {}}
    await stream.send_all(msgspec.json.encode(answer) + b"\n")
    return request
