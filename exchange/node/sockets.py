"""A connection of a node: its stream, and what the node must know of the other side."""

import ipaddress
import os
import ssl

import msgspec
import trio

from exchange.coordinator.secret import ClusterSecret
from exchange.process.addresses import parse_address
from exchange.process.sockets import tune
from exchange.process.tls import Trust, peer_name, secured


class Wire(msgspec.Struct, frozen=True):
    """A connection: the stream, and the number of its socket if it has one."""

    stream: trio.abc.Stream
    file: int | None = None
    peer: str = ""  # the name in its certificate; empty without one
    address: str = ""  # of the other side; empty inside this process

    async def receive(self, size: int) -> bytes:
        """Return what has come, empty at the end; raises trio's errors of a broken stream.

        Trio tries a socket before it waits for it, which fails nearly always here and costs
        as much as the read that works.
        """
        if self.file is None:
            return bytes(await self.stream.receive_some(size))
        while True:
            await trio.lowlevel.wait_readable(self.file)
            try:
                return os.read(self.file, size)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error


def prepare(stream: trio.SocketStream) -> Wire:
    """Set the options of a connection, and take note of where it comes from."""
    tune(stream)
    return Wire(stream, stream.socket.fileno(), address=address_of(stream.socket))


def address_of(peer: trio.socket.SocketType) -> str:
    """Return the other side's address as limits count it: of IPv6 the network, as one has many."""
    try:
        host = str(peer.getpeername()[0])
    except OSError:  # gone already
        return "gone"
    if ":" not in host:
        return host
    return str(ipaddress.ip_network(f"{host.partition('%')[0]}/64", strict=False))


async def dial(
    address: str, *, trust: Trust | None = None, secret: ClusterSecret | None = None
) -> Wire:
    """Connect to a `host:port`, over TLS with `trust`; raises OSError, or BadAddress.

    With `secret` whoever answers must prove that it knows it: NotProven.
    """
    parsed = parse_address(address)
    wire = prepare(await trio.open_tcp_stream(parsed.host, parsed.port))
    if secret is not None:
        await secret.prove(wire.stream)
    return wire if trust is None else await secure(wire, trust.client)


async def secure(wire: Wire, context: ssl.SSLContext, *, is_server: bool = False) -> Wire:
    """Speak TLS on a connection from now on; OSError if the other side does not."""
    wrapped = await secured(wire.stream, context, is_server=is_server)
    return Wire(wrapped, peer=peer_name(wrapped), address=wire.address)
