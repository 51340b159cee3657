"""New directories are whole or not there, and hold the same bytes as the old ones (W6)."""

from pathlib import Path

import pytest

from exchange.domain.units import NodeId
from exchange.store.errors import DirectoryUnusable, StoreFailed
from exchange.store.frames import Identity
from recovery.bulk import BulkDisk, NewDirectory, Unfinished
from recovery.directory import DataDirectory
from tests.recovery.cluster import Cluster
from tests.recovery.logs import read_frames

WHOSE = Identity("test", NodeId(1), bytes(16))


class Memory:
    """A disk in memory that counts its forces."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], bytes] = {}
        self.forces = 0

    def get(self, table: str, key: bytes) -> bytes | None:
        return self.rows.get((table, key))

    def scan(self, table: str, start: bytes = b"", *, reverse: bool = False) -> object:
        rows = sorted((k, v) for (t, k), v in self.rows.items() if t == table and k >= start)
        return iter(rows)

    def write(self, changes: list[tuple[str, bytes, bytes | None]]) -> None:
        self.forces += 1
        for table, key, value in changes:
            if value is None:
                self.rows.pop((table, key), None)
            else:
                self.rows[table, key] = value

    def close(self) -> None: ...


def test_writes_are_seen_before_they_are_forced() -> None:
    """The store reads what it has written."""
    memory = Memory()
    disk = BulkDisk(memory)  # type: ignore[arg-type]  # it is enough of a disk
    disk.write([("log", b"a", b"1"), ("log", b"b", b"2")])
    disk.write([("log", b"a", None)])

    assert disk.get("log", b"a") is None
    assert disk.get("log", b"b") == b"2"
    assert memory.forces == 0
    assert list(disk.scan("log")) == [(b"b", b"2")]
    assert memory.forces == 1


def test_frames_come_out_byte_for_byte(traded: Cluster, tmp_path: Path) -> None:
    """W4: the chain is the same, so peers know it."""
    frames = read_frames(traded.paths[0])
    with DataDirectory.open(traded.paths[0]) as source:
        identity = source.identity
    with NewDirectory(tmp_path / "new", identity) as new:
        for frame in frames:
            last = new.add(frame)
        assert new.finish() == last

    assert read_frames(tmp_path / "new") == frames
    assert not (tmp_path / "new.unfinished").exists()


def test_an_unfinished_directory_leaves_nothing(traded: Cluster, tmp_path: Path) -> None:
    """W6: what has no name cannot be started."""
    with DataDirectory.open(traded.paths[0]) as source:
        identity = source.identity
    with NewDirectory(tmp_path / "new", identity):
        assert not (tmp_path / "new").exists()

    assert list(tmp_path.glob("new*")) == []


def test_a_directory_in_use_is_not_overwritten(tmp_path: Path) -> None:
    """W4."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("precious")

    with pytest.raises(DirectoryUnusable, match="not empty"):
        NewDirectory(tmp_path / "there", Identity("c", 1, b"x" * 16))  # type: ignore[arg-type]


class FullDisk:
    """A disk without room."""

    def write(self, changes: object) -> None:
        raise StoreFailed("no room", is_full=True)

    def close(self) -> None:
        pass


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """W7: what was half made would keep the disk full."""

    def make() -> None:
        with Unfinished(tmp_path / "new", WHOSE) as new:
            new.disk._disk.close()
            new.disk._disk = FullDisk()  # type: ignore[assignment]
            new.disk.write([("meta", b"key", b"value")])
            new.disk.flush()

    with pytest.raises(StoreFailed):
        make()
    assert not any(tmp_path.iterdir())


def test_a_disk_without_room_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W7: LMDB would die of a bus error, without a word."""
    monkeypatch.setattr("recovery.bulk.FREE_MIN", 1 << 62)

    with pytest.raises(DirectoryUnusable, match="make room"):
        Unfinished(tmp_path / "new" / "deeper", WHOSE)
    assert not any(tmp_path.iterdir())
