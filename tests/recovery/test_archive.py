"""The beginning of a log moves into segments, and everything still adds up (W5)."""

import shutil
from pathlib import Path

import pytest

from exchange.domain.orders import Side
from exchange.domain.units import NodeId
from exchange.store.errors import DataDirInUse
from recovery.archive import archive
from recovery.inspection import inspect
from recovery.rebuild import rebuild
from recovery.replay import CannotReplay
from recovery.verification import verify
from tests.recovery.cluster import Cluster, account_of
from tests.recovery.logs import read_frames


def test_what_is_archived_is_verified_with_its_segments(traded: Cluster, tmp_path: Path) -> None:
    """Issue, item 6: verify works across segments, the auditor from the first record."""
    before = verify(traded.paths)
    result = archive(traded.paths[0], tmp_path / "archive", before=9)
    assert (result.base_lsn, result.frames) == (8, 8)

    alone = verify(traded.paths)
    assert [found.code for found in alone.problems] == ["unread"]
    whole = verify(traded.paths[:1], archive=tmp_path / "archive")
    assert whole.problems == []
    assert whole.audited == before.directories[0].records


def test_nothing_behind_the_checkpoint_is_moved(traded: Cluster, tmp_path: Path) -> None:
    """W5: redo needs it."""
    assert archive(traded.paths[1], tmp_path / "archive", before=9).frames == 0
    result = archive(traded.paths[0], tmp_path / "archive", before=10**9)

    node = inspect(traded.paths).directories[0]
    assert result.base_lsn < node.checkpoint_lsn == node.last_lsn
    assert node.frames == 1


def test_a_node_goes_on_behind_its_base(traded: Cluster, tmp_path: Path) -> None:
    """W5."""
    archive(traded.paths[0], tmp_path / "archive", before=10**9)
    for node in traded.nodes.values():
        node.start()
    traded.link_all()
    traded.settle()
    traded.put(account_of(2), Side.BUY, 2, 101)
    traded.kill_all()

    assert verify(traded.paths, archive=tmp_path / "archive").problems == []
    assert verify(traded.paths[:1], archive=tmp_path / "archive").audited > 14


def test_an_age_keeps_the_newest(traded: Cluster, tmp_path: Path) -> None:
    """Interfaces 5: `--before LSN|AGE`."""
    assert archive(traded.paths[0], tmp_path / "archive", before_ts=0).frames == 0
    assert archive(traded.paths[0], tmp_path / "archive", before_ts=2**62).frames > 0


def test_a_damaged_segment_is_a_problem(traded: Cluster, tmp_path: Path) -> None:
    """W4."""
    (name,) = archive(traded.paths[0], tmp_path / "archive", before=9).segments
    segment = Path(name)
    segment.write_bytes(segment.read_bytes()[:-20] + bytes(20))

    found = [item.code for item in verify(traded.paths[:1], archive=tmp_path / "archive").problems]
    assert "archive_damaged" in found


def test_segments_of_another_life_are_refused(traded: Cluster, tmp_path: Path) -> None:
    """C3."""
    (name,) = archive(traded.paths[0], tmp_path / "archive", before=9).segments
    segment = Path(name)
    segment.write_bytes(segment.read_bytes().replace(b'"nonce":"01', b'"nonce":"ff', 1))

    found = [item.code for item in verify(traded.paths[:1], archive=tmp_path / "archive").problems]
    assert found == ["archive_damaged"]


def test_a_running_node_is_left_alone(market: Cluster, tmp_path: Path) -> None:
    """Interfaces 5: exit code 5."""
    with pytest.raises(DataDirInUse):
        archive(market.paths[0], tmp_path / "archive", before=5)


def test_a_proof_older_than_the_base_accuses_nobody(traded: Cluster, tmp_path: Path) -> None:
    """C3, W5: what was archived cannot be compared, and this log goes on behind it."""
    one = traded.nodes[NodeId(1)]
    one.start()  # without its link: node 2 sees nothing of what follows
    for _ in range(4):
        traded.tick(by_us=1_000_000)
    for number in range(3):
        traded.place(account_of(1), Side.SELL, 1, 200 + number)
    one.checkpoint()
    one.kill()
    seen = max(frame.seen[NodeId(1)].lsn for frame in read_frames(traded.paths[1]) if frame.seen)
    result = archive(traded.paths[0], tmp_path / "archive", before=10**9)

    assert seen < result.base_lsn
    assert not inspect(traded.paths).problems
    assert [found.code for found in verify(traded.paths).problems] == ["unread"]
    assert not verify(traded.paths, archive=tmp_path / "archive").problems


def test_a_lost_node_is_rebuilt_from_archived_logs(traded: Cluster, tmp_path: Path) -> None:
    """Issue, item 7: retention is no reason to lose a node."""
    two = traded.nodes[NodeId(2)]
    two.start()
    two.checkpoint()
    two.kill()
    whole = rebuild(1, traded.paths[1:], tmp_path / "whole")
    archive(traded.paths[1], tmp_path / "archive", before=10**9)
    with pytest.raises(CannotReplay, match="give --archive"):
        rebuild(1, traded.paths[1:], tmp_path / "new")
    again = rebuild(1, traded.paths[1:], tmp_path / "new", archive=tmp_path / "archive")

    assert (again.trades, again.suspense) == (whole.trades, whole.suspense)


def test_a_copy_made_before_is_verified_with_the_segments(traded: Cluster, tmp_path: Path) -> None:
    """Issue, item 6: also what a kill has left, after the segment and before the log is cut."""
    shutil.copytree(traded.paths[0], tmp_path / "copy")
    archive(traded.paths[0], tmp_path / "archive", before=9)

    found = verify([tmp_path / "copy"], archive=tmp_path / "archive")
    assert found.problems == []
    archive(tmp_path / "copy", tmp_path / "archive", before=11)
    assert len(list((tmp_path / "archive").iterdir())) == 2
    found = verify([tmp_path / "copy"], archive=tmp_path / "archive")
    assert found.problems == []
