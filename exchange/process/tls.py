"""TLS between the processes of a cluster: version 1.3 alone, names checked against claims.

    tls/ca.crt     the cluster's authority, in a node's data directory
    tls/node.crt   this node's certificate; its name is the node's id, `node-3`
    tls/node.key   0600

The name in a certificate is the one that the authority chose: `node-3`, or `coordinator`.  A
listener takes callers without a certificate, which are clients, and tells nodes by theirs: the
name in it must be that of the id that the caller claims.  Whoever dials wants to see the name
of whom he dials.  Host names are not looked at: addresses move, ids do not, and whoever joins
says his own.  With TLS 1.3 a refused caller believes for a moment that it is in; the first
read tells.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from exchange.process.addresses import Address
from exchange.process.errors import ProcessError
from exchange.process.sockets import tune

DIRECTORY = "tls"
CA_CERTIFICATE, CERTIFICATE, KEY = "ca.crt", "node.crt", "node.key"
COORDINATOR = "coordinator"  # the name of the one coordinator
HANDSHAKE_S = 10.0


def node_name(node_id: int) -> str:
    """Return the name in the certificate of a node."""
    return f"node-{node_id}"


class Trust:
    """Whom this process believes, and what it shows for itself."""

    def __init__(self, authority: Path, certificate: Path, key: Path) -> None:
        self.server = _context(ssl.PROTOCOL_TLS_SERVER, authority)
        self.server.verify_mode = ssl.CERT_OPTIONAL
        self.client = _context(ssl.PROTOCOL_TLS_CLIENT, authority)
        self._files = (certificate, key)
        self.reload()

    @classmethod
    def of_node(cls, data_dir: Path) -> "Trust":
        """Read what a node has; ProcessError if it is not whole."""
        directory = data_dir / DIRECTORY
        return cls(directory / CA_CERTIFICATE, directory / CERTIFICATE, directory / KEY)

    def reload(self) -> None:
        """Show the certificate that is on disk now, in handshakes from now on."""
        for context in (self.server, self.client):
            try:
                context.load_cert_chain(*self._files)
            except (OSError, ssl.SSLError) as error:
                raise ProcessError(
                    f"cannot use {self._files[0]} with its key: {error.strerror or error}",
                    remedy="remove both, and join the cluster again with --join",
                ) from error


def stranger() -> ssl.SSLContext:
    """Return a client that believes anybody: only to ask for what is then checked otherwise."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def visitor(authority: Path) -> ssl.SSLContext:
    """Return a client without a certificate, who believes the authority."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, authority)


async def connect(
    address: Address, context: ssl.SSLContext | None = None, *, name: str = ""
) -> trio.abc.Stream:
    """Connect to a server, over TLS with a context; raises OSError.

    With TLS `name` must be that of the server; empty is any server of the cluster.
    """
    stream = await trio.open_tcp_stream(address.host, address.port)
    tune(stream)
    if context is None:
        return stream
    wrapped = await secured(stream, context)
    shown = peer_name(wrapped)
    if name and shown != name:
        await trio.aclose_forcefully(wrapped)
        told = f"{address} has the certificate of {shown or 'nobody'}, not of {name}"
        raise ConnectionAbortedError(told)
    return wrapped


async def secured(
    stream: trio.abc.Stream, context: ssl.SSLContext, *, is_server: bool = False
) -> trio.SSLStream[trio.abc.Stream]:
    """Shake hands; raises OSError if that fails or takes too long, and closes the stream."""
    wrapped = trio.SSLStream(stream, context, server_side=is_server, https_compatible=True)
    try:
        with trio.fail_after(HANDSHAKE_S):
            await wrapped.do_handshake()
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
        await trio.aclose_forcefully(stream)
        cause = error.__cause__ or error
        told = cause if str(cause) else "the other side closed the connection or said nothing"
        raise ConnectionAbortedError(f"no TLS: {told}") from cause
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return wrapped


def peer_name(stream: trio.SSLStream[trio.abc.Stream]) -> str:
    """Return the name in the other side's certificate; empty if it showed none."""
    shown: Mapping[str, Any] = stream.getpeercert() or {}
    names = [value for row in shown.get("subject", ()) for key, value in row if key == "commonName"]
    return str(names[0]) if len(names) == 1 else ""


def _context(protocol: int, authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    try:
        context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        raise ProcessError(
            f"cannot read the cluster's authority {authority}: {error.strerror or error}",
            remedy="copy ca.crt from the coordinator's data, or, for a node, --join the cluster",
        ) from error
    return context
