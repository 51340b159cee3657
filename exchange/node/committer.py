"""The committer: carries out one forced write at a time, and says when it is done (W2, E4).

A force on a fast disk costs about as much as waking a thread, so it is done inline; on a
slow one a writer thread of its own forces one batch while the engine decides the next.
Which it is, is measured at start (`force_time`) and chosen again while the node runs, for
disks change: by what else they do, by their age, by credits that a cloud gives out.

    inline -> thread   the median of WINDOW forces is SLOW_S or more, or one is STALL_S or more
    thread -> inline   of so many forces a quarter is below FAST_S and none a stall; so many is
                       WINDOW, and twice as many with each change to the thread (no flapping)

On the thread a force also waits for the interpreter, so what counts is what the quick ones
took.  Forces of checkpoints are left out: they are long on any disk (W5).  An LMDB write
begins and ends on one thread either way (W3): `Store.commit` is one synchronous call.
"""

import errno
import os
import queue
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from exchange.engine.messages import Proof
from exchange.store.store import Write

INLINE_BELOW_S = 0.0006  # performance.md: a hop to a thread and back costs 0.06 to 0.2 ms
SLOW_S = 2 * INLINE_BELOW_S
FAST_S = INLINE_BELOW_S / 2
STALL_S = 0.05  # as long as a checkpoint may hold up trading (W5)
WINDOW = 32  # forces
WINDOW_MAX = 4096
PROBES = 5
PROBE_SIZE = 4096  # bytes: a page
FORCES_A_WRITE = 2  # LMDB flushes its data, then its meta page

Commit = Callable[[Write], Proof]


class Committer(Protocol):
    """One forced write at a time: `submit`, then `finished` hands it back once it is durable."""

    @property
    def kind(self) -> str:
        """Name it for people."""

    @property
    def is_busy(self) -> bool:
        """Tell whether a write is under way: nothing may be submitted."""

    def submit(self, write: Write) -> None:
        """Begin to force a write."""

    def finished(self) -> tuple[Write, Proof] | None:
        """Return the write that became durable, once; raise what the force raised."""

    def close(self) -> None:
        """Wait for the write under way, and end."""


class InlineCommitter:
    """Force within `submit`: for disks that answer faster than a thread wakes up."""

    kind = "inline"

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._done: tuple[Write, Proof] | None = None

    @property
    def is_busy(self) -> bool:
        """Tell whether a write waits to be taken."""
        return self._done is not None

    def submit(self, write: Write) -> None:
        """Force a write now."""
        assert self._done is None, "one write at a time"
        self._done = (write, self._commit(write))

    def finished(self) -> tuple[Write, Proof] | None:
        """Return the write just forced."""
        done, self._done = self._done, None
        return done

    def close(self) -> None:
        """Nothing is under way between two calls."""


class ThreadCommitter:
    """Force on one dedicated thread; `wake` is called on it after every write."""

    kind = "thread"

    def __init__(self, commit: Commit, wake: Callable[[], object]) -> None:
        self._commit = commit
        self._wake = wake
        self._writes: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._done: tuple[Write, Proof] | None = None
        self._error: BaseException | None = None
        self._busy = False
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Tell whether a write is being forced, or waits to be taken."""
        return self._busy

    def submit(self, write: Write) -> None:
        """Hand a write to the thread."""
        assert not self._busy, "one write at a time"
        self._busy = True
        self._writes.put(write)

    def finished(self) -> tuple[Write, Proof] | None:
        """Return the write that became durable; raise what the force raised."""
        if self._error is not None:
            raise self._error
        done = self._done
        if done is not None:
            self._done, self._busy = None, False
        return done

    def close(self) -> None:
        """Let the thread finish its write and end; the caller waits for it."""
        self._writes.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (write := self._writes.get()) is not None:
            try:
                self._done = (write, self._commit(write))
            except BaseException as error:  # the engine's task raises it
                self._error = error
            self._wake()


class AdaptiveCommitter:
    """Force inline or on a thread, whichever the disk is for at the moment."""

    def __init__(
        self,
        commit: Commit,
        wake: Callable[[], object],
        *,
        is_slow: bool,
        tell: Callable[[str, float], None],
        clock_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Begin as measured; `tell` hears of each choice: which, and what a force takes."""
        self._commit = commit
        self._clock_s = clock_s
        self._tell = tell
        self._inline = InlineCommitter(self._timed)
        self._thread: ThreadCommitter | None = None
        self._wake = wake
        self._needed = WINDOW
        self._took_s: deque[float] = deque(maxlen=WINDOW_MAX)  # since the last choice
        self._last_s: float | None = None  # of the write under way, by whoever forces it
        self._current: Committer = self._on_thread() if is_slow else self._inline

    @property
    def kind(self) -> str:
        """Return which it is now."""
        return self._current.kind

    @property
    def is_busy(self) -> bool:
        """Tell whether a write is under way, or waits to be taken."""
        return self._current.is_busy

    def submit(self, write: Write) -> None:
        """Begin to force a write, perhaps elsewhere than the last one."""
        self._choose()
        self._current.submit(write)

    def finished(self) -> tuple[Write, Proof] | None:
        """Return the write that became durable, once; raise what the force raised."""
        done = self._current.finished()
        if done is not None and self._last_s is not None:
            self._took_s.append(self._last_s)
            self._last_s = None
        return done

    def close(self) -> None:
        """Wait for the write under way, and end."""
        if self._thread is not None:
            self._thread.close()
            self._thread = None

    def _timed(self, write: Write) -> Proof:
        begun = self._clock_s()
        proof = self._commit(write)
        if write.checkpoint is None:
            self._last_s = self._clock_s() - begun
        return proof

    def _choose(self) -> None:
        took = self._took_s
        if not took:
            return
        is_stall = took[-1] >= STALL_S
        if self._current is self._inline:
            is_known = len(took) % WINDOW == 0
            seconds = statistics.median(list(took)[-WINDOW:]) if is_known else 0.0
            if is_stall or seconds >= SLOW_S:
                self._needed = min(2 * self._needed, WINDOW_MAX)
                self._change(self._on_thread(), max(seconds, took[-1]))
        elif is_stall:
            took.clear()
        elif len(took) >= self._needed and len(took) % WINDOW == 0:
            quick_s = statistics.quantiles(took, n=4)[0]
            if quick_s < FAST_S:
                self._change(self._inline, quick_s)

    def _change(self, committer: Committer, seconds: float) -> None:
        self._current = committer
        self._took_s.clear()
        self._tell(committer.kind, seconds)

    def _on_thread(self) -> ThreadCommitter:
        if self._thread is None:
            self._thread = ThreadCommitter(self._timed, self._wake)
        return self._thread


def force_time(directory: Path) -> float:
    """Measure what a forced write costs here, in seconds: the median of a few probes.

    A disk too full to be measured counts as fast: whoever starts on it has worse to do (W7).
    """
    path = directory / "force.probe"
    try:
        return statistics.median(_probe(path) for _ in range(PROBES))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return 0.0
    finally:
        path.unlink(missing_ok=True)


def _probe(path: Path) -> float:
    page = bytes(PROBE_SIZE)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        begun = time.perf_counter()
        for _ in range(FORCES_A_WRITE):
            os.write(file, page)
            os.fdatasync(file)
        return time.perf_counter() - begun
    finally:
        os.close(file)
