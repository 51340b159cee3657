"""The whole cluster at one glance, whatever of it can be reached."""

import msgspec
import trio

from exchange.client import results
from exchange.client.cluster import Cluster
from exchange.client.errors import ClientError
from exchange.client.output import counted
from exchange.client.quiescence import restless, unequal_books, wait_quiescent

ASK_SECONDS = 2.0  # a node that lives answers at once
DOUBT_S = 60.0  # an answer takes a round trip; nodes tell of one that takes so long, too
FAILED, UNREACHABLE, IN_DOUBT = 1, 3, 6  # exit codes


class Overview(msgspec.Struct, frozen=True):
    """Every node that is known, and what it says."""

    cluster: str
    addresses: dict[int, str]
    statuses: list[results.NodeStatus]
    unreachable: dict[int, str]  # node id -> why

    def rows(self) -> list[dict[str, object]]:
        """Return a row per node."""
        found = {status.node_id: status for status in self.statuses}
        return [
            self._row(found[node_id]) if node_id in found else self._missing(node_id)
            for node_id in sorted({*found, *self.unreachable})
        ]

    def verdict(self) -> str:
        """Say in one sentence how the cluster is."""
        return "; ".join([self._verdict(), *self._clocks()])

    def _verdict(self) -> str:
        troubles = self.troubles()
        if troubles:
            return f"cluster {self.cluster}: {'; '.join(troubles)}; {self._sums()}"
        busy, unequal = restless(self.statuses), unequal_books(self.statuses)
        if not busy and not unequal:
            return f"cluster {self.cluster}: at rest, all books are equal; {self._sums()}"
        if not busy:
            return f"cluster {self.cluster}: {unequal[0]}"
        return f"cluster {self.cluster}: at work, {busy[0]}; {self._sums()}"

    def troubles(self) -> list[str]:
        """Name what an operator must look after, a sentence each, the worst first."""
        names = [f"node {node_id}" for node_id in sorted(self.unreachable)]
        lost = [f"{', '.join(names)} cannot be reached, the others trade on"] if names else []
        full = [
            f"the disk of node {status.node_id} is full: it takes no orders until there is room"
            for status in self.statuses
            if status.is_storage_full
        ]
        frozen = [
            f"{counted(status.frozen, 'trade')} of node {status.node_id} frozen: its operator and "
            "the other node decided differently, see exchange-recover inspect"
            for status in self.statuses
            if status.frozen
        ]
        waiting = [
            f"node {status.node_id} has waited {status.oldest_in_doubt_s:.0f} s for an answer"
            for status in self.statuses
            if status.oldest_in_doubt_s >= DOUBT_S
        ]
        return [*lost, *full, *frozen, *waiting]

    def _clocks(self) -> list[str]:
        """Name the nodes whose wall clock is wrong: they trade on, and should be set right."""
        return [
            f"the clock of node {status.node_id} is {abs(status.clock_apart_us) / 1e6:.0f} s "
            f"{'ahead of' if status.clock_apart_us > 0 else 'behind'} those of all its peers"
            for status in self.statuses
            if status.clock_apart_us
        ]

    @property
    def exit_code(self) -> int:
        """Return 3 if a node cannot be reached, 1 if one is full, 6 if trades stay in doubt."""
        if self.unreachable:
            return UNREACHABLE
        if any(status.is_storage_full for status in self.statuses):
            return FAILED
        return IN_DOUBT if self.troubles() else 0

    def _sums(self) -> str:
        """Add up what the nodes say."""
        states = self.statuses
        trades = sum(status.trades for status in states)
        orders = sum(status.open_orders for status in states)
        doubts = sum(status.offers_in_doubt for status in states)
        oldest = max((status.oldest_in_doubt_s for status in states), default=0.0)
        doubt = f"{doubts} in doubt, the oldest for {oldest:.1f} s" if doubts else "none in doubt"
        return f"{counted(trades, 'trade')}, {counted(orders, 'open order')}, {doubt}"

    def plain(self) -> dict[str, object]:
        """Return what JSON shows."""
        return {
            "cluster": self.cluster,
            "verdict": self.verdict(),
            "nodes": results.plain(self.statuses),
            "unreachable": {str(node_id): why for node_id, why in self.unreachable.items()},
        }

    def _row(self, status: results.NodeStatus) -> dict[str, object]:
        synced = sum(peer.state == "synced" for peer in status.peers)
        return {
            "node": status.node_id,
            "address": self.addresses.get(status.node_id, ""),
            "state": _state(status),
            "epoch": status.epoch,
            "durable_lsn": status.durable_lsn,
            "peers": f"{synced} of {len(status.peers)} synced",
            "lag": _lag(status),
            "in_doubt": status.offers_in_doubt,
            "oldest_s": round(status.oldest_in_doubt_s, 1),
            "trades": status.trades,
            "open_orders": status.open_orders,
            "map": f"{status.map_used >> 10} KiB",
        }

    def _missing(self, node_id: int) -> dict[str, object]:
        address = self.addresses.get(node_id, "")
        return {"node": node_id, "address": address, "state": "unreachable"}


async def overview(cluster: Cluster) -> Overview:
    """Ask every node that is known."""
    node_ids = await cluster.node_ids()
    found: dict[int, results.NodeStatus] = {}
    unreachable: dict[int, str] = {}

    async def ask(node_id: int) -> None:
        try:
            status = await cluster.status(node_id, within=ASK_SECONDS)
        except ClientError as error:
            unreachable[node_id] = str(error)
            return
        if status.node_id == node_id:
            found[node_id] = status
        else:
            unreachable[node_id] = f"node {status.node_id} is where it was"

    async with trio.open_nursery() as nursery:
        for node_id in node_ids:
            nursery.start_soon(ask, node_id)
    statuses = [found[node_id] for node_id in sorted(found)]
    return Overview(await cluster.name(), cluster.addresses(), statuses, unreachable)


async def rested(cluster: Cluster, *, within: float) -> Overview:
    """Wait until every node can be reached and nothing is under way; NotQuietError if it is not."""
    await wait_quiescent(cluster, await cluster.node_ids(), within=within)
    return await overview(cluster)


def _lag(status: results.NodeStatus) -> int:
    """Return how many own events the slowest peer that is synced does not show."""
    synced = [peer for peer in status.peers if peer.state == "synced"]
    return max((peer.sent_seq - peer.acknowledged_seq for peer in synced), default=0)


def _state(status: results.NodeStatus) -> str:
    if status.is_draining:
        return "stopping"
    if status.is_storage_full:
        return "storage full"
    return "ready" if status.is_ready else "starting"
