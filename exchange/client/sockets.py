"""Outgoing connections, tuned as every socket here is (C5).

With TLS a server must show a certificate of the cluster's authority, and in it the name that
the authority chose for it, its common name: `coordinator`, or `node-3`.  A node that has been
certified and lies is believed to be itself and nobody else.  Host names are not looked at:
addresses move, and whoever joins says his own.
"""

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from exchange.client.errors import UsageError

HANDSHAKE_SECONDS = 10.0
KEEPALIVE_SECONDS = 10  # the reference asks for it


_authority: list[Path] = []  # at most one: whom this process believes; none is plain TCP


def believe(authority: Path) -> None:
    """Speak TLS from now on, with servers that a cluster's authority vouches for."""
    _authority[:] = [authority]


COORDINATOR = "coordinator"  # the name of the one coordinator


def node_name(node_id: int) -> str:
    """Return the name in the certificate of a node."""
    return f"node-{node_id}"


def is_secured() -> bool:
    """Tell whether connections are over TLS."""
    return bool(_authority)


async def open_stream(address: str, *, name: str = "") -> trio.abc.Stream:
    """Connect to `host:port`; raises OSError.  Trio sets TCP_NODELAY itself.

    With TLS `name` must be that of the server; empty is any server of the cluster.
    """
    stream = await _open_tcp(address)
    if not _authority:
        return stream
    wrapped = trio.SSLStream(stream, _context(_authority[0]), https_compatible=True)
    try:
        with trio.fail_after(HANDSHAKE_SECONDS):
            await wrapped.do_handshake()
        _check_name(wrapped, address, name)
    except (trio.BrokenResourceError, trio.TooSlowError) as error:
        await trio.aclose_forcefully(stream)
        raise ConnectionAbortedError(_no_tls(error)) from error
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return wrapped


def _no_tls(error: trio.BrokenResourceError | trio.TooSlowError) -> str:
    """Say why there is no TLS, and what to do where the server perhaps never speaks it."""
    cause = error.__cause__ or error
    told = f"no TLS: {cause if str(cause) else 'the server closed the connection or said nothing'}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return told
    return f"{told}; if the server speaks plain TCP, say tcp:// instead of tls://"


def _check_name(stream: trio.SSLStream[trio.SocketStream], address: str, name: str) -> None:
    shown: Mapping[str, Any] = stream.getpeercert() or {}
    names = [value for row in shown.get("subject", ()) for key, value in row if key == "commonName"]
    if name and names != [name]:
        told = ", ".join(names) or "nobody"
        raise ConnectionAbortedError(f"{address} has the certificate of {told}, not of {name}")


def _context(authority: Path) -> ssl.SSLContext:
    """Believe servers of this cluster alone: no other has the word of its authority."""
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
