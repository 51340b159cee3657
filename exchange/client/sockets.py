"""Outgoing connections of this process: over plain TCP, or TLS with one cluster's servers.

With TLS a server must show a certificate of the cluster's authority, and in it its name
(`process.tls`).  A node that has been certified and lies is believed to be itself and nobody
else.
"""

import ssl
from pathlib import Path

import trio

from exchange.process.addresses import parse_address
from exchange.process.tls import connect, visitor

_authority: list[Path] = []  # at most one: whom this process believes; none is plain TCP


def believe(authority: Path) -> None:
    """Speak TLS from now on, with servers that a cluster's authority vouches for.

    Raises ProcessError if the file holds no authority: a gateway must not start with it.
    """
    visitor(authority)
    _authority[:] = [authority]


def is_secured() -> bool:
    """Tell whether connections are over TLS."""
    return bool(_authority)


async def open_stream(address: str, *, name: str = "") -> trio.abc.Stream:
    """Connect to `host:port`; raises OSError, or BadAddress.

    With TLS `name` must be that of the server; empty is any server of the cluster.
    """
    context = visitor(_authority[0]) if _authority else None
    try:
        return await connect(parse_address(address), context, name=name)
    except ConnectionAbortedError as error:
        cause = error.__cause__
        if cause is None or isinstance(cause, ssl.SSLCertVerificationError):
            raise
        hint = "if the server speaks plain TCP, say tcp:// instead of tls://"
        raise ConnectionAbortedError(f"{error}; {hint}") from cause
