"""What a process has decided, on its way to the disk: one frame after the other (W2, E4).

What is decided while a frame is being forced goes whole into the next one.  A process may die
of a force, or in one; the outcome is what the disk has, whatever the process was told.
"""

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from exchange.domain.units import Lsn, NodeId
from exchange.engine.engine import Step
from exchange.engine.messages import SealedProof
from exchange.engine.records import Record
from exchange.store import crash
from exchange.store.errors import StoreError
from exchange.store.store import Write

if TYPE_CHECKING:
    from fuzz.process import Process


class Killed(BaseException):
    """The process dies here; nothing may catch it but the cluster."""

    def __init__(self, process: "Process") -> None:
        super().__init__()
        self.process = process


class Forces:
    """The writes of one process."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._records: list[Record] = []  # decided, and in no frame yet
        self._seen: dict[NodeId, SealedProof] = {}
        self._writes: deque[tuple[Write, Step]] = deque()  # under way, in order
        self.fate = ""  # what becomes of the write in progress when the process dies

    @property
    def is_under_way(self) -> bool:
        """Tell whether something is being forced."""
        return bool(self._writes)

    def add(self, step: Step) -> None:
        """Take what a turn has decided."""
        self._records += step.records
        self._seen.update(step.seen)

    def submit(self, last_lsn: Lsn) -> None:
        """Make a frame of all that was decided, unless the disk has enough to do."""
        process = self._process
        if not self._records or len(self._writes) >= process.cluster.plan.depth:
            return
        step = Step(self._records, [], last_lsn, self._seen)
        self._records, self._seen = [], {}
        with hooked(process):
            write = process.store.prepare(step, ts=process.machine.wall_us)
        self._writes.append((write, step))
        if len(self._writes) == 1:
            self._begin()

    def die(self) -> None:
        """Let the write in progress be on the disk whole, or not at all."""
        process = self._process
        fate = self.fate or process.cluster.random.choice(("kept", "lost"))
        if self._writes and fate == "kept":
            write, step = self._writes[0]
            process.cluster.counters["write survives its process"] += 1
            with suppress(StoreError):
                process.store.commit(write)
            if self._is_there(write):
                process.cluster.hearing.forced(process, step)

    def _begin(self) -> None:
        process, cluster = self._process, self._process.cluster
        duration_us = 1 + int(cluster.random.expovariate(1 / cluster.plan.force_us))
        if process.armed in ("force_lost", "force_kept") and process.armed_after:
            process.armed_after -= 1
        elif process.armed in ("force_lost", "force_kept"):
            self.fate = process.armed.removeprefix("force_")
            cluster.at(int(duration_us * cluster.random.random()), cluster.kill, process)
        cluster.at(duration_us, self._forced)

    def _forced(self) -> None:
        """Take over a write that the disk says is durable, or die of its failure (E4)."""
        process = self._process
        if not process.is_alive or process.is_deferred(self._forced):
            return
        write, step = self._writes.popleft()
        try:
            with hooked(process):
                proof = process.store.commit(write)
        except (StoreError, Killed) as death:
            self._die_of(write, step, death)
            return
        process.cluster.hearing.forced(process, step)
        with hooked(process):
            process.store.committed(write)
        if process.armed == "forced_unsent":
            raise Killed(process)
        if self._writes:
            self._begin()
        process.begin_turn()
        process.engine.forced(proof)
        process.end_turn()

    def _die_of(self, write: Write, step: Step, death: BaseException) -> None:
        """Die of a force; its outcome is what the disk has, whatever its caller was told (E4)."""
        process = self._process
        self._writes.clear()
        if self._is_there(write):
            process.cluster.counters["failed force is there"] += 1
            process.cluster.hearing.forced(process, step)
        if isinstance(death, Killed):
            raise death
        process.cluster.counters["failed force"] += 1
        raise Killed(process)

    def _is_there(self, write: Write) -> bool:
        table, key, _ = write.changes[0]
        return self._process.machine.disk.get(table, key) is not None


class hooked:  # noqa: N801 - read as `with hooked(process)`
    """Passes the crash points of the store on to the process that is inside it."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    def __enter__(self) -> None:
        if self._process.armed:
            crash.hook = self._passed

    def __exit__(self, *_error: object) -> None:
        crash.hook = None

    def _passed(self, name: str) -> None:
        if self._process.armed == name:
            raise Killed(self._process)
