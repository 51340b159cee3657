"""A coordinator from its data directory to its listener: the same alone or in a node (C4).

lock, store/, identity, ballast    as in every data directory (exchange.store.directory)
cluster.secret                     made at the first start without TLS, 0600 (`coordinator.secret`)
operator.key                       made at the first start, 0600; a node that embeds the
coordinator has it in its own data directory
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from exchange.coordinator.authority import (
    CA_CERTIFICATE,
    CA_DAYS,
    Authority,
    new_request,
)
from exchange.coordinator.keys import operator_key
from exchange.coordinator.registrar import LocalRegistrar
from exchange.coordinator.registry_store import RegistryStore
from exchange.coordinator.secret import NAME as SECRET
from exchange.coordinator.secret import ClusterSecret
from exchange.coordinator.server import Coordinator
from exchange.process.addresses import Address, check_listener, parse_address
from exchange.process.clocks import now
from exchange.process.ending import to_stderr
from exchange.process.errors import first_of
from exchange.process.files import write_file
from exchange.process.logs import Event
from exchange.process.sockets import accept, listens_at, open_listener
from exchange.process.tls import COORDINATOR, Trust, peer_name, secured
from exchange.store.directory import Directory
from exchange.store.errors import StoreFailed

RANDOM_BYTES = 16  # of a cluster's name, and of a directory's nonce
OPERATOR_KEY = "operator.key"
PAUSE_S = 0.2


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
    secret_path: Path | None = None,
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
    say = say or to_stderr
    with Directory.lock(data_dir) as directory:
        async with await open_listener(address) as listener:
            store = RegistryStore.open(directory, nonce=os.urandom(RANDOM_BYTES))
            try:
                path = operator_key_path or data_dir / OPERATOR_KEY
                key, is_new = operator_key(path)
                authority, trust = _certify(data_dir, address) if is_tls else (None, None)
                secret = None
                if is_auth and not is_tls:
                    secret = ClusterSecret.made(secret_path or data_dir / SECRET)
                cluster, at = store.registry.cluster, str(listens_at(listener))
                task_status.started(Serving(at, cluster, path, is_new))
                while True:
                    coordinator = Coordinator(
                        LocalRegistrar(store, fresh_cluster=os.urandom(RANDOM_BYTES).hex()),
                        operator_key=key,
                        is_auth=is_auth,
                        strict_listing=strict_listing,
                        say=say,
                        authority=authority,
                        secret=secret,
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
    write_file(paths[1], key)
    write_file(paths[0], certificate)
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
                stream = await accept(listener)
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
