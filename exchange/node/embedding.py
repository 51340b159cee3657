"""The gateway inside a node's process: what it is handed, and nothing else of the node (C7).

The node knows of a gateway only that it is one function that serves until it is cancelled.
That function reaches the node as any client does, over a stream; only that the stream stays
inside the process.  It outlives the node's lives: while there is none its dials are refused.
"""

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import msgspec
import trio

from exchange.process.addresses import Address
from exchange.process.limits import Limits

# A process serves about 1,000 requests a second, a connection costs 60 kB with TLS, and one host
# behind a proxy may be many people.
HTTPS_LIMITS = Limits(
    account_rate=500,
    address_rate=1_000,
    connections_max=8_192,
    connections_per_address=4_096,
    handshake_rate=100,  # a millisecond of CPU each
)

Dial = Callable[[], Awaitable[trio.abc.Stream]]


class Https(msgspec.Struct, frozen=True):
    """Where and how a gateway listens."""

    listen: Address
    is_default: bool = False  # nobody asked for this port: another one will do if it is taken
    certificate: Path | None = None  # None makes one for development
    key: Path | None = None
    is_plain: bool = False  # HTTP without TLS, on loopback alone
    limits: Limits = HTTPS_LIMITS


class Embedding(msgspec.Struct, frozen=True):
    """What a node hands to its gateway."""

    https: Https
    data_dir: Path
    coordinator: str
    is_authenticated: bool
    node_id: Callable[[], int]  # 0 before this node has an id
    dial: Dial | None  # of this node, if there is one; raises OSError while it is not served
    tell: Callable[[str], None]


class Gateway(Protocol):
    """Serves until cancelled; reports `host:port` when it listens."""

    async def __call__(self, embedding: Embedding, *, task_status: trio.TaskStatus[str]) -> None:
        """Raise errors that know their exit code."""


def stream_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Return the two ends of a stream that never leaves this machine's memory."""
    ours, theirs = socket.socketpair()
    return (
        trio.SocketStream(trio.socket.from_stdlib_socket(ours)),
        trio.SocketStream(trio.socket.from_stdlib_socket(theirs)),
    )
