"""A node from its data directory to its end (C4, C6, E4, W6).

    lock -> listen -> (embed a coordinator) -> identity -> lives

A life is `open, verify, redo, force epoch, serve`.  A failed force ends it and the next one
begins in the same process and on the same ports; several in short order end the process.
"""

import gc
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import trio

from exchange.client.sockets import believe
from exchange.coordinator.member import dial_tcp
from exchange.coordinator.secret import NAME as SECRET
from exchange.coordinator.secret import ClusterSecret
from exchange.coordinator.service import Serving, serve_coordinator
from exchange.domain.units import Lsn, Micros
from exchange.node.birth import find_identity
from exchange.node.credentials import Credentials
from exchange.node.embedding import Embedding, Gateway, stream_pair
from exchange.node.identity import OperatorKey
from exchange.node.life import Life
from exchange.node.metrics import Start
from exchange.node.notify import notify
from exchange.node.settings import COORDINATOR, Settings
from exchange.process import tls
from exchange.process.addresses import Address
from exchange.process.clocks import Clocks, SystemClocks
from exchange.process.endpoints import NAME, Endpoints, remove_endpoints, write_endpoints
from exchange.process.errors import INTERRUPTED, first_of
from exchange.process.logs import Event
from exchange.process.sockets import listens_at, open_listener
from exchange.process.tls import Trust
from exchange.store.directory import Directory
from exchange.store.errors import StoreFailed
from exchange.store.frames import Identity
from exchange.store.store import Store

OPERATOR_KEY = "operator.key"
OPERATOR_HASH = "operator.hash"
BOOT_ID_SIZE = 8  # bytes
SWITCH_S = 0.0002  # performance.md: py-lmdb gives the GIL up at each put and commit
LIVES_MAX = 5  # that end with a failed force, none of them longer than LIFE_S
LIFE_S = 60.0
PAUSE_S = 0.2  # before the next life; grows with each
REDO_TOLD_S = 5.0  # between two lines about a long redo


class Service:
    """Runs one node in one data directory."""

    def __init__(
        self,
        settings: Settings,
        *,
        clocks: Clocks | None = None,
        tell: Callable[[str], None],
        gateway: Gateway | None = None,
    ) -> None:
        self._settings = settings
        self._clocks = clocks or SystemClocks()
        self._tell = tell
        self._stop = trio.Event()
        self._is_first_start = False
        self._tcp = settings.listen
        self._coordinator = ""
        self._gateway = gateway
        self._https: str | None = None  # where the gateway listens
        self._life: Life | None = None
        self._trust: Trust | None = None
        self._secret: ClusterSecret | None = None

    def stop(self) -> None:
        """Begin a graceful stop."""
        notify("STOPPING=1", os.environ)
        self._tell(Event("node_stopping", "stopping: no new orders from here on"))
        self._stop.set()

    async def run(self) -> None:
        """Serve until stopped.  Raises errors that know their exit code."""
        settings = self._settings
        settings.check()
        _prepare_process()
        with Directory.lock(settings.data_dir) as directory:
            remove_endpoints(settings.data_dir)  # of a run that was killed
            async with await open_listener(settings.listen) as listener:
                self._tcp = listens_at(listener)
                async with trio.open_nursery() as nursery:
                    self._coordinator = str(settings.coordinator or await self._embed(nursery))
                    await self._open_gateway(nursery)
                    if settings.is_tls:
                        credentials = Credentials(
                            directory, settings, self._coordinator, str(self._advertised)
                        )
                        self._trust = await credentials.obtain()
                        believe(settings.data_dir / tls.DIRECTORY / tls.CA_CERTIFICATE)
                        nursery.start_soon(credentials.keep, self._tell)
                    elif settings.is_authenticated:
                        self._secret = ClusterSecret(settings.data_dir / SECRET)
                        if settings.join_secret is not None:
                            self._secret.take(settings.join_secret)
                    identity = await self._identity(directory)
                    await self._live(directory, identity, listener)
                    nursery.cancel_scope.cancel()
            remove_endpoints(settings.data_dir)
        self._tell(Event("node_stopped", "stopped; the next start redoes nothing"))

    async def _embed(self, nursery: trio.Nursery) -> str:
        settings = self._settings

        async def embedded(task_status: trio.TaskStatus[Serving]) -> None:
            await serve_coordinator(
                settings.data_dir / COORDINATOR,
                str(settings.coordinator_listen),
                is_auth=settings.is_authenticated,
                strict_listing=settings.is_strict,
                operator_key_path=settings.data_dir / OPERATOR_KEY,
                secret_path=settings.data_dir / SECRET,
                say=self._tell,
                is_tls=settings.is_tls,
                task_status=task_status,
            )

        serving: Serving = await nursery.start(embedded)
        return serving.address

    async def _open_gateway(self, nursery: trio.Nursery) -> None:
        """Start the gateway; it says "not now" until the node serves (C7)."""
        https, gateway = self._settings.https, self._gateway
        if https is None or gateway is None:
            return
        embedding = Embedding(
            https=https,
            data_dir=self._settings.data_dir,
            coordinator=self._coordinator,
            is_authenticated=self._settings.is_authenticated,
            node_id=lambda: self._life.who.node_id if self._life is not None else 0,
            dial=self._dial_self,
            tell=self._tell,
        )
        self._https = await nursery.start(partial(gateway, embedding))

    async def _dial_self(self) -> trio.abc.Stream:
        """Connect to this node from within."""
        if self._life is None:
            raise ConnectionRefusedError("this node is starting")
        ours, theirs = stream_pair()
        self._life.door.let_in(theirs)
        await trio.lowlevel.checkpoint()
        return ours

    async def _identity(self, directory: Directory) -> Identity:
        self._is_first_start = directory.identity() is None
        return await find_identity(
            directory,
            coordinator=self._coordinator,
            address=self._advertised,
            dial=dial_tcp(self._coordinator, self._trust, self._secret),
        )

    async def _live(
        self, directory: Directory, identity: Identity, listener: trio.SocketListener
    ) -> None:
        """Live, and live again after a failed force; give up when that does not help (E4)."""
        failures = 0
        while True:
            begun = self._clocks.mono_us()
            try:
                await self._live_once(directory, identity, listener)
                return
            except BaseException as error:
                if first_of(error, StoreFailed) is None or self._stop.is_set():
                    raise
                long_ago = self._clocks.mono_us() - begun > LIFE_S * 1e6
                failures = 1 if long_ago else failures + 1
                if failures >= LIVES_MAX:
                    raise
                text = f"{_first_line(error)}. Opening the log again ({failures})"
                self._tell(Event("force_failed", text, failures=failures))
            await trio.sleep(PAUSE_S * failures)

    async def _live_once(
        self, directory: Directory, identity: Identity, listener: trio.SocketListener
    ) -> None:
        disk = directory.open()
        try:
            begun_us = self._clocks.mono_us()
            store = Store.open(disk, identity, watch=self._redo_watch())
            start = Start(store.redone, (self._clocks.mono_us() - begun_us) / 1e6)
            boot_id = os.urandom(BOOT_ID_SIZE)
            epoch = store.boot(boot_id=boot_id, ts=Micros(self._clocks.wall_us()))
            self._tell(
                Event(
                    "log_opened",
                    f"log opened in {start.seconds:.1f} s, {start.redone} records redone, "
                    f"epoch {epoch}",
                    redone=start.redone,
                    seconds=start.seconds,
                    epoch=epoch,
                    durable_lsn=store.durable_lsn,
                    checkpoint_lsn=store.checkpoint_lsn,
                )
            )
            life = Life(
                store,
                disk,
                self._settings,
                epoch=epoch,
                boot_id=boot_id,
                address=str(self._advertised),
                operator_key=OperatorKey(directory.path / OPERATOR_HASH),
                coordinator=self._coordinator,
                clocks=self._clocks,
                tell=self._tell,
                trust=self._trust,
                secret=self._secret,
                start=start,
            )
            gc.collect()
            gc.freeze()
            self._life = life
            await life.run(listener, on_ready=self._on_ready, stop=self._stop)
        finally:
            self._life = None
            gc.unfreeze()
            disk.close()

    def _redo_watch(self) -> Callable[[Lsn, Lsn], None]:
        """Return what tells how far a long redo is."""
        told_us = self._clocks.mono_us()

        def watch(lsn: Lsn, last: Lsn) -> None:
            nonlocal told_us
            if self._clocks.mono_us() - told_us >= REDO_TOLD_S * 1e6:
                told_us = self._clocks.mono_us()
                text = f"redoing the log: LSN {lsn} of {last}"
                self._tell(Event("redo_progress", text, lsn=lsn, last_lsn=last))

        return watch

    def _on_ready(self, life: Life) -> None:
        endpoints = Endpoints(
            node_id=life.who.node_id,
            epoch=life.who.epoch,
            tcp=str(self._tcp),
            https=self._https or "",
            coordinator=self._coordinator,
            is_tls=self._settings.is_tls,
        )
        try:
            write_endpoints(self._settings.data_dir, endpoints)
        except OSError as error:  # a full disk must not end a node that serves (W7)
            text = f"cannot write {self._settings.data_dir / NAME}: {error.strerror}"
            self._tell(Event("endpoints_unwritten", text))
        if not life.engine.is_ready:
            return  # it can be asked why, and serves nobody until a peer lets it in (C3)
        for line in self._greeting(life):
            self._tell(line)
        notify("READY=1", os.environ)
        self._is_first_start = False

    def _greeting(self, life: Life) -> list[str]:
        who = life.who
        lines: list[str] = [
            Event(
                "node_ready",
                f"node {who.node_id} serves on {self._tcp}, epoch {who.epoch}",
                node_id=who.node_id,
                tcp=str(self._tcp),
                epoch=who.epoch,
            )
        ]
        if self._settings.coordinator is None:
            text = f"coordinator on {self._coordinator}"
            lines.append(Event("coordinator_ready", text, address=self._coordinator))
        if self._https is not None and self._settings.https is not None:
            scheme = "http" if self._settings.https.is_plain else "https"
            url = f"{scheme}://{self._https}/v1"
            lines.append(Event("gateway_ready", f"gateway on {url}", url=url))
        if self._is_first_start:
            path = self._settings.data_dir
            has_key = self._settings.is_authenticated and self._settings.coordinator is None
            if has_key:
                text = f"operator key in {path / OPERATOR_KEY}"
                lines.append(Event("operator_key_made", text))
            if has_key or not self._settings.is_authenticated:  # else not with what lies here
                lines.append(Event("next_step", "now open an account:"))
                text = f"  EXCHANGE_DATA_DIR={path} exchange account open"
                lines.append(Event("next_step", text))
        return lines

    @property
    def _advertised(self) -> Address:
        return self._settings.advertise or self._tcp


async def serve_with_signals(service: Service) -> None:
    """Run a service; the first SIGTERM or SIGINT stops it gracefully, the second at once."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch_signals, service)
        await service.run()
        nursery.cancel_scope.cancel()


async def _watch_signals(service: Service) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        is_stopping = False
        async for number in signals:
            if is_stopping:
                os._exit(INTERRUPTED if number == signal.SIGINT else 1)
            is_stopping = True
            service.stop()


def _prepare_process() -> None:
    sys.setswitchinterval(SWITCH_S)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _first_line(error: BaseException) -> str:
    return str(first_of(error, StoreFailed)).splitlines()[0]
