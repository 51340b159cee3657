"""What no protocol repairs: an old backup brought to life (C3), and rot on a disk (W4, W5).

Neither may ever be taken for the truth.  An old copy is kept out by every peer that has seen
more of its log than it has; a flipped bit is a refusal to start, or a death when it is read.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from exchange.domain.units import Lots, Lsn, NodeId
from exchange.engine.apply import apply
from exchange.engine.messages import Proof
from exchange.engine.records import HeuristicDecision, OfferId, PeerSeen, Record
from exchange.store.disk import Change
from exchange.store.errors import StoreError
from exchange.store.frames import DIGEST_SIZE, read_frame, span_of
from exchange.store.meta import BASE, read_checkpoint
from exchange.store.store import BootStep, Store
from exchange.store.tables import CODECS, Kind, seal
from fuzz.checkers import Violation
from fuzz.disk import SimulatedDisk
from fuzz.model import Exchange, Node
from fuzz.plan import SECOND, Flip, Restore
from fuzz.process import Process

if TYPE_CHECKING:
    from fuzz.cluster import Cluster

ALWAYS_READ = frozenset(
    ["log", "meta", *(name for name, codec in CODECS.items() if codec.kind is Kind.RESIDENT)]
)


class Backup(NamedTuple):
    """A copy of a disk, and what had been moved away from it by then."""

    disk: SimulatedDisk
    archived: tuple[tuple[bytes, bytes], ...]


class Damage:
    """Backups, restores, flipped bits."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._backups: dict[tuple[int, int], Backup] = {}  # by node and time
        self.knowing: dict[int, set[int]] = {}  # old copy -> peers that have seen more of its log
        self.restored_lsn: dict[int, int] = {}
        self._repairs: dict[int, Callable[[], None]] = {}

    def plan_restore(self, fault: Restore) -> None:
        """Make the backup when it is time."""
        wait_us = fault.at_us - fault.age_us - self._cluster.now_us
        self._cluster.at(wait_us, self._back_up, fault)

    def restore(self, fault: Restore) -> None:
        """Kill a node and put the backup in the place of its disk."""
        cluster, machine = self._cluster, self._cluster.machines[fault.node]
        if machine.process is not None:
            cluster.kill(machine.process, restart_us=SECOND)
        backup = self._backups[_key(fault)]
        disk = backup.disk.clone()
        for number in range(fault.boots):  # somebody has tried it before, off the network
            Store.open(disk, machine.identity).boot(
                boot_id=number.to_bytes(8, "little"), ts=machine.wall_us
            )
        machine.disk, machine.archived = disk, list(backup.archived)
        node = fold(disk, machine.identity.node_id, backup.archived)
        cluster.exchange.nodes[node.node] = node
        backup_lsn = fold(backup.disk, node.node, backup.archived).lsn
        self.restored_lsn[fault.node] = backup_lsn
        self.knowing[fault.node] = {
            peer.node
            for peer in cluster.machines.values()
            if peer.process is not None and _seen(peer.process, node.node) > backup_lsn
        }
        cluster.counters["old copy restored"] += 1

    def booted(self, process: Process) -> None:
        """Note what a peer that died had not stored: it no longer knows."""
        for node, knowing in self.knowing.items():
            stored = process.store.state.peer(NodeId(node)).seen_lsn
            if process.node in knowing and stored <= self.restored_lsn[node]:
                knowing.discard(process.node)

    def check_record(self, node: int, record: Record) -> None:
        """See that no peer takes an old copy for the newer one (C3)."""
        if isinstance(record, PeerSeen):
            known = self._cluster.exchange.node(node).peers.get(record.peer)
            if known is not None and record.epoch < known.epoch:
                raise Violation("KeptOut", f"node {node} goes back to an old epoch: {record}")

    def check_kept_out(self, process: Process) -> None:
        """See that an old copy has no session with a peer that knows better (C3)."""
        for peer in sorted(self.knowing.get(process.node, ())):
            link = process.engine.soft.links.get(NodeId(peer))
            if link is not None and link.is_helloed:
                raise Violation("KeptOut", f"node {peer} lets an old copy of {process.node} in")

    def archive(self, node: int) -> None:
        """Stop a node, and move away what is before its checkpoint, as `exchange-recover` does."""
        cluster, machine = self._cluster, self._cluster.machines[node]
        if machine.process is None or machine.is_rotten:
            return
        cluster.kill(machine.process)
        disk = machine.disk
        limit = read_checkpoint(disk, machine.identity).lsn
        moved = []
        for key, value in disk.scan("log"):
            first, count = span_of(key, value)
            if first + count - 1 <= min(limit, cluster.exchange.node(node).lsn - 1):
                moved.append((key, value))
        if moved:
            key, value = moved[-1]
            first, count = span_of(key, value)
            last = Proof(Lsn(first + count - 1), value[-DIGEST_SIZE:])
            gone: list[Change] = [("log", key, None) for key, _ in moved]
            machine.archived += moved
            disk.failure = None
            disk.write([*gone, ("meta", BASE, seal(BASE, last))])
            cluster.counters["log archived"] += 1

    def resolve(self, node: int) -> None:
        """Stop a node and decide what it is in doubt of, as an operator does offline (S4).

        What can be proven is decided so.  The rest is aborted, but only while its decider is
        dead and no message to it is on its way: the operator has looked.
        """
        cluster, machine = self._cluster, self._cluster.machines[node]
        if machine.process is None or machine.is_rotten or machine.disk.failure:
            return
        cluster.kill(machine.process)
        store = Store.open(machine.disk, machine.identity)
        state, decided = store.state, list[Record]()
        for (decider, offer_id), offer in sorted(state.offers.items()):
            quantity = self._judged(node, decider, offer_id)
            if quantity is None:
                continue
            decision = HeuristicDecision(
                *(decider, offer_id, offer.trade_id, quantity, "operator", "waited long enough"),
                machine.wall_us,
            )
            apply(state, decision)
            state.lsn = Lsn(state.lsn + 1)
            decided.append(decision)
        if decided:
            store.commit(store.prepare(BootStep(decided, state.lsn), ts=machine.wall_us))
            for lsn, record in enumerate(decided, start=state.lsn - len(decided) + 1):
                cluster.hearing.durable(node, Lsn(lsn), record)

    def _judged(self, node: int, decider: int, offer_id: OfferId) -> Lots | None:
        """Return what an operator decides about an offer; None if there is no telling."""
        cluster = self._cluster
        known = cluster.exchange.node(decider)
        is_undecided = offer_id > known.mark[node]
        running = cluster.machines[decider].process
        if is_undecided and running is not None and not cluster.plan.haunt:
            cluster.kill(running)  # the force in progress may be kept: look again
            is_undecided = offer_id > known.mark[node]
        if is_undecided:
            if cluster.plan.haunt:
                return None
            cluster.counters["aborted by an operator"] += 1
            return Lots(0)
        accepted = known.accepted.get((node, offer_id))
        cluster.counters["resolved by an operator"] += 1
        return accepted.quantity if accepted is not None else Lots(0)

    def flip(self, fault: Flip) -> None:
        """Kill a node, and change one bit on its disk until somebody repairs it."""
        cluster, machine = self._cluster, self._cluster.machines[fault.node]
        if machine.process is None or machine.is_rotten:
            return
        machine.is_rotten = True
        cluster.kill(machine.process, restart_us=SECOND)
        places = [(table, key) for table, key in machine.disk.places() if table != "ballast"]
        table, key = places[fault.place % len(places)]
        machine.disk.flip_bit(table, key, fault.bit)
        rotten = machine.disk.get(table, key) or b""
        cluster.trace(f"a bit flips in {table} {key.hex()}")
        cluster.counters["flipped bit"] += 1
        self._start_rotten(fault.node, table)
        repair = partial(self._repair, fault, table, key, rotten)
        self._repairs[fault.node] = repair
        cluster.at(SECOND + fault.down_us, repair)

    def heal(self) -> None:
        """Repair every disk now."""
        for repair in list(self._repairs.values()):
            repair()

    def _start_rotten(self, node: int, table: str) -> None:
        """See that what is always read is always noticed (W4, W5)."""
        machine = self._cluster.machines[node]
        try:
            Store.open(machine.disk.clone(), machine.identity)
        except StoreError as error:
            if error.exit_code != 4:
                raise Violation(
                    "damage", f"{table} is damaged, and the error is {error}"
                ) from error
            self._cluster.counters["damage refused"] += 1
            return
        if table in ALWAYS_READ:
            raise Violation("damage", f"a flipped bit in {table} of node {node} is not noticed")

    def _repair(self, fault: Flip, table: str, key: bytes, rotten: bytes) -> None:
        machine = self._cluster.machines[fault.node]
        if self._repairs.pop(fault.node, None) is None:
            return
        if machine.disk.get(table, key) == rotten:
            if machine.process is not None:
                self._cluster.kill(machine.process)
            machine.disk.flip_bit(table, key, fault.bit)
        machine.is_rotten = False
        self._cluster.start(fault.node)

    def _back_up(self, fault: Restore) -> None:
        machine = self._cluster.machines[fault.node]
        self._backups[_key(fault)] = Backup(machine.disk.clone(), tuple(machine.archived))


def fold(disk: SimulatedDisk, node: NodeId, archived: Sequence[tuple[bytes, bytes]] = ()) -> Node:
    """Let the model learn a whole log, what was moved away from the disk included."""
    exchange = Exchange()
    for key, value in (*archived, *disk.scan("log")):
        frame = read_frame(key, value)
        for place, record in enumerate(frame.records):
            exchange.learn(node, frame.first_lsn + place, record)
    return exchange.node(node)


def _key(fault: Restore) -> tuple[int, int]:
    return fault.node, fault.at_us - fault.age_us


def _seen(process: Process, node: NodeId) -> int:
    """Return how much of the log of a node a process has seen."""
    proof = process.engine.soft.seen.get(node)
    return proof.lsn if proof is not None else process.engine.state.peer(node).seen_lsn
