"""Sockets as every program here wants them: no Nagle, keepalive, and a wait where files run out."""

import errno
import socket
from contextlib import suppress

import trio

from exchange.process.addresses import Address
from exchange.process.errors import ListenFailed

KEEPALIVE_IDLE_S = 10  # interfaces section 1
KEEPALIVE_PROBE_S = 5
KEEPALIVE_PROBES = 3
BACKLOG = 1024  # nodes of a big cluster come back all at once
RETRY_S = 0.1  # after the process ran out of files; they come back as connections end
NO_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
LINGER_S = 1.0  # for the other side to read the last words before the connection is reset
LINGER_SIZE = 1 << 24  # bytes thrown away meanwhile: enough for a line of a few MB
LINGER_READ = 1 << 14

BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)


def tune(stream: trio.SocketStream) -> None:
    """Set the options of every connection; without TCP_NODELAY it is six times slower (C5)."""
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_PROBE_S)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


async def open_listener(address: Address) -> trio.SocketListener:
    """Listen on the first address that a name stands for; ListenFailed if it cannot be."""
    try:
        first, *others = await trio.open_tcp_listeners(
            address.port, host=address.host, backlog=BACKLOG
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            what = f"{address} is in use by another program"
            remedy = "stop that one, or give another port; port 0 takes a free one"
        else:
            what = f"cannot listen on {address}: {error.strerror or error}"
            remedy = "give an address of this machine and a port from 1024 on"
        raise ListenFailed(what, remedy=remedy) from error
    for other in others:
        await other.aclose()
    return first


def listens_at(listener: trio.SocketListener) -> Address:
    """Return where a listener really listens."""
    host, port, *_ = listener.socket.getsockname()
    return Address(host, port)


async def accept(listener: trio.SocketListener) -> trio.SocketStream:
    """Take the next connection; wait while the process has no file for it (faults 3)."""
    while True:
        try:
            return await listener.accept()
        except OSError as error:
            if error.errno not in NO_FILES:
                raise
            await trio.sleep(RETRY_S)


async def linger(stream: trio.abc.Stream) -> None:
    """Throw away what still comes: closing over it would reset the connection, unread lines too."""
    if isinstance(stream, trio.abc.HalfCloseableStream):
        with suppress(*BROKEN):
            await stream.send_eof()
    left = LINGER_SIZE
    with trio.move_on_after(LINGER_S), suppress(*BROKEN):
        while left > 0 and (data := await stream.receive_some(LINGER_READ)):
            left -= len(data)
