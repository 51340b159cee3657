"""One life of a node: from an open store to a crash of it, a stop, or the end (C6).

A life owns all that believes in one incarnation: engine, hub, connections, membership.  When
a force fails the life ends, the store is opened again, and the next one begins (E4).
"""

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import trio

from exchange.coordinator.core import KnownNode, Registration
from exchange.coordinator.keys import minted
from exchange.coordinator.member import Membership, dial_tcp
from exchange.coordinator.secret import ClusterSecret
from exchange.domain.instruments import Instrument
from exchange.domain.units import AccountId, Epoch, Micros, NodeId
from exchange.engine.effects import Alarm, Refused, StatusAnswer
from exchange.engine.engine import Engine, EngineConfig, Step
from exchange.engine.inputs import (
    CoordinatorHeard,
    Drain,
    KnowPeer,
    ListInstrument,
    OpenAccount,
    StorageState,
    Tick,
)
from exchange.node.access import Access
from exchange.node.clients import Clients
from exchange.node.committer import (
    INLINE_BELOW_S,
    AdaptiveCommitter,
    Committer,
    InlineCommitter,
    force_time,
)
from exchange.node.deadman import DeadMan
from exchange.node.desk import Desk
from exchange.node.door import Door
from exchange.node.facts import Facts, bytes_written, resident_bytes
from exchange.node.feed import Feed
from exchange.node.hub import Hub
from exchange.node.identity import OperatorKey, Who
from exchange.node.links import Links
from exchange.node.metrics import Forces, Queues, Start, node_metrics, oldest_in_doubt_s
from exchange.node.monitor import Monitor
from exchange.node.parts import Parts
from exchange.node.settings import Settings
from exchange.node.sockets import dial
from exchange.process.clocks import Clocks
from exchange.process.limits import Guard
from exchange.process.logs import Event
from exchange.process.tls import Trust
from exchange.store.crash import crash_point
from exchange.store.lmdb_disk import LmdbDisk
from exchange.store.store import Store
from exchange.wire.answers import AnswerWriter
from exchange.wire.metrics import NodeMetrics
from exchange.wire.translate import Translator

TICK_S = 0.25
FEED_S = 0.02  # the window of a book (`topics.BOOK_US`)
STORAGE_S = 1.0  # between looks at the room on the disk: far less than its reserve fills
EVICT_S = 10.0
READERS_S = 60.0
PEERS_S = 3.0  # to hear of peers from the coordinator (C5)
STOP_S = 5.0  # to resolve what is in doubt before a stop
NO_TICKET = 0  # of inputs whose answer nobody waits for


class Life:
    """All that runs in one incarnation of a node."""

    def __init__(
        self,
        store: Store,
        disk: LmdbDisk,
        settings: Settings,
        *,
        epoch: Epoch,
        boot_id: bytes,
        address: str,
        operator_key: OperatorKey,
        coordinator: str,
        clocks: Clocks,
        tell: Callable[[str], None],
        trust: Trust | None = None,
        secret: ClusterSecret | None = None,
        start: Start | None = None,
    ) -> None:
        self._store = store
        self._disk = disk
        self._settings = settings
        self._boot_id = boot_id
        self._address = address
        self._operator_key = operator_key
        self._clocks = clocks
        self._tell = tell
        self._begun_us = clocks.mono_us()
        self._start = start or Start()
        self.forces = Forces(lambda: clocks.mono_us() / 1e6)
        self._commit = self.forces.timed(store.commit)
        state = store.state
        self.engine = Engine(
            state,
            EngineConfig(
                ack=settings.ack,
                visible_within_us=int(settings.visible_within_s * 1e6),
                open_orders_max=settings.open_orders_max,
                address=address,
                has_coordinator=settings.coordinator is not None,
            ),
            has_proof=self._store.has_proof,
        )
        self.engine.forced(store.proof)
        self.who = Who(store, epoch, address)
        self.membership = Membership(
            coordinator, self, say=tell, dial=dial_tcp(coordinator, trust, secret)
        )
        self.hub = Hub(
            self.engine,
            store,
            clocks,
            durable_lsn=store.durable_lsn,
            alarm=self._sound,
        )
        self.links = Links(
            self.who,
            self.engine,
            self.hub,
            dial=partial(dial, trust=trust, secret=secret),
            tell=tell,
            jitter=random.SystemRandom(),
            is_secured=trust is not None,
        )
        access = Access(
            state,
            is_authenticated=settings.is_authenticated,
            operator_hash=lambda: operator_key.hash,
            wall_us=clocks.wall_us,
        )
        self.feed = Feed(self.engine.soft, wall_us=clocks.wall_us, may_read=access.may_read)
        self.desk = Desk(
            access=access,
            translator=Translator(state, mint=partial(minted, state.cluster)),
            guard=Guard(settings.limits, clocks.mono_us),
            deadman=DeadMan(
                clocks.mono_us, switches=state.switches.values(), wall_us=clocks.wall_us
            ),
            feed=self.feed,
        )
        self.clients = Clients(
            self.hub,
            desk=self.desk,
            writer=AnswerWriter(state.instruments),
            parts=Parts(self.hub, state, wall_us=clocks.wall_us),
            list_symbol=None if settings.is_strict else self._list_symbol,
            facts=self.facts,
            metrics=self.metrics,
            feed=self.feed,
        )
        self.feed.connect(self.clients)
        self.hub.connect(answers=self.clients, peers=self.links, feed=self.feed)
        self.door = Door(self.clients, self.links, tell=tell, trust=trust, secret=secret)
        self.monitor = Monitor(self.engine.soft, self.forces, clocks, tell=tell)
        self.committer: Committer = InlineCommitter(self._commit)
        self._is_full = False
        self._asked_us = 0  # when the coordinator was asked last to register this node

    async def run(
        self,
        listener: trio.SocketListener,
        *,
        on_ready: Callable[["Life"], None],
        stop: trio.Event,
    ) -> None:
        """Live until `stop` is set, then stop gracefully.

        Raises StoreFailed when a force failed, OldCopy or IdentityRefused where this node must
        not go on.
        """
        self._choose_committer()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.hub.run, self.committer)
                nursery.start_soon(self.links.run)
                nursery.start_soon(self._watch_storage)
                nursery.start_soon(self.clients.watch_idle)
                nursery.start_soon(self._pace_feed)
                nursery.start_soon(self.membership.run)
                nursery.start_soon(self.door.run, listener)
                for peer in self._store.state.peers:
                    self.links.know(peer)
                await self._become_ready(nursery)
                self.door.open_to_clients()
                on_ready(self)
                if not self.engine.is_ready:
                    nursery.start_soon(self._wait_until_let_in, on_ready)
                await stop.wait()
                await self._drain()
                nursery.cancel_scope.cancel()
            self._finish()
        finally:
            self.committer.close()

    # Starting and stopping.

    def _choose_committer(self) -> None:
        """Force inline on a fast disk, else on a thread of its own; and look on."""
        token = trio.lowlevel.current_trio_token()
        self.committer = AdaptiveCommitter(
            self._commit,
            partial(_run_soon, token, self.hub.wake),
            is_slow=force_time(self._settings.data_dir) >= INLINE_BELOW_S,
            tell=self._chosen,
        )

    def _chosen(self, kind: str, seconds: float) -> None:
        where = "on a thread of their own" if kind == "thread" else "inline"
        text = f"a forced write takes {seconds * 1000:.1f} ms: they are done {where} from now on"
        self._tell(Event("committer_chosen", text, kind=kind, seconds=seconds))

    async def _become_ready(self, nursery: trio.Nursery) -> None:
        """Wait until every known peer is synced or suspected: at most 3 s (C5, C6).

        A node that all refuse is never ready; it is reached all the same, to be asked why (C3).
        """
        self._look_at_storage()
        if not self._store.state.peers:
            with trio.move_on_after(PEERS_S):  # a first start hears of its peers there
                await self.membership.wait_tried()
        self.clients.cancel_orphaned()
        nursery.start_soon(self._tick)
        while not self.engine.is_ready and not self.engine.outcast:
            await self.hub.wait_turn()

    async def _wait_until_let_in(self, on_ready: Callable[["Life"], None]) -> None:
        """Tell that this node serves once a peer has let it in (C3)."""
        while not self.engine.is_ready:
            await self.hub.wait_turn()
        on_ready(self)

    async def _tick(self) -> None:
        is_mute = False
        while True:
            self.hub.feed([Tick()])
            self.clients.cancel_silent()
            was_mute, is_mute = is_mute, self.engine.is_mute
            if is_mute and not was_mute:
                self._was_away()
            await trio.sleep(TICK_S)

    def _was_away(self) -> None:
        """Tell that this node stood still, and ask the coordinator whether it is replaced (B5)."""
        text = "this node stood still for more than 3 s; it answers when a peer has let it in again"
        self._tell(Event("stood_still", text))
        if self._settings.coordinator is not None:
            self.membership.come_again()

    async def _pace_feed(self) -> None:
        """Have a turn taken when the feed has gathered something, though nothing happens."""
        while True:
            await trio.sleep(FEED_S if self.feed.is_followed else TICK_S)
            if self.feed.is_due:
                self.hub.wake()

    async def _drain(self) -> None:
        """Refuse new orders, and wait until nothing is in doubt and all is told; bounded."""
        self.hub.feed([Drain()])
        with trio.move_on_after(STOP_S):
            await self.hub.wait_turn()
            while not self._is_quiet():
                await self.hub.wait_turn()  # four a second at least

    def _is_quiet(self) -> bool:
        in_doubt = self._store.state.offers
        return (
            not in_doubt and self.hub.is_idle and self.clients.is_flushed and self.links.is_flushed
        )

    def _finish(self) -> None:
        """Force what is decided, and a checkpoint: the next start redoes nothing."""
        self.committer.close()
        store, ts = self._store, Micros(self._clocks.wall_us())
        self.hub.finish(self.committer, InlineCommitter(self._commit))
        crash_point("drained_checkpoint_absent")
        write = store.prepare(Step([], [], store.state.lsn, {}), ts=ts, force_checkpoint=True)
        store.commit(write)
        store.committed(write)

    # Watching the disk.

    async def _watch_storage(self) -> None:
        """Tell the engine when room runs out, and tidy up what readers left (W7, W8)."""
        seconds = 0.0
        while True:
            await trio.sleep(STORAGE_S)
            seconds += STORAGE_S
            self._look_at_storage()
            self.monitor.look()
            if seconds % EVICT_S == 0:
                self._store.evict()
            if seconds % READERS_S == 0:
                self._disk.check_readers()

    def _look_at_storage(self) -> None:
        usage = self._disk.usage()
        if usage.is_full != self._is_full:
            self._is_full = usage.is_full
            self.hub.feed([StorageState(usage.is_full)])
            self._tell(
                Event(
                    "storage_full",
                    f"alarm storage_full: {usage.disk_free} bytes of disk are left; new orders "
                    "are refused, cancels and settlements go on; make room",
                    disk_free=usage.disk_free,
                    map_used=usage.map_used,
                    map_size=usage.map_size,
                )
                if usage.is_full
                else Event("storage_free", "there is room for new orders again")
            )

    def _sound(self, alarm: Alarm) -> None:
        """Tell what the engine wants an operator to hear."""
        text = f"alarm {alarm.code}: {alarm.detail}"
        self._tell(Event("alarm", text, code=alarm.code, detail=alarm.detail))

    # What others ask.

    def facts(self) -> Facts:
        """Return what the engine does not know about its node."""
        store, usage = self._store, self._disk.usage()
        return Facts(
            durable_lsn=store.durable_lsn,
            checkpoint_lsn=store.checkpoint_lsn,
            forces=self.hub.forces,
            bytes_written=bytes_written(),
            log_bytes=self.hub.log_bytes,
            turns=self.hub.turns,
            committer=self.committer.kind,
            uptime_s=(self._clocks.mono_us() - self._begun_us) / 1e6,
            cpu_s=time.process_time(),
            pid=os.getpid(),
            rss_bytes=resident_bytes(),
            clients=self.clients.count,
            map_used=usage.map_used,
            map_size=usage.map_size,
            oldest_in_doubt_s=oldest_in_doubt_s(store.state, self._clocks.wall_us()),
        )

    def metrics(self, status: StatusAnswer) -> NodeMetrics:
        """Return all figures of this node, around what its engine says."""
        state = self._store.state
        return node_metrics(
            status,
            self.facts(),
            self.forces,
            usage=self._disk.usage(),
            queues=Queues(
                self.hub.inputs_waiting,
                self.hub.turns_held,
                self.desk.guard.refused,
                self.door.refused,
            ),
            start=self._start,
            seen=lambda peer: state.peer(NodeId(peer)).seen_lsn,
        )

    async def _list_symbol(self, symbol: str) -> Instrument | Refused:
        return await self.membership.ensure_instrument(symbol)

    # The node as its coordinator sees it (`coordinator.member.Member`).

    def registration(self) -> Registration:
        """Say what the node is now."""
        state = self._store.state
        self._asked_us = self._clocks.mono_us()
        peers = [KnownNode(peer.peer, peer.nonce, peer.address) for peer in state.peers.values()]
        return Registration(
            state.nonce,
            self._address,
            state.node_id,
            state.scalars.account_number,
            self.who.epoch,
            self._boot_id,
            state.cluster,
            tuple(peers),
            tuple(listing.instrument for listing in state.instruments.values()),
        )

    def on_registered(
        self, others: list[KnownNode], instruments: list[Instrument], operator_key_hash: bytes
    ) -> None:
        """Hear of the cluster."""
        for instrument in instruments:
            self.on_listed(instrument)
        for node in others:
            self.on_joined(node)
        self._operator_key.learn(operator_key_hash)
        if self._settings.coordinator is not None:  # its own would always agree
            self.hub.feed([CoordinatorHeard(self._asked_us)])

    def on_joined(self, node: KnownNode) -> None:
        """Hear of a node, or of its new address; dial it if that is ours to do (C5)."""
        self.who.hear(node.node_id, node.address)
        self.hub.feed([KnowPeer(node.node_id, node.nonce, node.address)])
        self.links.know(node.node_id)

    def on_listed(self, instrument: Instrument) -> None:
        """Hear that an instrument is listed."""
        listing = self._store.state.instruments.get(instrument.symbol)
        if listing is None or listing.instrument != instrument:
            self.hub.feed([ListInstrument(NO_TICKET, instrument)])

    async def on_account_request(self, account: AccountId, key_hash: bytes) -> Refused | None:
        """Open an account; None once its record is durable (C1)."""
        answer = await self.hub.call(lambda ticket: OpenAccount(ticket, account, key_hash))
        return answer if isinstance(answer, Refused) else None


def _run_soon(token: trio.lowlevel.TrioToken, wake: Callable[[], None]) -> None:
    """Wake the hub from the committer's thread; at the end of the loop nobody is left."""
    with suppress(trio.RunFinishedError):
        token.run_sync_soon(wake)
