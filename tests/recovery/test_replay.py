"""A directory as it was at an LSN or a time (E2)."""

from pathlib import Path

import pytest

from recovery.archive import archive
from recovery.directory import NoDirectory
from recovery.inspection import inspect
from recovery.replay import CannotReplay, replay
from recovery.verification import verify
from tests.recovery.cluster import Cluster
from tests.recovery.logs import read_frames
from tests.recovery.test_chain import edit_frame, flip


def test_the_state_of_every_lsn_can_be_had(traded: Cluster, tmp_path: Path) -> None:
    """Issue, item 5."""
    end = read_frames(traded.paths[1])[-1].last_lsn
    for lsn in range(1, end + 1):
        result = replay(traded.paths[1], tmp_path / f"at{lsn}", until_lsn=lsn)
        assert (result.lsn, result.left_out) == (lsn, end - lsn)
        found = verify([tmp_path / f"at{lsn}"])
        assert {problem.code for problem in found.problems} <= {"in_doubt"}
        assert found.directories[0].last_lsn == lsn


def test_a_node_serves_what_was_built(traded: Cluster, tmp_path: Path) -> None:
    """Issue, item 5: a directory a node can serve."""
    replay(traded.paths[0], tmp_path / "again")
    node = traded.nodes[1]  # type: ignore[index]
    node.path = tmp_path / "again"
    traded.nodes[2].start()  # type: ignore[index]
    node.start()
    traded.link_all()
    traded.settle()
    assert not node.stopped
    traded.kill_all()

    assert inspect(traded.paths).problems == []


def test_a_time_ends_at_the_last_frame_before_it(traded: Cluster, tmp_path: Path) -> None:
    """Issue, item 5."""
    frames = read_frames(traded.paths[0])
    result = replay(traded.paths[0], tmp_path / "then", until_ts=frames[-2].ts)

    assert result.lsn == max(frame.last_lsn for frame in frames if frame.ts <= frames[-2].ts)


def test_a_frame_is_cut_where_the_lsn_lies_inside(traded: Cluster, tmp_path: Path) -> None:
    """W2: a frame holds several records."""
    frame = next(frame for frame in read_frames(traded.paths[1]) if frame.count > 1)
    result = replay(traded.paths[1], tmp_path / "cut", until_lsn=frame.first_lsn)

    assert result.is_cut
    assert read_frames(tmp_path / "cut")[-1].records == frame.records[:1]


def test_a_broken_log_is_replayed_up_to_the_break(traded: Cluster, tmp_path: Path) -> None:
    """W4."""
    lsn = edit_frame(traded.paths[0], 5, flip)

    assert replay(traded.paths[0], tmp_path / "before", until_lsn=lsn - 1).lsn == lsn - 1
    with pytest.raises(CannotReplay, match="salvage"):
        replay(traded.paths[0], tmp_path / "behind", until_lsn=lsn)
    assert not (tmp_path / "behind").exists()


def test_an_lsn_beyond_the_end_is_refused(traded: Cluster, tmp_path: Path) -> None:
    """Bad input."""
    with pytest.raises(CannotReplay, match="ends at"):
        replay(traded.paths[0], tmp_path / "x", until_lsn=10**6)
    with pytest.raises(NoDirectory):
        replay(tmp_path / "nowhere", tmp_path / "x")


def test_an_archived_log_is_replayed_with_its_segments(traded: Cluster, tmp_path: Path) -> None:
    """Issue, item 6."""
    archive(traded.paths[0], tmp_path / "archive", before=9)
    with pytest.raises(CannotReplay, match="--archive"):
        replay(traded.paths[0], tmp_path / "then", until_lsn=5)

    result = replay(traded.paths[0], tmp_path / "then", until_lsn=5, archive=tmp_path / "archive")
    assert result.lsn == 5
