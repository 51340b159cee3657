"""What a node measures of itself: the figures of `node.metrics` and `/metrics`.

Theory of operation
===================
Only what cannot be asked later is counted while it happens: `Forces` times each forced write
and sorts it into buckets, about a microsecond a write, however many orders are in it.  All
else is read when somebody asks, from what engine, store and shell keep anyway.  `METRICS`
lists every name; `docs/metrics.md` has a row for each, and a test compares them.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence

import msgspec

from exchange.domain.units import Micros
from exchange.engine.effects import PeerStatus, StatusAnswer
from exchange.engine.messages import Proof
from exchange.engine.state import State
from exchange.node.facts import Facts
from exchange.store.lmdb_disk import Usage
from exchange.store.store import Write
from exchange.wire.metrics import Family, Kind, NodeMetrics, Sample

FORCE_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
BATCH = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
STATES = ("connecting", "syncing", "synced", "slow", "suspected", "quarantined")

METRICS: dict[str, tuple[Kind, str]] = {
    "exchange_ready": ("gauge", "1 if the node serves; new orders need room, too."),
    "exchange_storage_full": ("gauge", "1 if new orders are refused for want of room."),
    "exchange_epoch": ("gauge", "Boot epoch: starts of this node since its birth."),
    "exchange_uptime_seconds": ("gauge", "Since the log was opened."),
    "exchange_cpu_seconds_total": ("counter", "CPU time of the process."),
    "exchange_resident_bytes": ("gauge", "Memory of the process."),
    "exchange_applied_lsn": ("gauge", "The last record decided."),
    "exchange_durable_lsn": ("gauge", "The last record forced to the disk."),
    "exchange_checkpoint_lsn": ("gauge", "Where the state tables stand on disk."),
    "exchange_checkpoint_lag_records": ("gauge", "Records that a restart would redo."),
    "exchange_checkpoint_age_seconds": ("gauge", "Since the last checkpoint or the start."),
    "exchange_checkpoints_total": ("counter", "Checkpoints forced."),
    "exchange_forces_total": ("counter", "Forced writes."),
    "exchange_force_seconds": ("histogram", "How long a forced write took."),
    "exchange_force_records": ("histogram", "Records in a forced write: the batch size."),
    "exchange_log_bytes_total": ("counter", "Keys and values handed to the store."),
    "exchange_disk_written_bytes_total": ("counter", "Written by the process, says the kernel."),
    "exchange_turns_total": ("counter", "Turns of the engine."),
    "exchange_inputs_waiting": ("gauge", "Inputs that wait to be decided."),
    "exchange_turns_held": ("gauge", "Turns whose answers wait for the log."),
    "exchange_answers_waiting": ("gauge", "Answers that wait for visibility."),
    "exchange_redone_records": ("gauge", "Records redone at the start."),
    "exchange_redo_seconds": ("gauge", "How long opening and redo took."),
    "exchange_map_used_bytes": ("gauge", "Of the LMDB map."),
    "exchange_map_size_bytes": ("gauge", "Size of the LMDB map."),
    "exchange_disk_free_bytes": ("gauge", "Left on the file system."),
    "exchange_open_orders": ("gauge", "Own orders in the book."),
    "exchange_trades_total": ("counter", "Trades decided here since the log began."),
    "exchange_instruments": ("gauge", "Listed."),
    "exchange_offers_total": ("counter", "Offers made to other nodes since the start."),
    "exchange_declines_total": ("counter", "Offers that other nodes declined since the start."),
    "exchange_offers_in_doubt": ("gauge", "Offers without an answer."),
    "exchange_offer_in_doubt_age_seconds": ("gauge", "Of the oldest of them."),
    "exchange_acceptances_unforgotten": ("gauge", "Acceptances whose proposer owes an ack."),
    "exchange_trades_frozen": ("gauge", "Trades that an operator and the decider see differently."),
    "exchange_clock_apart_seconds": ("gauge", "The wall clock, ahead of all peers'; 0 is right."),
    "exchange_stamps_ahead_seconds": ("gauge", "Stamps, ahead of the wall clock."),
    "exchange_clients": ("gauge", "Client connections."),
    "exchange_refused_by_limits_total": ("counter", "Requests and connections over a limit."),
    "exchange_refused_handshakes_total": ("counter", "Connections that broke TLS or the framing."),
    "exchange_peer_state": ("gauge", "1 for the state that the link to a peer is in."),
    "exchange_peer_lag_events": ("gauge", "Own order events that a peer does not show yet."),
    "exchange_peer_seen_lsn": ("gauge", "The newest record of a peer's log it has told of."),
    "exchange_peer_orders": ("gauge", "A peer's open orders in this node's book."),
    "exchange_peer_offers_in_doubt": ("gauge", "Offers to a peer without an answer."),
    "exchange_peer_clock_apart_seconds": ("gauge", "A peer's wall clock, ahead of this node's."),
}


class Histogram:
    """Counts by size, of a few fixed buckets."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)  # the last is of what is larger than all
        self._sum = 0.0

    @property
    def count(self) -> int:
        """Return how many values there were."""
        return sum(self._counts)

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self) -> list[Sample]:
        """Return buckets that are summed up, sum and count."""
        found, total = [], 0
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            found.append(Sample(total, {"le": str(bound)}, "_bucket"))
        return [*found, Sample(self._sum, suffix="_sum"), Sample(total, suffix="_count")]


class Forces:
    """Times forced writes; one at a time, on whichever thread forces (W3)."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self.seconds = Histogram(FORCE_S)
        self.records = Histogram(BATCH)
        self.checkpoints = 0
        self.checkpoint_s = clock_s()  # when the last was forced, or the start
        self.slowest_checkpoint_s = 0.0  # since `take_slowest_checkpoint`

    def timed(self, commit: Callable[[Write], Proof]) -> Callable[[Write], Proof]:
        """Return a commit that is counted."""

        def force(write: Write) -> Proof:
            begun = self._clock_s()
            proof = commit(write)
            self._count(write, self._clock_s() - begun)
            return proof

        return force

    def age_s(self) -> float:
        """Return for how long there was no checkpoint."""
        return self._clock_s() - self.checkpoint_s

    def take_slowest_checkpoint(self) -> float:
        """Return how long the slowest checkpoint took since the last call, 0 without one."""
        slowest, self.slowest_checkpoint_s = self.slowest_checkpoint_s, 0.0
        return slowest

    def _count(self, write: Write, seconds: float) -> None:
        self.seconds.observe(seconds)
        self.records.observe(write.proof.lsn - write.after)
        if write.checkpoint is not None:
            self.checkpoints += 1
            self.checkpoint_s = self._clock_s()
            self.slowest_checkpoint_s = max(self.slowest_checkpoint_s, seconds)


class Start(msgspec.Struct, frozen=True):
    """What opening the log took."""

    redone: int = 0
    seconds: float = 0.0


class Queues(msgspec.Struct, frozen=True):
    """What waits, and what was turned away."""

    inputs: int
    turns_held: int
    refused_by_limits: int
    refused_handshakes: int


def oldest_in_doubt_s(state: State, wall_us: int) -> float:
    """Return for how long the oldest offer has had no answer, 0 if there is none (S4).

    Offers to one decider are kept oldest first, so one look a decider is enough.
    """
    heads = ((decider, next(iter(offers))) for decider, offers in state.offers_to.items() if offers)
    oldest = min((state.offers[head].ts for head in heads), default=Micros(wall_us))
    return max(0, wall_us - oldest) / 1e6


def node_metrics(
    status: StatusAnswer,
    facts: Facts,
    forces: Forces,
    *,
    usage: Usage,
    queues: Queues,
    start: Start,
    seen: Callable[[int], int],
) -> NodeMetrics:
    """Write down all figures; `seen` tells the newest LSN known of a peer's log (C3)."""
    values: dict[str, float] = {
        "exchange_ready": status.is_ready and not status.is_draining,
        "exchange_storage_full": status.is_storage_full,
        "exchange_epoch": status.epoch,
        "exchange_uptime_seconds": facts.uptime_s,
        "exchange_cpu_seconds_total": facts.cpu_s,
        "exchange_resident_bytes": facts.rss_bytes,
        "exchange_applied_lsn": status.applied_lsn,
        "exchange_durable_lsn": facts.durable_lsn,
        "exchange_checkpoint_lsn": facts.checkpoint_lsn,
        "exchange_checkpoint_lag_records": facts.durable_lsn - facts.checkpoint_lsn,
        "exchange_checkpoint_age_seconds": forces.age_s(),
        "exchange_checkpoints_total": forces.checkpoints,
        "exchange_forces_total": facts.forces,
        "exchange_log_bytes_total": facts.log_bytes,
        "exchange_disk_written_bytes_total": facts.bytes_written,
        "exchange_turns_total": facts.turns,
        "exchange_inputs_waiting": queues.inputs,
        "exchange_turns_held": queues.turns_held,
        "exchange_answers_waiting": status.waiting,
        "exchange_redone_records": start.redone,
        "exchange_redo_seconds": start.seconds,
        "exchange_map_used_bytes": usage.map_used,
        "exchange_map_size_bytes": usage.map_size,
        "exchange_disk_free_bytes": usage.disk_free,
        "exchange_open_orders": status.open_orders,
        "exchange_trades_total": status.trades,
        "exchange_instruments": status.instruments,
        "exchange_offers_total": status.offers,
        "exchange_declines_total": status.declines,
        "exchange_offers_in_doubt": status.offers_in_doubt,
        "exchange_offer_in_doubt_age_seconds": facts.oldest_in_doubt_s,
        "exchange_acceptances_unforgotten": status.acceptances,
        "exchange_trades_frozen": status.frozen,
        "exchange_clock_apart_seconds": status.clock_apart_us / 1e6,
        "exchange_stamps_ahead_seconds": status.stamps_ahead_us / 1e6,
        "exchange_clients": facts.clients,
        "exchange_refused_by_limits_total": queues.refused_by_limits,
        "exchange_refused_handshakes_total": queues.refused_handshakes,
    }
    found = {name: [Sample(float(value))] for name, value in values.items()}
    found["exchange_force_seconds"] = forces.seconds.samples()
    found["exchange_force_records"] = forces.records.samples()
    found |= _of_peers(status.peers, seen)
    families = [Family(name, *METRICS[name], found[name]) for name in METRICS]
    return NodeMetrics(status.node_id, families)


def _of_peers(peers: Sequence[PeerStatus], seen: Callable[[int], int]) -> dict[str, list[Sample]]:
    def each(value: Callable[[PeerStatus], float]) -> list[Sample]:
        return [Sample(value(peer), {"peer": str(peer.node_id)}) for peer in peers]

    states = [
        Sample(float(peer.state == state), {"peer": str(peer.node_id), "state": state})
        for peer in peers
        for state in STATES
    ]
    return {
        "exchange_peer_state": states,
        "exchange_peer_lag_events": each(lambda peer: peer.sent_seq - peer.acknowledged_seq),
        "exchange_peer_seen_lsn": each(lambda peer: seen(peer.node_id)),
        "exchange_peer_orders": each(lambda peer: peer.orders),
        "exchange_peer_offers_in_doubt": each(lambda peer: peer.offers_out),
        "exchange_peer_clock_apart_seconds": each(lambda peer: peer.clock_apart_us / 1e6),
    }
