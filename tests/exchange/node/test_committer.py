"""Forced writes, one at a time, inline or on a thread."""

import errno
import os
import threading
from pathlib import Path

import pytest

from exchange.domain.units import Lsn
from exchange.engine.messages import Proof
from exchange.node.committer import InlineCommitter, ThreadCommitter, force_time
from exchange.store.errors import StoreFailed
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
