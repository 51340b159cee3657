"""Outgoing connections, tuned as every socket here is (C5)."""

import socket

import trio

from exchange.client.errors import UsageError

KEEPALIVE_SECONDS = 10  # the reference asks for it


async def open_stream(address: str) -> trio.SocketStream:
    """Connect to `host:port`; raises OSError.  Trio sets TCP_NODELAY itself."""
    host, port = split_address(address)
    stream = await trio.open_tcp_stream(host, port)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_SECONDS)
    return stream


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port`, with brackets around an IPv6 host; raises UsageError."""
    host, colon, port = address.rpartition(":")
    is_port = port.isascii() and port.isdigit() and int(port) < 1 << 16
    if not colon or not host or not is_port:
        raise UsageError(f"{address!r} is no address; one looks like 127.0.0.1:7401")
    return host.removeprefix("[").removesuffix("]"), int(port)
