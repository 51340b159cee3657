"""The simulated cluster: one event heap, one thread, machines that die and come back.

Theory of operation
===================
Time is virtual, in microseconds; nothing happens but by an event in the heap, in the order of
(time, number), so a plan has one history.

A run has three parts: faults and operations, until `busy_us`; the healing, when all is
repaired and started; and the wait for quiescence, which must come in bounded virtual time
(liveness).  Then every checker looks at what is left.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from random import Random

from exchange.domain.instruments import Instrument, plain_ticker
from exchange.domain.units import AccountId, Asset, Lsn, Symbol, make_id
from exchange.engine.effects import Alarm
from exchange.engine.messages import Batch
from exchange.store.errors import StoreError, StoreFailed
from fuzz.checkers import CHECKERS, Checker, Violation
from fuzz.clients import Clients
from fuzz.counters import RareStates
from fuzz.damage import Damage
from fuzz.forces import Killed
from fuzz.genesis import genesis
from fuzz.hardware import Machine
from fuzz.hearing import Hearing
from fuzz.lies import check_honest
from fuzz.model import Exchange
from fuzz.network import Network, disguised
from fuzz.plan import (
    DAY,
    MS,
    SECOND,
    Archive,
    Crash,
    Fault,
    Flip,
    Full,
    Jump,
    Operation,
    Partition,
    Pause,
    Plan,
    Reset,
    Resolve,
    Restore,
    Rot,
    Slow,
)
from fuzz.process import Process

STEPS_MAX = 400_000  # events in one run: more is a livelock
QUIET_US = 60 * SECOND  # after the healing, quiescence must have come by then
# ... and by then everybody must trade with everybody (B5, C6): what clients still do for some
# seconds may set a peer aside once more, and then for CALM_MAX_US.
TOGETHER_US = 45 * SECOND
INSTRUMENTS = (
    plain_ticker("AAPL"),
    Instrument(Symbol("EUR/USD"), Asset("EUR"), Asset("USD"), "0.0001", "100", 2, 2),
    Instrument(Symbol("AAPL/EUR"), Asset("AAPL"), Asset("EUR"), "0.05", "2", 0, 2),
)
BOOT_POINTS = {
    "boot_lost": "log_redone_epoch_unforced",
    "boot_kept": "epoch_forced_nobody_told",
}


class Cluster:
    """One run."""

    def __init__(
        self,
        plan: Plan,
        *,
        trace: Callable[[str], object] | None = None,
        is_checked: bool = False,
        more: tuple[type[Checker], ...] = (),
    ) -> None:
        self.plan = plan
        self.is_checked = is_checked or bool(plan.liar)
        self.random: Random = plan.chance()
        self.now_us = 0
        self.counters: Counter[str] = Counter()
        self.exchange = Exchange()
        self.is_healed = False
        self._trace = trace
        self._heap: list[tuple[int, int, Callable[..., object], tuple[object, ...]]] = []
        self._number = 0
        self._steps = 0
        self.instruments = INSTRUMENTS[: plan.symbols]
        self.listed = INSTRUMENTS[: plan.listed]
        self.machines: dict[int, Machine] = {}
        self.network = Network(self)
        self.clients = Clients(self)
        self.damage = Damage(self)
        self.hearing = Hearing(self, (*CHECKERS, RareStates, *more))
        self._build()

    # What drives a run.

    def run(self) -> None:
        """Carry out the plan; raises Violation if a property does not hold."""
        for operation in self.plan.operations:
            self.clients.add(operation)
        for fault in self.plan.faults:
            if isinstance(fault, Restore):
                self.damage.plan_restore(fault)
            self.at(fault.at_us, self.inject, fault)
        self.run_until(self.plan.busy_us)
        self.heal()
        self.settle()
        if not self.is_spoiled:
            self.finish()

    def run_until(self, until_us: int) -> None:
        """Let virtual time pass."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= until_us:
            self.now_us, _, function, arguments = pop(heap)
            self._steps += 1
            if self._steps > STEPS_MAX:
                raise Violation("liveness", "livelock: too many events")
            try:
                function(*arguments)
            except Killed as killed:
                self.kill(killed.process)
        self.now_us = max(self.now_us, until_us)

    def heal(self) -> None:
        """Repair everything: from now on it must become quiet."""
        self.trace("--- healed")
        self.is_healed = True
        self.network.heal()
        self.damage.heal()
        for machine in self.machines.values():
            machine.disk.failure = None
            machine.armed_boot = ""
            machine.go_on()
            if machine.process is None:
                self.start(machine.node)
            else:
                machine.process.armed = ""
                machine.process.paused_until_us = 0
                machine.process.set_full(is_full=False)
        for machine in self.machines.values():  # the coordinator is there again (C1)
            for peer in self.machines.values():
                process = machine.process
                if process is not None and peer is not machine and not process.knows(peer):
                    process.hear_of(peer)

    def settle(self) -> None:
        """Wait until nothing is under way any more; raises Violation if that takes too long."""
        limit_us = self.now_us + QUIET_US
        if self.is_spoiled:
            self.run_until(self.now_us + 8 * SECOND)
        while (why := self.unrest()) and self.now_us < limit_us and not self.is_spoiled:
            self.run_until(self.now_us + 233 * MS)  # not in step with the ticks
            apart = self.now_us > limit_us - QUIET_US + TOGETHER_US and self._apart()
            if apart and not self.is_spoiled:
                raise Violation(
                    "liveness",
                    f"not together {TOGETHER_US // SECOND} s after the healing: {apart}",
                )
        if why and not self.is_spoiled:
            raise Violation(
                "liveness", f"not quiet {QUIET_US // SECOND} s after the healing: {why}"
            )

    def _apart(self) -> str:
        """Say who does not trade with whom, whatever is under way; empty if all do."""
        for node, machine in self.machines.items():
            process = machine.process
            if machine.is_stopped or process is None or node == self.plan.liar:
                continue
            if not process.engine.is_ready:
                return f"node {node} is not ready"
            for peer, link in process.engine.soft.links.items():
                if peer != self.plan.liar and not link.is_matched:
                    return f"node {node} does not match node {peer}: {link.state}"
        return ""

    @property
    def is_spoiled(self) -> bool:
        """Tell whether a node was put out of the market: the rest is safe, but never quiet."""
        is_alarmed = "alarm" in self.counters and not self.plan.liar
        return bool(self.damage.knowing or is_alarmed)

    @property
    def is_muted(self) -> bool:
        """Tell whether an old copy or a liar is about, and most checkers do not apply."""
        return bool(self.damage.knowing) or "lie" in self.counters

    def finish(self) -> None:
        """Let every checker look at the end."""
        if "lie" in self.counters:
            check_honest(self)
            return
        self.hearing.end()

    def at(self, wait_us: int, function: Callable[..., object], *arguments: object) -> None:
        """Plan an event."""
        self._number += 1
        heapq.heappush(self._heap, (self.now_us + wait_us, self._number, function, arguments))

    def trace(self, text: str) -> None:
        """Write a line of the trace, if somebody reads it."""
        if self._trace is not None:
            self._trace(f"{self.now_us / SECOND:11.6f}  {text}")

    @property
    def is_traced(self) -> bool:
        """Tell whether somebody reads the trace: then it may cost something."""
        return self._trace is not None

    # What fate does.

    def inject(self, fault: Fault) -> None:
        """Do what a fault says."""
        if self.is_healed:
            return
        if self.is_traced:
            self.trace(f"*** {fault}")
        match fault:
            case Crash():
                for node in fault.nodes:
                    self._crash(node, fault.point, fault.down_us)
            case Restore():
                self.damage.restore(fault)
            case Resolve(node=node):
                self.damage.resolve(node)
            case Archive(node=node):
                self.damage.archive(node)
            case Flip():
                self.damage.flip(fault)
            case Reset():
                self.network.reset(fault.dialer, fault.acceptor)
            case Partition():
                self.network.partition(fault.source, fault.target, fault.duration_us)
                if fault.is_both:
                    self.network.partition(fault.target, fault.source, fault.duration_us)
            case Pause():
                self._pause(fault)
            case Slow():
                self.network.slow(fault.source, fault.target, fault.extra_us, fault.duration_us)
            case Jump():
                self._set_clock(fault.node, fault.by_us)
                if fault.duration_us:
                    self.at(fault.duration_us, self._set_clock, fault.node, -fault.by_us)
            case Rot():
                self.machines[fault.node].disk.failure = fault.failure
            case Full():
                self._fill(fault)

    def start(self, node: int) -> None:
        """Start a process on a machine, if none runs there."""
        machine = self.machines[node]
        if machine.process is not None or machine.is_stopped or not machine.is_born:
            return
        machine.starts += 1
        machine.is_coordinator_down = machine.starts > 1 and self.random.random() < 0.5
        process = machine.process = Process(self, machine)
        try:
            process.start()
        except (StoreFailed, Killed):
            self._died_starting(process)
            return
        except StoreError:
            if not machine.is_rotten:
                raise
            machine.process = None  # refused: it starts when it is repaired
            return
        if self.is_traced:
            self.trace(f"n{node} starts in epoch {process.engine.state.scalars.epoch}")
        if machine.full_until_us > self.now_us:
            process.set_full(is_full=True)

    def kill(self, process: Process, *, restart_us: int = 300 * MS) -> None:
        """Let a process die now, and start the next one after a while."""
        if not process.is_alive:
            return
        self.counters["crash"] += 1
        if self.is_traced:
            self.trace(f"n{process.node} dies")
        process.die()
        self.network.process_died(process)
        machine = self.machines[process.node]
        if machine.process is process:
            machine.process = None
        self.hearing.died(process)
        self.at(int(restart_us * self.random.uniform(0.5, 1.5)), self.start, process.node)

    def haunt(self, node: int, batch: Batch) -> None:
        """Give a batch meant for a dead process to the one that runs there now."""
        process = self.machines[node].process
        if process is not None:
            self.counters["message past a restart"] += 1
            if process.session_with(batch.sender) == batch.session:
                batch = disguised(batch, batch.session)  # TCP sends no part of a stream twice
            process.haunt(batch)

    # What processes report.

    def stopped(self, process: Process, reason: str) -> None:
        """Hear that a node refuses to go on: it thinks it is an old copy of itself (C3)."""
        if self.machines[process.node].is_rotten:
            self.counters["damage noticed by a peer"] += 1  # it rotted where nothing is redone
            raise Killed(process)
        if process.node not in self.damage.knowing:
            raise Violation("old copy", f"node {process.node} stops without cause: {reason}")
        self.counters["old copy stopped"] += 1
        self.machines[process.node].is_stopped = True
        self.kill(process)

    def alarmed(self, process: Process, alarm: Alarm) -> None:
        """Hear an alarm; without a restored backup none is due.

        With the sessions off, a late offer may look like one of a peer that lost its state (S7).
        """
        self.counters["alarm"] += 1
        if self.is_muted or not self.plan.is_session_checked:
            return
        raise Violation("alarm", f"node {process.node}: {alarm.code}: {alarm.detail}")

    # What clients need to know.

    def account(self, operation: Operation) -> AccountId:
        """Return the account that an operation is about."""
        return AccountId(make_id(operation.node, operation.account + 1))

    def symbol(self, operation: Operation) -> Symbol:
        """Return the symbol that an operation is about."""
        return self.instruments[operation.symbol].symbol

    def cash(self, operation: Operation) -> Asset:
        """Return what its orders are paid in."""
        return self.instruments[operation.symbol].quote

    def shares(self, operation: Operation) -> Asset:
        """Return what its orders are about."""
        return self.instruments[operation.symbol].base

    def unrest(self) -> str:
        """Say why it is not quiet yet; empty if it is."""
        liar = self.plan.liar if "lie" in self.counters else 0
        if self.clients.open_calls:
            calls = [call for call in self.clients.calls if not call.is_over]
            if liar:  # who waits for the end of doubt may wait for it for ever
                calls = [call for call in calls if not call.operation.is_wait_done]
            open_calls = [call.index for call in calls if call.operation.node != liar]
            if open_calls:
                return f"clients wait: {open_calls}"
        for machine in self.machines.values():
            process = machine.process
            if machine.is_stopped or machine.node == liar:
                continue
            if process is None:
                return f"node {machine.node} is down"
            why = process.unrest(liar)
            if why and not self.is_spoiled:
                return f"node {machine.node}: {why}"
        return ""

    # Below: how it is done.

    def _build(self) -> None:
        for node, (identity, disk, records) in enumerate(genesis(self), start=1):
            self.machines[node] = Machine(self, node, identity, disk)
            for lsn, record in enumerate(records, start=1):
                self.hearing.durable(node, Lsn(lsn), record)
        if self.plan.join_us:
            newcomer = self.machines[self.plan.nodes]
            newcomer.is_born = False
            self.at(self.plan.join_us, self._join, newcomer)
        for machine in self.machines.values():
            if machine.is_born:
                self.start(machine.node)

    def _join(self, newcomer: Machine) -> None:
        """Let a node join the others (C4)."""
        newcomer.is_born = True
        self.counters["a node joined"] += 1
        for machine in self.machines.values():
            if machine.process is not None:
                machine.process.hear_of(newcomer)
        self.start(newcomer.node)

    def _crash(self, node: int, point: str, down_us: int) -> None:
        machine = self.machines[node]
        process = machine.process
        if point in BOOT_POINTS:
            machine.armed_boot = BOOT_POINTS[point]
        if process is None:
            return
        if point == "now" or point in BOOT_POINTS:
            self.kill(process, restart_us=down_us)
        elif point == "drained":
            process.drain()
            self.at(200 * MS, self.kill, process)
        else:
            process.armed = point

    def _died_starting(self, process: Process) -> None:
        """Learn whether the boot epoch that was being forced is there: nobody else knows."""
        self.counters["killed while starting"] += 1
        try:
            frame = process.machine.last_frame()
        except StoreError:  # a flipped bit: it was there before, so nothing new is
            if not process.machine.is_rotten:
                raise
            frame = None
        if frame is not None and frame.last_lsn > self.exchange.node(process.node).lsn:
            for place, record in enumerate(frame.records):
                self.hearing.durable(process.node, Lsn(frame.first_lsn + place), record)
        self.kill(process)

    def _pause(self, fault: Pause) -> None:
        machine = self.machines[fault.node]
        process = machine.process
        if process is None or process.paused_until_us > self.now_us:
            return
        self.counters["pause"] += 1
        process.paused_until_us = self.now_us + fault.duration_us
        if fault.is_unnoticed:
            self.counters["pause that nobody can notice"] += 1
            machine.stand()
            self.at(fault.duration_us - 1, machine.go_on)

    def _set_clock(self, node: int, by_us: int) -> None:
        machine = self.machines[node]
        machine.skew_us += by_us
        if abs(by_us) >= DAY:
            self.counters["clock set by a day or more"] += 1

    def _fill(self, fault: Full) -> None:
        machine = self.machines[fault.node]
        machine.full_until_us = self.now_us + fault.duration_us
        if machine.process is not None:
            machine.process.set_full(is_full=True)
        self.at(fault.duration_us, self._empty, machine)

    def _empty(self, machine: Machine) -> None:
        if machine.process is not None:
            machine.process.set_full(is_full=False)
