"""The simulated network: links that delay, stall, break, and deliver late (S6, B5).

Theory of operation
===================
A link is one TCP connection between two processes.  In each direction bytes arrive in order
or not at all.  When it breaks, what is in flight is cut at some message; what remains may
still arrive, even long after the next link is up, and even twice: sessions (S6) and marks
(S5) must stand that.  Each end hears of the break, or does not (then suspicion must, B5).

A partition holds messages up until it heals, as TCP does; if that takes too long, the nodes
close the link themselves, and the messages have become late ones.
"""

from random import Random
from typing import TYPE_CHECKING

import msgspec

from exchange.domain.units import NodeId
from exchange.engine.messages import Ack, Batch, Hello, Offer, PeerMessage, Reply, Session
from fuzz.lies import lie
from fuzz.plan import MS, SECOND

if TYPE_CHECKING:
    from fuzz.cluster import Cluster
    from fuzz.process import Process

LIES = 0.1  # of the batches of a liar
_LATENESS_US = (100 * MS, 500 * MS, 3 * SECOND, 8 * SECOND)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Batch)


class Pipe:
    """One direction of a link."""

    __slots__ = ("arrived", "cut", "last_us", "late_us", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.arrived = 0
        self.last_us = 0  # when the last message arrives: in order
        self.cut = 0  # once broken: messages after this one are lost
        self.late_us = 0  # ... and those before it this much later


class Link:
    """One connection."""

    __slots__ = ("_others", "ended", "hello_us", "is_broken", "pipes", "processes", "session")

    def __init__(self, dialer: "Process", acceptor: "Process", session: Session) -> None:
        self.session = session
        self.hello_us: dict[int, int] = {}  # when each end said hello
        self.processes = {dialer.node: dialer, acceptor.node: acceptor}
        self._others = {dialer.node: acceptor, acceptor.node: dialer}
        self.pipes = {dialer.node: Pipe(), acceptor.node: Pipe()}  # by sender
        self.is_broken = False
        self.ended: set[int] = set()  # the ends that know

    def other(self, node: int) -> "Process":
        """Return the process at the other end."""
        return self._others[node]


class Network:
    """All links, and what is wrong with them."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._plan = cluster.plan
        self._random: Random = cluster.random
        self._blocked: dict[tuple[int, int], int] = {}  # until when
        self._slow: dict[tuple[int, int], tuple[int, int]] = {}  # until when, how much
        self._losses: dict[tuple[int, int], type[PeerMessage]] = {}
        self._echoes: dict[tuple[int, int], int] = {}  # what is sent next comes again so late
        self._links: list[Link] = []
        self._delay = 1 / max(1, cluster.plan.delay_us)
        self._is_faulty = True

    def dial(self, process: "Process", peer: int) -> None:
        """Connect, if that is possible now; else try again later.  The lower id dials (S6)."""
        if not process.is_alive or process.has_link(peer):
            return
        other = self._cluster.machines[peer].process
        is_open = not self._is_blocked(process.node, peer) and not self._is_blocked(
            peer, process.node
        )
        is_paused = process.paused_until_us > self._cluster.now_us
        if other is None or not is_open or is_paused:
            self.redial(process, peer)
            return
        link = Link(process, other, process.next_session())
        self._links = [one for one in self._links if not one.is_broken]
        self._links.append(link)
        process.link_opened(peer, link)

    def redial(self, process: "Process", peer: int) -> None:
        """Dial again after the backoff."""
        wait_us = int(self._plan.redial_us * self._random.uniform(0.2, 1))
        self._cluster.at(wait_us, self.dial, process, peer)

    def send(self, link: Link, process: "Process", batch: Batch) -> None:
        """Put a batch on its way."""
        if link.is_broken:
            return
        cluster, source = self._cluster, process.node
        if source == self._plan.liar and batch.messages and self._random.random() < LIES:
            cluster.counters["lie"] += 1
            batch = lie(batch, self._random)
        route = (source, link.other(source).node)
        lost = self._losses.get(route) if self._losses else None
        if lost is not None and any(isinstance(message, lost) for message in batch.messages):
            del self._losses[route]
            kept = [message for message in batch.messages if not isinstance(message, lost)]
            batch = msgspec.structs.replace(batch, messages=kept)
        if self._plan.is_encoded:
            batch = _decoder.decode(_encoder.encode(batch))
        pipe = link.pipes[source]
        pipe.sent += 1
        arrival_us = cluster.now_us + int(self._random.expovariate(self._delay))
        if route in self._slow:
            until_us, extra_us = self._slow[route]
            if cluster.now_us < until_us:
                arrival_us += extra_us
        arrival_us = max(arrival_us, pipe.last_us + 1, self._blocked.get(route, 0))
        pipe.last_us = arrival_us
        cluster.counters["messages"] += len(batch.messages)
        if route in self._echoes:
            self._haunt(route[1], batch, self._echoes.pop(route))
        wait_us = arrival_us - cluster.now_us
        cluster.at(wait_us, self._deliver, link, source, pipe.sent, batch, False)

    def drained_us(self, link: Link, source: int) -> int:
        """Return how long until all that was sent has arrived."""
        return max(0, link.pipes[source].last_us - self._cluster.now_us)

    def break_link(self, link: Link) -> None:
        """Break a connection, with bytes in flight."""
        if link.is_broken:
            return
        link.is_broken = True
        random, plan = self._random, self._plan
        for node, pipe in link.pipes.items():
            is_kept = not self._is_faulty or random.random() < plan.keep
            pipe.cut = pipe.sent if is_kept else random.randint(pipe.arrived, pipe.sent)
            if plan.keep < 0:
                pipe.cut = pipe.arrived
            if self._is_faulty and random.random() < plan.late:
                pipe.late_us = random.choice(_LATENESS_US)
            if not self._is_faulty or random.random() < plan.notice:
                wait_us = int(random.random() * 300 * MS)
                self._cluster.at(wait_us, self.end, link, node)

    def end(self, link: Link, node: int) -> None:
        """Let one end of a connection know that it is over, or close it there."""
        if node in link.ended:
            return
        link.ended.add(node)
        self.break_link(link)
        process = link.processes[node]
        if process.is_alive:
            process.link_closed(link.other(node).node, link)

    def reset(self, dialer: int, acceptor: int) -> None:
        """Break all links between two nodes."""
        for link in self._links:
            if dialer in link.processes and acceptor in link.processes:
                self.break_link(link)

    def process_died(self, process: "Process") -> None:
        """Break the links of a dead process."""
        for link in self._links:
            if link.processes.get(process.node) is process:
                self.break_link(link)

    def partition(self, source: int, target: int, duration_us: int) -> None:
        """Let nothing pass from `source` to `target` for a while."""
        until_us = self._cluster.now_us + duration_us
        self._blocked[source, target] = max(until_us, self._blocked.get((source, target), 0))

    def unblock(self) -> None:
        """End all partitions."""
        self._blocked.clear()

    def slow(self, source: int, target: int, extra_us: int, duration_us: int) -> None:
        """Delay what is sent from `source` to `target` for a while."""
        self._slow[source, target] = (self._cluster.now_us + duration_us, extra_us)

    def lose(self, source: int, target: int, kind: type[PeerMessage]) -> None:
        """Lose the next message of a kind: what no TCP does, and a liar may (B7)."""
        self._losses[source, target] = kind

    def echo(self, source: int, target: int, wait_us: int) -> None:
        """Deliver what is sent next from `source` to `target` once more, much later."""
        self._echoes[source, target] = wait_us

    def heal(self) -> None:
        """Pass everything from now on; what is held up stays on its way."""
        self._blocked.clear()
        self._slow.clear()
        self._delay = max(self._delay, 1 / (20 * MS))
        self._is_faulty = False

    def _is_blocked(self, source: int, target: int) -> bool:
        return self._blocked.get((source, target), 0) > self._cluster.now_us

    def _deliver(self, link: Link, source: int, number: int, batch: Batch, is_late: bool) -> None:
        cluster, plan, random = self._cluster, self._plan, self._random
        receiver = link.other(source)
        pipe = link.pipes[source]
        if link.is_broken and not is_late:
            if number > pipe.cut:
                return
            if pipe.late_us:
                cluster.at(pipe.late_us, self._deliver, link, source, number, batch, True)
                if random.random() < plan.duplicate:
                    again_us = pipe.late_us + random.choice(_LATENESS_US)
                    cluster.at(again_us, self._deliver, link, source, number, batch, True)
                return
        pipe.arrived = max(pipe.arrived, number)
        if receiver.is_alive:
            if is_late:
                cluster.counters["late message"] += 1
                if not plan.is_session_checked:
                    receiver.haunt(disguised(batch, receiver.session_with(source)))
                    return
            receiver.batch_arrived(NodeId(source), link, batch)
        elif self._is_faulty and random.random() < plan.haunt:
            self._haunt(receiver.node, batch, self._random.choice(_LATENESS_US))

    def _haunt(self, node: int, batch: Batch, wait_us: int) -> None:
        """Deliver to the next process what was meant for the dead one, without its hello.

        No TCP does this to a whole conversation; a message alone must not do harm (S5).
        """
        if not any(isinstance(message, Hello) for message in batch.messages):
            self._cluster.at(wait_us, self._cluster.haunt, node, batch)


def disguised(batch: Batch, session: Session | None) -> Batch:
    """Dress late settlement messages up as those of the session that is current.

    So the sessions (S6) cannot tell, and the marks must do (S5).
    """
    kept = [one for one in batch.messages if isinstance(one, Offer | Reply | Ack)]
    return msgspec.structs.replace(batch, session=session or batch.session, messages=kept)
