"""Addresses and sockets of outgoing connections."""

import socket

import pytest
import trio

from exchange.client.errors import UsageError
from exchange.client.sockets import open_stream, split_address


def test_address_is_host_and_port() -> None:
    """Interfaces 4: `host:port`."""
    assert split_address("127.0.0.1:7401") == ("127.0.0.1", 7401)
    assert split_address("[::1]:7401") == ("::1", 7401)


@pytest.mark.parametrize("text", ["", "a", ":1", "a:", "a:x", "a:70000", "a:-1"])
def test_text_that_is_no_address_is_refused(text: str) -> None:
    """Bad input: a clear error."""
    with pytest.raises(UsageError, match="no address"):
        split_address(text)


async def test_connection_is_tuned(nursery: trio.Nursery) -> None:
    """C5: TCP_NODELAY on every socket; keepalive as the reference asks."""
    listeners = await nursery.start(trio.serve_tcp, _hang, 0)
    _host, port = listeners[0].socket.getsockname()[:2]

    async with await open_stream(f"127.0.0.1:{port}") as stream:
        assert isinstance(stream, trio.SocketStream), "no TLS here"
        options = [
            stream.getsockopt(level, option)
            for level, option in (
                (socket.IPPROTO_TCP, socket.TCP_NODELAY),
                (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            )
        ]

    assert options == [1, 1, 10]
    nursery.cancel_scope.cancel()


async def _hang(stream: trio.SocketStream) -> None:
    async with stream:
        await stream.receive_some()
