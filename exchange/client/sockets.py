"""Outgoing connections, tuned as every socket here is (C5)."""

import socket
import ssl
from pathlib import Path

import trio

from exchange.client.errors import UsageError

HANDSHAKE_SECONDS = 10.0
KEEPALIVE_SECONDS = 10  # the reference asks for it


_authority: list[Path] = []  # at most one: whom this process believes; none is plain TCP


def believe(authority: Path) -> None:
    """Speak TLS from now on, with servers that a cluster's authority vouches for."""
    _authority[:] = [authority]


async def open_stream(address: str) -> trio.abc.Stream:
    """Connect to `host:port`; raises OSError.  Trio sets TCP_NODELAY itself."""
    stream = await _open_tcp(address)
    if not _authority:
        return stream
    wrapped = trio.SSLStream(stream, _context(_authority[0]), https_compatible=True)
    try:
        with trio.fail_after(HANDSHAKE_SECONDS):
            await wrapped.do_handshake()
    except (trio.BrokenResourceError, trio.TooSlowError) as error:
        await trio.aclose_forcefully(stream)
        raise ConnectionAbortedError(f"no TLS: {error.__cause__ or error}") from error
    return wrapped


def _context(authority: Path) -> ssl.SSLContext:
    """Believe a server by the authority alone: only servers of this cluster have its word."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    try:
        context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"cannot read the authority {authority}: {error}") from error
    return context


async def _open_tcp(address: str) -> trio.SocketStream:
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
