"""A coordinator from its data directory to its listener: the same alone or in a node (C4).

lock, store/, identity, ballast    as in every data directory (exchange.store.directory)
operator.key                       made at the first start, 0600; a node that embeds the
coordinator has it in its own data directory
"""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from exchange.coordinator.authority import (
    CA_CERTIFICATE,
    CA_DAYS,
    COORDINATOR,
    Authority,
    new_request,
)
from exchange.coordinator.keys import operator_key
from exchange.coordinator.registrar import LocalRegistrar
from exchange.coordinator.registry_store import RegistryStore
from exchange.coordinator.server import Coordinator
from exchange.coordinator.tls import Trust, peer_name, secured, write_private
from exchange.process.addresses import Address, check_listener, parse_address
from exchange.process.clocks import now
from exchange.process.errors import ListenFailed, first_of
from exchange.process.logs import Event
from exchange.store.directory import Directory
from exchange.store.errors import StoreFailed

RANDOM_BYTES = 16  # of a cluster's name, and of a directory's nonce
BACKLOG = 1024  # nodes of a big cluster come back all at once
OPERATOR_KEY = "operator.key"
PAUSE_S = 0.2
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


class Serving(msgspec.Struct, frozen=True):
    """A coordinator that is ready."""

    address: str  # host:port, with the port that was taken
    cluster: str  # empty before the first node
    operator_key: Path
    is_key_new: bool  # this was the first start


async def serve_coordinator(
    data_dir: Path,
    listen: str,
    *,
    is_auth: bool = True,
    strict_listing: bool = False,
    operator_key_path: Path | None = None,
    say: Callable[[str], None] | None = None,
    is_tls: bool = False,
    task_status: trio.TaskStatus[Serving] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; reports `Serving` when ready.

    A failed force is no end: the registry is read again, and nobody who was not answered
    knows anything (E4).  Raises CoordinatorError or StoreError, each with its exit code.
    """
    address = parse_address(listen)
    check_listener("the coordinator's listener", address, is_tls=is_tls)
    say = say or _to_stderr
    with Directory.lock(data_dir) as directory:
        store = RegistryStore.open(directory, nonce=os.urandom(RANDOM_BYTES))
        try:
            path = operator_key_path or data_dir / OPERATOR_KEY
            key, is_new = operator_key(path)
            authority, trust = _certify(data_dir, address) if is_tls else (None, None)
            async with await open_listener(address) as listener:
                cluster = store.registry.cluster
                task_status.started(Serving(address_of(listener), cluster, path, is_new))
                while True:
                    coordinator = Coordinator(
                        LocalRegistrar(store, fresh_cluster=os.urandom(RANDOM_BYTES).hex()),
                        operator_key=key,
                        is_auth=is_auth,
                        strict_listing=strict_listing,
                        say=say,
                        authority=authority,
                    )
                    say(Event("force_failed", await _live(coordinator, listener, trust)))
                    store.close()
                    await trio.sleep(PAUSE_S)
                    store = RegistryStore.open(directory, nonce=b"")
        finally:
            store.close()


def _certify(data_dir: Path, address: Address) -> tuple[Authority, Trust]:
    """Make or read the authority, and a certificate of its own for this run."""
    moment = now()
    authority = Authority(data_dir, now=moment)
    key, request = new_request()
    certificate = authority.sign(request, COORDINATOR, [address.host], now=moment, days=CA_DAYS)
    paths = (data_dir / f"{COORDINATOR}.crt", data_dir / f"{COORDINATOR}.key")
    write_private(paths[1], key)
    write_private(paths[0], certificate)
    return authority, Trust(data_dir / CA_CERTIFICATE, *paths)


async def _live(
    coordinator: Coordinator, listener: trio.SocketListener, trust: Trust | None
) -> str:
    """Serve until a force fails, which ends all that believes in what is in memory (E4).

    Returns what failed.  Nodes and clients come again; whoever was not answered must ask.
    """
    why = ""
    try:
        async with trio.open_nursery() as nursery:
            while True:
                stream = await _accept(listener)
                if trust is None:
                    nursery.start_soon(coordinator.serve, stream)
                else:
                    nursery.start_soon(_serve_secured, coordinator, stream, trust)
    except* StoreFailed as group:
        why = f"{first_of(group, StoreFailed)}. Reading the registry again"
    return why


async def _serve_secured(coordinator: Coordinator, stream: trio.SocketStream, trust: Trust) -> None:
    try:
        wrapped = await secured(stream, trust.server, is_server=True)
    except OSError:
        return  # it speaks no TLS, or shows what we do not believe
    await coordinator.serve(wrapped, caller=peer_name(wrapped))


async def _accept(listener: trio.SocketListener) -> trio.SocketStream:
    """Take the next connection; wait while the process has no file descriptor for it."""
    while True:
        try:
            return await listener.accept()
        except OSError as error:
            if error.errno not in NO_DESCRIPTORS:
                raise
            await trio.sleep(PAUSE_S)


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


def address_of(listener: trio.SocketListener) -> str:
    """Return where a listener really listens."""
    host, port, *_ = listener.socket.getsockname()
    return str(Address(host, port))


def _to_stderr(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
