"""The relay holds, slows and breaks what goes through it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from fuzz.chaos.relay import CLIENT, Relay, Rules

NODE_LINE = b'{"type":"node","node_id":1,"cluster":"c","to":2}\n'


@asynccontextmanager
async def a_relay() -> AsyncIterator[tuple[Relay, Rules]]:
    """Run a relay before a server that echoes."""

    async def echo(stream: trio.SocketStream) -> None:
        try:
            async for data in stream:
                await stream.send_all(data)
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        port = listeners[0].socket.getsockname()[1]
        rules = Rules()
        relay = Relay(2, ("127.0.0.1", port), rules)
        await nursery.start(relay.run)
        yield relay, rules
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def dial(relay: Relay) -> AsyncIterator[trio.SocketStream]:
    host, _, port = relay.address.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        yield stream


async def test_bytes_come_back_through_an_open_relay() -> None:
    async with a_relay() as (relay, _), dial(relay) as stream:
        await stream.send_all(NODE_LINE)

        assert await stream.receive_some() == NODE_LINE


async def test_cut_holds_one_direction_until_it_heals() -> None:
    """What was under way arrives late; other dialers are not touched."""
    async with a_relay() as (relay, rules), dial(relay) as stream, dial(relay) as client:
        rules.cut.add((1, 2))
        await stream.send_all(NODE_LINE)
        await client.send_all(b'"1-1"\n')
        assert await client.receive_some() == b'"1-1"\n'

        rules.heal()
        assert await stream.receive_some() == NODE_LINE


async def test_broken_link_is_an_error_for_both() -> None:
    async with a_relay() as (relay, _), dial(relay) as stream:
        await stream.send_all(NODE_LINE)
        await stream.receive_some()
        assert relay.break_links(1) == 1
        assert relay.break_links(CLIENT) == 0

        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
