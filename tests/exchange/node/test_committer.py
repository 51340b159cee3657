"""Forced writes, one at a time, inline or on a thread."""

import errno
import os
import threading
from pathlib import Path

import msgspec
import pytest

from exchange.domain.units import Lsn
from exchange.engine.messages import Proof
from exchange.node.committer import (
    STALL_S,
    WINDOW,
    AdaptiveCommitter,
    InlineCommitter,
    ThreadCommitter,
    force_time,
)
from exchange.store.errors import StoreFailed
from exchange.store.meta import Checkpoint
from exchange.store.store import Write


def a_write(lsn: int) -> Write:
    return Write([], Lsn(lsn - 1), Proof(Lsn(lsn), b"digest"))


def commit(write: Write) -> Proof:
    return write.proof


def refuse(write: Write) -> Proof:
    raise StoreFailed("the disk said no")


def test_inline_write_is_durable_when_submit_returns() -> None:
    """W2."""
    committer = InlineCommitter(commit)

    committer.submit(a_write(1))

    assert committer.is_busy
    assert committer.finished() == (a_write(1), Proof(Lsn(1), b"digest"))
    assert committer.finished() is None
    assert not committer.is_busy


def test_inline_failure_is_raised_at_once() -> None:
    """E4."""
    with pytest.raises(StoreFailed):
        InlineCommitter(refuse).submit(a_write(1))


def test_thread_wakes_the_engine_when_a_write_is_durable() -> None:
    """E4: one batch is forced while the next is decided."""
    woken = threading.Event()
    committer = ThreadCommitter(commit, woken.set)

    committer.submit(a_write(1))
    assert woken.wait(10)

    assert committer.is_busy, "until it is taken"
    assert committer.finished() == (a_write(1), Proof(Lsn(1), b"digest"))
    assert not committer.is_busy
    committer.close()


def test_thread_hands_its_failure_to_the_engine() -> None:
    """E4: a failed force is a crash."""
    woken = threading.Event()
    committer = ThreadCommitter(refuse, woken.set)
    committer.submit(a_write(1))
    assert woken.wait(10)

    with pytest.raises(StoreFailed):
        committer.finished()
    committer.close()


def test_closing_waits_for_the_write_under_way() -> None:
    """W3: nothing touches the disk behind the engine's back."""
    committer = ThreadCommitter(commit, lambda: None)
    committer.submit(a_write(1))

    committer.close()

    assert committer.finished() == (a_write(1), Proof(Lsn(1), b"digest"))


def test_measuring_the_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """W2: the committer is chosen by measurement."""
    assert 0 < force_time(tmp_path) < 10
    assert list(tmp_path.iterdir()) == []


def test_disk_too_full_to_be_measured_stops_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W7: a node comes back on a full disk; the probe once ended it with a traceback."""

    def write(_file: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write)

    assert force_time(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


class Disk:
    """An adaptive committer over a disk that is as slow as a test says."""

    def __init__(self, *, is_slow: bool = False) -> None:
        self.force_s = 0.0
        self.now_s = 0.0
        self.lsn = 0
        self.told: list[str] = []
        self.woken = threading.Event()
        self.committer = AdaptiveCommitter(
            self._commit,
            self.woken.set,
            is_slow=is_slow,
            tell=lambda kind, _: self.told.append(kind),
            clock_s=lambda: self.now_s,
        )

    def _commit(self, write: Write) -> Proof:
        self.now_s += self.force_s
        return write.proof

    def force(self, seconds: float, times: int = WINDOW) -> None:
        """Force so many writes, each of which takes that long."""
        self.force_s = seconds
        for _ in range(times):
            self.lsn += 1
            self.woken.clear()
            self.committer.submit(a_write(self.lsn))
            if self.committer.kind == "thread":
                assert self.woken.wait(10)
            assert self.committer.finished() is not None


def test_disk_that_becomes_slow_gets_a_thread_and_loses_it_when_it_is_fast_again() -> None:
    """E4: chosen at the start on a fast disk, every force later stopped deciding."""
    disk = Disk()
    disk.force(0.0002)
    assert disk.committer.kind == "inline"

    disk.force(0.003, times=WINDOW + 1)
    assert disk.committer.kind == "thread"
    disk.force(0.003, times=4 * WINDOW)
    assert disk.committer.kind == "thread"
    disk.force(0.0002, times=20 * WINDOW)
    assert disk.committer.kind == "inline"
    assert disk.told == ["thread", "inline"]
    disk.committer.close()


def test_one_stall_is_enough() -> None:
    """E4: a disk that stops for seconds must not stop the node with it."""
    disk = Disk()
    disk.force(STALL_S, times=1)
    disk.force(0.0002, times=1)

    assert disk.committer.kind == "thread"
    disk.committer.close()


def test_disk_in_between_changes_nothing() -> None:
    """E4: no flapping around one bound."""
    disk = Disk()
    for seconds in (0.0005, 0.0009, 0.0005, 0.0009):
        disk.force(seconds)
    assert disk.told == []

    slow = Disk(is_slow=True)
    for seconds in (0.0005, 0.0009, 0.0005, 0.0009):
        slow.force(seconds, times=8 * WINDOW)
    assert slow.told == []
    slow.committer.close()


def test_disk_that_stalls_again_is_trusted_later() -> None:
    """E4: each way back to inline risks a stop of the whole node."""
    disk, needed = Disk(), []
    for _ in range(3):
        disk.force(STALL_S, times=1)
        count = 0
        while disk.committer.kind == "inline" or not count:
            disk.force(0.0002, times=1)
            count += 1
        while disk.committer.kind == "thread":
            disk.force(0.0002, times=WINDOW)
            count += WINDOW
        needed.append(count)

    assert needed == sorted(needed)
    assert needed[2] > 3 * needed[0]
    disk.committer.close()


def test_checkpoints_are_long_on_any_disk() -> None:
    """W5: they say nothing about it."""
    disk = Disk()
    disk.force_s = 1.0
    checkpoint = Checkpoint(Lsn(1), b"", {})
    for _ in range(2):
        disk.committer.submit(msgspec.structs.replace(a_write(1), checkpoint=checkpoint))
        assert disk.committer.finished() is not None

    assert disk.committer.kind == "inline"


def test_write_under_way_on_the_thread_is_taken_behind_the_close() -> None:
    """W3."""
    disk = Disk(is_slow=True)
    disk.committer.submit(a_write(1))
    disk.committer.close()

    assert disk.committer.finished() == (a_write(1), Proof(Lsn(1), b"digest"))
