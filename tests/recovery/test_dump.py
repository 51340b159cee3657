"""A log goes through text and comes back the same (issue, item 6)."""

import io
from pathlib import Path

import pytest

from recovery.dump import dump, load
from recovery.replay import CannotReplay
from recovery.verification import verify
from tests.recovery.cluster import Cluster
from tests.recovery.logs import read_frames


def dumped(path: Path) -> bytes:
    file = io.BytesIO()
    dump(path, file)
    return file.getvalue()


def test_a_dump_loads_to_the_same_digest(traded: Cluster, tmp_path: Path) -> None:
    """W4."""
    result = load(io.BytesIO(dumped(traded.paths[0])), tmp_path / "new")

    assert result.is_same
    assert read_frames(tmp_path / "new") == read_frames(traded.paths[0])
    assert verify([tmp_path / "new", traded.paths[1]]).problems == []


@pytest.mark.parametrize("line", range(6))
def test_a_dump_that_was_changed_is_refused_or_differs(
    traded: Cluster, tmp_path: Path, line: int
) -> None:
    """Bad input: nothing is left of it."""
    lines = dumped(traded.paths[0]).splitlines(keepends=True)
    del lines[line]
    with pytest.raises(CannotReplay):
        load(io.BytesIO(b"".join(lines)), tmp_path / "new")
    assert list(tmp_path.glob("new*")) == []


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b"\xff", b'{"dump":9}', b"[" * 100_000])
def test_what_is_no_dump_is_refused(tmp_path: Path, text: bytes) -> None:
    """Bad input."""
    with pytest.raises(CannotReplay):
        load(io.BytesIO(text), tmp_path / "new")


def test_a_dump_that_is_cut_off_is_refused(traded: Cluster, tmp_path: Path) -> None:
    """Bad input."""
    lines = dumped(traded.paths[0]).splitlines(keepends=True)
    with pytest.raises(CannotReplay, match="cut off"):
        load(io.BytesIO(b"".join(lines[:-1])), tmp_path / "new")
    with pytest.raises(CannotReplay, match="behind the end"):
        load(io.BytesIO(b"".join([*lines, lines[1]])), tmp_path / "new")
