"""A cluster driven by hand: for regression tests and for the Hypothesis machine.

The plan is calm: nothing happens but what the script says, and all checkers listen.
"""

from collections.abc import Callable

import msgspec

from exchange.domain.book import OrderEvent
from exchange.domain.units import NodeId
from fuzz.clients import Call
from fuzz.cluster import Cluster
from fuzz.plan import MS, SECOND, Operation, Partition, Plan, Restore
from fuzz.process import Process

CALM = Plan(
    seed=0,
    size="script",
    nodes=2,
    accounts=2,
    symbols=1,
    cash=20_000,
    shares=200,
    ack="visible",
    visible_within_us=0,
    ring=4096,
    chunk=500,
    checkpoint_entries=3_000,
    cached_accounts=50_000,
    tail=50_000,
    history=400_000,
    delay_us=MS,
    force_us=MS,
    turn_us=100,
    redial_us=50 * MS,
    client_us=100,
    patience_us=500 * MS,
    depth=1,
    keep=-1,
    late=0.0,
    duplicate=0.0,
    haunt=0.0,
    notice=1.0,
    is_early_applied=True,
    is_encoded=False,
    liar=0,
    is_session_checked=True,
    skew_us=(0,) * 8,
    drift_ppm=(0,) * 8,
    join_us=0,
    listed=1,
    busy_us=0,
)


def calm(**changes: object) -> Plan:
    """Return a plan in which nothing happens by itself."""
    return msgspec.structs.replace(CALM, **changes)


class Script:
    """Drives a cluster step by step."""

    def __init__(
        self,
        plan: Plan = CALM,
        *,
        trace: Callable[[str], object] | None = None,
        is_linked: bool = True,
    ) -> None:
        self._backup: Restore | None = None
        self.cluster = Cluster(plan, trace=trace, is_checked=True)
        if is_linked:
            self.run_while(lambda: bool(self.cluster.unrest()))

    def run_ms(self, duration_ms: int) -> None:
        """Let time pass."""
        self.cluster.run_until(self.cluster.now_us + duration_ms * MS)

    def run_while(self, is_waiting: Callable[[], bool], *, limit_ms: int = 20_000) -> None:
        """Let time pass until something has happened; fails if it does not."""
        limit_us = self.cluster.now_us + limit_ms * MS
        while is_waiting():
            assert self.cluster.now_us < limit_us, "it does not happen"
            self.run_ms(1)

    def process(self, node: int) -> Process:
        """Return the process that runs on a node."""
        process = self.cluster.machines[node].process
        assert process is not None, f"node {node} is down"
        return process

    def do(self, kind: str, node: int = 1, account: int = 0, **fields: int) -> Call:
        """Let a client ask for something now."""
        operation = Operation(self.cluster.now_us, kind, node, account)
        return self.cluster.clients.add(msgspec.structs.replace(operation, **fields))

    def buy(self, node: int, quantity: int, price: int, **fields: int) -> Call:
        """Place a buying order."""
        return self.do("place", node, is_buy=True, quantity=quantity, price=price, **fields)

    def sell(self, node: int, quantity: int, price: int, **fields: int) -> Call:
        """Place a selling order."""
        return self.do("place", node, is_buy=False, quantity=quantity, price=price, **fields)

    def answered(self, call: Call) -> Call:
        """Wait for the answer to a call."""
        self.run_while(lambda: not call.is_over)
        return call

    def kill(self, node: int, *, down_ms: int = 100) -> None:
        """Kill the process on a node, if one runs there."""
        process = self.cluster.machines[node].process
        if process is not None:
            self.cluster.kill(process, restart_us=down_ms * MS)

    def kill_at(self, node: int, point: str) -> None:
        """Let the process on a node die at a point."""
        self.process(node).armed = point

    def back_up(self, node: int) -> None:
        """Copy the disk of a node."""
        self._backup = Restore(self.cluster.now_us, node, 0, 0)
        self.cluster.damage.plan_restore(self._backup)
        self.run_ms(1)

    @property
    def has_backup(self) -> bool:
        """Tell whether a disk was copied."""
        return self._backup is not None

    def restore_last(self, *, boots: int) -> None:
        """Put the last copy in the place of its disk, as if it had been started before."""
        assert self._backup is not None, "nothing was copied"
        backup = self._backup
        self.cluster.damage.restore(Restore(backup.at_us, backup.node, 0, boots))

    def cut(self, source: int, target: int, *, duration_ms: int, is_both: bool = True) -> None:
        """Let nothing pass between two nodes for a while."""
        fault = Partition(0, source, target, is_both, duration_ms * MS)
        self.cluster.inject(fault)

    def shown(self, node: int, order_id: int | None) -> OrderEvent | None:
        """Return an order as the replica of a node shows it."""
        for link in self.process(node).engine.soft.links.values():
            for shown_id, entry in link.replica.orders.items():
                if shown_id == order_id:
                    return entry
        return None

    def is_synced(self, node: int, peer: int) -> bool:
        """Tell whether a node has a synced link to a peer."""
        process = self.cluster.machines[node].process
        return process is not None and process.engine.soft.links[NodeId(peer)].is_synced

    def finish(self) -> None:
        """Heal everything, wait until it is quiet, and let every checker look."""
        self.cluster.heal()
        self.cluster.settle()
        if not self.cluster.is_spoiled:
            self.cluster.finish()


__all__ = ["CALM", "MS", "SECOND", "Script", "calm"]
