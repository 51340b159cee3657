"""One process of a node: the simulated shell around a real engine and a real store.

It does what the Trio shell does (contract of `exchange.node`): turns of inputs, one frame
per drain, effects first-in-first-out behind the LSN they wait for, one batch per link and
turn.  It dies by `Killed`, raised at a point that a fault has armed, or by being told.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from exchange.domain.units import Lsn, NodeId
from exchange.engine.effects import (
    Alarm,
    Answer,
    CloseLink,
    Effect,
    Send,
    Stop,
    WantMore,
    is_exempt,
)
from exchange.engine.engine import Engine, EngineConfig
from exchange.engine.inputs import (
    Drain,
    Input,
    KnowPeer,
    LinkClosed,
    LinkOpened,
    PeerBatch,
    SnapshotMore,
    StorageState,
    Tick,
)
from exchange.engine.messages import Batch, Hello, PeerMessage, Session
from exchange.store.chain import Budget
from exchange.store.errors import StoreError
from exchange.store.store import Limits, Store
from fuzz.forces import Forces, Killed, hooked
from fuzz.network import Link
from fuzz.plan import MS

if TYPE_CHECKING:
    from fuzz.cluster import Cluster
    from fuzz.hardware import Machine

TICK_US = 250 * MS


class Process:
    """One incarnation of a node, from its start to its death."""

    def __init__(self, cluster: "Cluster", machine: "Machine") -> None:
        self.cluster = cluster
        self.machine = machine
        self.node = machine.node
        self.is_alive = True
        self.armed = ""  # the point at which it will die
        self.armed_after = 0  # ... after so many forces, if it dies of one
        self.paused_until_us = 0
        self.silence_us = 0  # between this turn and the one before, by the machine's own clock
        self.woke_us = 0  # when the last turn after a silence began
        self._has_begun = False
        self.heard_us = 0  # when a peer last answered a hello of ours
        self._turned_us = machine.mono_us
        self._inbox: list[Input] = []
        self._is_turn_due = False
        self._gate: deque[tuple[Lsn, list[Effect]]] = deque()
        self._kept: list[Effect] = []  # answers of a node that stood still (B5)
        self.forces = Forces(self)
        self._links: dict[tuple[int, Session], Link] = {}
        self._dialed: dict[int, Link] = {}
        self._counter = 0
        self._ticks = 0
        self.store: Store
        self.engine: Engine

    def start(self) -> None:
        """Open, redo, boot (W6).  Raises Killed or StoreFailed if it is meant to."""
        cluster, machine, plan = self.cluster, self.machine, self.cluster.plan
        self.armed = machine.armed_boot
        machine.armed_boot = ""
        with hooked(self):
            limits = Limits(
                dirty=plan.checkpoint_entries,
                tail=plan.tail,
                accounts=plan.cached_accounts,
                history=Budget(frames=plan.history),
            )
            self.store = Store.open(machine.disk, machine.identity, limits)
            self.store.boot(
                boot_id=cluster.random.getrandbits(64).to_bytes(8, "big"), ts=machine.wall_us
            )
        self.armed = ""
        cluster.hearing.booted(self)
        config = EngineConfig(
            ack=plan.ack,
            visible_within_us=plan.visible_within_us,
            address=f"127.0.0.{self.node}:7400",
            ring=plan.ring,
            chunk=plan.chunk,
            slice=plan.chunk,
        )
        self.engine = Engine(self.store.state, config, has_proof=self.store.has_proof)
        self.engine.forced(self.store.proof)
        if not machine.is_coordinator_down:
            for peer in cluster.machines.values():
                if peer is not machine and peer.is_born:
                    known = KnowPeer(peer.identity.node_id, peer.identity.nonce, "")
                    self._inbox.append(known)
        self.begin_turn()
        for item in self._inbox:
            self.engine.handle(item)
        self._inbox.clear()
        self.end_turn()
        for number in cluster.machines:
            if number > self.node and cluster.machines[number].is_born:
                cluster.at(0, cluster.network.dial, self, number)
        cluster.at(int(cluster.random.random() * TICK_US), self._tick)

    def die(self) -> None:
        """Be killed.  A write in progress is on the disk whole, or not at all."""
        self.is_alive = False
        self.forces.die()

    def has_link(self, peer: int) -> bool:
        """Tell whether we have dialed a peer and not heard of the end of that link."""
        return peer in self._dialed

    def session_with(self, peer: int) -> Session | None:
        """Return the current session with a peer."""
        link = self.engine.soft.links.get(NodeId(peer))
        return link.session if link is not None else None

    def next_session(self) -> Session:
        """Return the name of the next link that we dial (S6)."""
        self._counter += 1
        return Session(self.engine.state.scalars.epoch, self._counter)

    def link_opened(self, peer: int, link: Link) -> None:
        """Hear that a connection we dialed stands."""
        self._dialed[peer] = link
        self._links[peer, link.session] = link
        self.feed(LinkOpened(NodeId(peer), link.session))

    def link_closed(self, peer: int, link: Link) -> None:
        """Hear that a connection has ended."""
        self._links.pop((peer, link.session), None)
        self.feed(LinkClosed(NodeId(peer), link.session))
        if self._dialed.get(peer) is link:
            del self._dialed[peer]
            self.cluster.network.redial(self, peer)

    def batch_arrived(self, peer: NodeId, link: Link, batch: Batch) -> None:
        """Read a batch from a connection."""
        if self.node not in link.ended:
            self._links[peer, link.session] = link
        is_answer = any(not isinstance(message, Hello) for message in batch.messages)
        if is_answer and link.hello_us.get(self.node, -1) >= self.woke_us:
            self.heard_us = self.cluster.now_us
        self.feed(PeerBatch(batch))

    def feed(self, item: Input) -> None:
        """Put an input before the engine at the next turn."""
        self._inbox.append(item)
        self._want_turn()

    def _want_turn(self) -> None:
        if not self._is_turn_due:
            self._is_turn_due = True
            self.cluster.at(self.cluster.plan.turn_us, self._turn)

    def knows(self, machine: "Machine") -> bool:
        """Tell whether the coordinator, or the log, has named a node to us."""
        return NodeId(machine.node) in self.engine.soft.links

    def hear_of(self, machine: "Machine") -> None:
        """Hear from the coordinator that a node has joined (C1)."""
        identity = machine.identity
        self.feed(KnowPeer(identity.node_id, identity.nonce, f"127.0.0.{machine.node}:7400"))
        if machine.node > self.node and not self.has_link(machine.node):
            self.cluster.at(0, self.cluster.network.dial, self, machine.node)

    def drain(self) -> None:
        """Take no more orders; the process is about to be stopped."""
        self.feed(Drain())

    def set_full(self, is_full: bool) -> None:
        """Hear from the store that it is full, or no longer."""
        if self.is_alive:
            self.feed(StorageState(is_full))

    def haunt(self, batch: Batch) -> None:
        """Read a batch that was meant for the process before this one."""
        self.feed(PeerBatch(batch))

    def unrest(self, liar: int = 0) -> str:
        """Say why it is not quiet here; empty if it is."""
        if self._inbox or self._gate or self._kept or self.forces.is_under_way:
            return "something is under way"
        state, soft = self.engine.state, self.engine.soft
        if not self.engine.is_ready:
            return "not ready"
        if self.engine.is_busy:
            return "it matches on"
        doubts = [key for key in (*state.offers, *state.acceptances) if key[0] != liar]
        if doubts:
            return f"in doubt or not forgotten: {sorted(doubts)}"
        if soft.waiting or (soft.waiting_done and not liar):
            return "answers wait"
        for link in soft.links.values():
            if link.peer == liar:
                continue
            is_level = link.is_synced and link.incoming is None and link.outgoing is None
            if link.state != "synced" or not is_level:
                return f"peer {link.peer} is {link.state}: {link.quarantine or link.detail}"
            if link.applied != soft.stream_seq:
                return f"peer {link.peer} has applied {link.applied} of {soft.stream_seq}"
        return ""

    def begin_turn(self) -> None:
        """Let the engine know what time it is."""
        machine = self.machine
        now_us = machine.mono_us
        self.silence_us, self._turned_us = now_us - self._turned_us, now_us
        if self._has_begun and self.silence_us > self.engine.config.suspect_us:
            if self.engine.soft.links:  # else it had nobody to hear
                self.woke_us = self.cluster.now_us
            self.cluster.counters["silent node wakes"] += 1
        self._has_begun = True
        self.engine.begin(wall_us=machine.wall_us, mono_us=machine.mono_us)

    def _turn(self) -> None:
        if not self.is_alive or self.is_deferred(self._turn):
            return
        self._is_turn_due = False
        self.begin_turn()
        items, self._inbox = self._inbox, []
        try:
            for place, item in enumerate(items, 1):
                rest = self.engine.handle(item)
                if rest is not None:  # it goes on in the next turn, before what came behind it
                    self.cluster.counters["input went on in the next turn"] += 1
                    self._inbox = [rest, *items[place:]]
                    break
        except StoreError as error:  # an entry read through is damaged: exit code 4 (W5)
            if not self.machine.is_rotten:
                raise
            self.cluster.counters["damage noticed when read"] += 1
            raise Killed(self) from error
        self.end_turn()
        if self._inbox or self.engine.is_busy:
            self._want_turn()

    def is_deferred(self, action: Callable[[], None]) -> bool:
        """Put off what a paused process does: it goes on where it was, later (B5)."""
        wait_us = self.paused_until_us - self.cluster.now_us
        if wait_us <= 0:
            return False
        self.cluster.at(wait_us, action)
        return True

    def end_turn(self) -> None:
        """Drain; what is decided while a frame is being forced goes whole into the next one."""
        if self.cluster.is_checked:
            self.engine.check()
        step = self.engine.drain()
        if not (step.records or step.effects):
            self.forces.submit(step.last_lsn)  # perhaps the disk was busy before
            self._release()
            return
        for effect in step.effects:
            if isinstance(effect, Stop):  # at once: nothing that waits may leave an old copy (C3)
                self.cluster.stopped(self, effect.reason)
                return
        self.cluster.hearing.decided(self, step)
        self.forces.add(step)
        effects = step.effects
        if self.cluster.plan.is_early_applied and step.last_lsn > self.store.durable_lsn:
            early = [effect for effect in effects if is_exempt(effect)]
            if early:
                effects = [effect for effect in effects if not is_exempt(effect)]
                self._perform(early)
        if effects:
            self._gate.append((step.last_lsn, effects))
        self.forces.submit(step.last_lsn)
        self._release()

    def _release(self) -> None:
        """Let go of the effects whose LSN is durable, in order (E3)."""
        durable_lsn = self.store.durable_lsn
        gate = self._gate
        ready, self._kept = self._kept, []
        while gate and gate[0][0] <= durable_lsn:
            ready.extend(gate.popleft()[1])
        if self.engine.is_mute:
            self._kept = [effect for effect in ready if isinstance(effect, Answer)]
            ready = [effect for effect in ready if not isinstance(effect, Answer)]
        if ready:
            self._perform(ready)

    def _perform(self, effects: list[Effect]) -> None:
        """Do what the engine wants; what goes to one peer leaves as one batch (E6)."""
        sends: dict[tuple[int, Session], list[PeerMessage]] = {}
        for effect in effects:
            match effect:
                case Send(peer, session, message):
                    sends.setdefault((peer, session), []).append(message)
                case Answer():
                    self.cluster.clients.answer(self, effect)
                case CloseLink(peer, session):
                    self._send(peer, session, sends.pop((peer, session), []))
                    link = self._links.get((peer, session))
                    if link is not None:
                        self.cluster.network.end(link, self.node)
                case WantMore(peer, session):
                    self._want_more(peer, session)
                case Stop():
                    raise AssertionError("a stop waits for nothing")
                case Alarm():
                    self.cluster.alarmed(self, effect)
        for place, (route, messages) in enumerate(sends.items()):
            self._send(*route, messages)
            if self.armed == "half_sent" and place == len(sends) // 2:
                raise Killed(self)

    def _send(self, peer: int, session: Session, messages: list[PeerMessage]) -> None:
        link = self._links.get((peer, session))
        if link is None or not messages:
            return
        if isinstance(messages[0], Hello):
            link.hello_us[self.node] = self.cluster.now_us
        self.cluster.hearing.sending(self, link, messages)
        engine = self.engine
        batch = Batch(session, engine.clock, engine.proof, messages, NodeId(self.node), engine.wall)
        self.cluster.network.send(link, self, batch)

    def _want_more(self, peer: NodeId, session: Session) -> None:
        link = self._links.get((peer, session))
        if link is not None:
            wait_us = self.cluster.network.drained_us(link, self.node)
            self.cluster.at(wait_us, self._feed_if_alive, SnapshotMore(peer, session))

    def _feed_if_alive(self, item: Input) -> None:
        if self.is_alive:
            self.feed(item)

    def _tick(self) -> None:
        if not self.is_alive:
            return
        self.feed(Tick())
        self._ticks += 1
        if self._ticks % 8 == 0:
            self.store.evict()  # between turns, as the timer of a node does
        self.cluster.at(TICK_US, self._tick)
