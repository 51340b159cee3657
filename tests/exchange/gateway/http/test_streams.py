"""TLS over one outbox: what is pushed arrives, in order, and nothing waits for ever."""

import datetime
import ssl
from pathlib import Path

import pytest
import trio

from exchange.gateway.certificate import CERTIFICATE, KEY, development_pair, server_context
from exchange.gateway.http.streams import GatewayStream
from exchange.node.embedding import stream_pair
from tests.exchange.gateway.house import trusting


def contexts(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    now = datetime.datetime.now(datetime.UTC)
    development_pair(directory, hosts=[], now=now)
    return server_context(directory / CERTIFICATE, directory / KEY), trusting(
        directory / CERTIFICATE
    )


async def test_both_ways_over_tls(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Interfaces section 3: HTTPS."""
    server_side, client_side = contexts(tmp_path)
    ours, theirs = stream_pair()
    stream = GatewayStream(theirs, server_side)
    client = trio.SSLStream(ours, client_side, server_hostname="localhost")
    nursery.start_soon(stream.run, trio.CancelScope())
    async with trio.open_nursery() as shaking:
        shaking.start_soon(stream.handshake)
        shaking.start_soon(client.do_handshake)
    await client.send_all(b"hello")
    received = await stream.receive_some()
    stream.push(b"a" * 100_000)
    stream.push(b"b")
    answer = b""
    while len(answer) < 100_001:
        answer += await client.receive_some()

    assert received == b"hello"
    assert answer == b"a" * 100_000 + b"b"
    ours.socket.close()
    assert await stream.receive_some() == b""
    stream.close()
    nursery.cancel_scope.cancel()


async def test_garbage_is_no_handshake(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Faults 3: plaintext to TLS."""
    server_side, _ = contexts(tmp_path)
    ours, theirs = stream_pair()
    stream = GatewayStream(theirs, server_side)
    await ours.send_all(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        await stream.handshake()
    ours.socket.close()
    theirs.socket.close()


async def test_client_that_never_reads_is_given_up(
    nursery: trio.Nursery, autojump_clock: trio.abc.Clock
) -> None:
    """Faults 3: a reader that never reads."""
    ours, theirs = stream_pair()
    stream = GatewayStream(theirs, None)
    with trio.CancelScope() as scope:
        nursery.start_soon(stream.run, scope)
        while True:
            await stream.send_all(b"x" * 65_536)

    assert scope.cancelled_caught
    stream.close()
    ours.socket.close()
