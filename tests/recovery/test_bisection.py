"""The first bad record is found, in few replays (issue, item 5)."""

import math
from pathlib import Path

import msgspec
import pytest

from exchange.domain.orders import Side
from exchange.engine.records import LocalTrade, OrderPlaced, Transferred
from recovery.archive import archive
from recovery.bisection import CHECKPOINTS, NAMES, bisect
from recovery.replay import CannotReplay
from tests.recovery.cluster import Cluster, a_market, account_of
from tests.recovery.logs import change, read_frames, rewrite


@pytest.fixture
def busy(tmp_path: Path) -> Cluster:
    cluster = a_market(tmp_path / "busy")
    for number in range(30):
        cluster.place(account_of(1, 1), Side.SELL, 3, 100 + number)
        cluster.place(account_of(1, 2), Side.BUY, 3, 100 + number)
    cluster.kill_all()
    return cluster


def lsn_of_last(path: Path, kind: type) -> int:
    return max(
        lsn
        for frame in read_frames(path)
        for lsn, record in enumerate(frame.records, frame.first_lsn)
        if isinstance(record, kind)
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_invariant_holds_in_an_honest_log(busy: Cluster, name: str) -> None:
    """S1, S9, S13."""
    assert bisect(busy.paths[0], name).holds


def test_the_first_record_that_breaks_an_invariant_is_named(busy: Cluster) -> None:
    """S9: an overfill."""
    path = busy.paths[0]
    lsn = lsn_of_last(path, LocalTrade)
    rewrite(path, change(LocalTrade, lambda r: msgspec.structs.replace(r, quantity=4)))

    result = bisect(path, "orders")
    assert (result.holds, result.lsn, result.type) == (False, lsn, "LocalTrade")
    length = read_frames(path)[-1].last_lsn
    assert result.replays <= 2 + math.ceil(math.log2(length / CHECKPOINTS)) + 1


def test_a_record_that_cannot_be_applied_ends_the_search(busy: Cluster) -> None:
    """E2."""
    path = busy.paths[0]
    lsn = lsn_of_last(path, OrderPlaced)
    rewrite(path, change(OrderPlaced, lambda r: msgspec.structs.replace(r, quantity=10**9)))

    result = bisect(path, "apply")
    assert (result.holds, result.lsn) == (False, lsn)
    assert "cover" in result.detail


def test_the_auditor_is_asked_too(busy: Cluster) -> None:
    """Issue, item 4."""
    path = busy.paths[0]
    lsn = lsn_of_last(path, Transferred)
    rewrite(path, change(Transferred, lambda r: msgspec.structs.replace(r, amount=-(10**9))))

    result = bisect(path, "audit")
    assert (result.holds, result.lsn, result.type) == (False, lsn, "Transferred")
    assert result.detail.startswith("audit_overdrawn")


def test_what_is_archived_is_not_said_to_hold(traded: Cluster, tmp_path: Path) -> None:
    """W5: nothing was looked at."""
    archive(traded.paths[0], tmp_path / "archive", before=9)

    with pytest.raises(CannotReplay, match="give --archive DIR"):
        bisect(traded.paths[0], "audit")
    assert bisect(traded.paths[0], "audit", archive=tmp_path / "archive").holds
