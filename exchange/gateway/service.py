"""A gateway from its listener to its end: the same alone or in a node (C7)."""

import datetime
import errno
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from exchange.coordinator.keys import owner_of
from exchange.domain.units import Micros
from exchange.gateway.certificate import (
    CERTIFICATE,
    KEY,
    ReloadedCertificate,
    certificate_used,
    development_pair,
)
from exchange.gateway.feed.hub import FeedHub, WebSocketFollower
from exchange.gateway.feed.requests import PATH, feed_upgrade
from exchange.gateway.http.connection import Site
from exchange.gateway.http.limits import Bodies, RequestGuard
from exchange.gateway.http.server import DateHeader, HttpServer
from exchange.gateway.metrics import Counts
from exchange.gateway.nodes import Nodes
from exchange.gateway.resources import accounts, candles, market, openapi, orders, system
from exchange.gateway.resources.application import make_router
from exchange.gateway.resources.resource import Resource
from exchange.node.embedding import Embedding, Https
from exchange.process.addresses import Address
from exchange.process.clocks import SystemClocks
from exchange.process.errors import ListenFailed
from exchange.process.limits import Guard
from exchange.process.logs import Event
from exchange.process.sockets import listens_at, open_listener
from exchange.wire.metrics import Family

PAUSE_S = 1.0  # before a gateway that failed begins again


async def serve_embedded(
    embedding: Embedding, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled; reports `host:port` once it listens.  Raises errors with exit codes.

    The one function that `exchange-node` is handed; `exchange-gateway` calls it with an
    embedding that has no node in it.
    """
    async with await _open(embedding.https, embedding.tell) as listener:
        certificate = _certificate(embedding.https, embedding.data_dir, listener, embedding.tell)
        task_status.started(str(listens_at(listener)))
        while True:
            try:
                await _serve(embedding, listener, certificate)
            except Exception as error:  # a bug of the gateway never ends the node
                text = "".join(traceback.format_exception(error))
                told = f"the gateway failed and begins again: {error!r}"
                embedding.tell(Event("gateway_failed", told, traceback=text))
            await trio.sleep(PAUSE_S)


async def _serve(
    embedding: Embedding, listener: trio.SocketListener, certificate: ReloadedCertificate | None
) -> None:
    async with trio.open_nursery() as nursery:
        nodes = Nodes(
            nursery,
            embedding.coordinator,
            local_id=embedding.node_id,
            dial_local=embedding.dial,
            tell=None if embedding.dial else embedding.tell,
        )
        if embedding.dial is None:
            nursery.start_soon(nodes.node_ids)  # what is wrong is told before a user meets it
        feed = FeedHub(nursery, nodes, tell=embedding.tell)
        nursery.start_soon(feed.run)
        clocks = SystemClocks()
        guard = Guard(embedding.https.limits, clocks.mono_us)
        counts = Counts(guard, feed)
        router = make_router(nodes, all_resources(clocks.wall_us, counts.families))
        router.add("GET", PATH, feed_upgrade(partial(WebSocketFollower, feed)))
        site = Site(
            router,
            RequestGuard(guard, lambda key: owner_of(key) or key),
            Bodies(),
            counts.answered,
            clocks.mono_us,
            DateHeader(clocks.wall_us),
            embedding.tell,
        )
        if certificate is not None:
            nursery.start_soon(certificate.run)
        server = HttpServer(site, context=certificate or (lambda: None), guard=guard)
        await server.run(listener)


def all_resources(
    wall_us: Callable[[], int], own: Callable[[], list[Family]] = list
) -> list[Resource]:
    """Return the whole surface, its own description last."""
    resources = [
        *orders.RESOURCES,
        *accounts.RESOURCES,
        *market.RESOURCES,
        *candles.RESOURCES,
        *system.resources(wall_us, own),
    ]
    return [*resources, openapi.resource(resources)]


async def _open(https: Https, tell: Callable[[str], None]) -> trio.SocketListener:
    """Listen; on another port, and saying so, if nobody asked for this one and it is taken."""
    try:
        return await open_listener(https.listen)
    except ListenFailed as error:
        cause = error.__cause__
        is_taken = isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE
        if not (https.is_default and is_taken):
            raise
        listener = await open_listener(Address(https.listen.host, 0))
        taken = f"{https.listen} is taken, so HTTPS is at {listens_at(listener)}"
        tell(f"{taken}; --https HOST:PORT asks for one, and fails if it is taken too")
        return listener


def _certificate(
    https: Https, data_dir: Path, listener: trio.SocketListener, tell: Callable[[str], None]
) -> ReloadedCertificate | None:
    if https.is_plain:
        return None
    certificate, key = data_dir / CERTIFICATE, data_dir / KEY
    if https.certificate is not None and https.key is not None:
        certificate, key = https.certificate, https.key
    else:
        hosts = [https.listen.host, listens_at(listener).host]
        now = datetime.datetime.fromtimestamp(_seconds(), datetime.UTC)
        if development_pair(data_dir, hosts=hosts, now=now):
            tell(Event("certificate_made", f"made a development certificate: {certificate}"))
        tell(certificate_used(certificate))
    return ReloadedCertificate(certificate, key, tell=tell)


def _seconds() -> float:
    return Micros(SystemClocks().wall_us()) / 1e6
