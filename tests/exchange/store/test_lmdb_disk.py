"""LMDB is used in the one mode that loses nothing, and its pitfalls are closed."""

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.store import lmdb_disk
from exchange.store.directory import BALLAST, Directory
from exchange.store.errors import DamagedDirectory, DirectoryUnusable, StoreFailed
from exchange.store.lmdb_disk import MAP_SIZE, LmdbDisk, Usage
from exchange.store.store import Store
from exchange.store.tables import CODECS
from fuzz.disk import SimulatedDisk
from tests.exchange.store.scene import IDENTITY, LAZY, check, deposits, force, open_store

MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data.mdb").touch()
    return tmp_path


@pytest.fixture
def disk(path: Path) -> Iterator[LmdbDisk]:
    disk = LmdbDisk(path)
    yield disk
    disk.close()


def environment(disk: LmdbDisk) -> lmdb.Environment:
    return disk._env


def test_the_environment_is_in_the_default_sync_mode(disk: LmdbDisk) -> None:
    """W1: every other mode lost or corrupted data in crash-image tests."""
    flags = environment(disk).flags()

    assert flags["sync"]
    assert flags["metasync"]
    assert not flags["writemap"]
    assert not flags["map_async"]
    assert lmdb.version()[:2] == (0, 9), "engine 0.9 (faults.md section 1)"


def test_a_write_is_there_whole(disk: LmdbDisk, path: Path) -> None:
    """W2, W5: puts and deletions of several tables, one commit."""
    before = environment(disk).info()["last_txnid"]
    disk.write([("log", b"1", b"frame"), ("orders", b"a", b"1"), ("orders", b"b", b"2")])
    disk.write([("log", b"2", b"frame"), ("orders", b"a", None), ("meta", b"m", b"3")])

    assert environment(disk).info()["last_txnid"] == before + 2
    assert list(disk.scan("orders")) == [(b"b", b"2")]
    assert disk.get("meta", b"m") == b"3"
    assert disk.get_many("orders", [b"b", b"a"]) == [b"2", None]
    disk.close()
    again = LmdbDisk(path)
    assert [key for key, _ in again.scan("log")] == [b"1", b"2"]
    again.close()


def test_writes_of_several_threads_follow_each_other(disk: LmdbDisk) -> None:
    """W3: begun on one thread and committed on another, the next writer would hang for ever."""
    for number in range(6):
        change = ("orders", bytes([number]), b"order")
        writer = threading.Thread(target=disk.write, args=([change],), daemon=True)
        writer.start()
        writer.join(timeout=10)
        assert not writer.is_alive()
        disk.write([("orders", bytes([100 + number]), b"order")])

    assert len(list(disk.scan("orders"))) == 12


def test_a_write_that_fails_inside_leaves_nothing(disk: LmdbDisk) -> None:
    """W3, E4: a key that LMDB refuses, in the middle of a write."""
    with pytest.raises(StoreFailed):
        disk.write([("orders", b"a", b"1"), ("orders", b"k" * 600, b"2")])

    assert disk.get("orders", b"a") is None
    disk.write([("orders", b"a", b"1")])
    assert disk.get("orders", b"a") == b"1"


@given(
    st.dictionaries(st.binary(min_size=1, max_size=3), st.binary(max_size=3), max_size=40),
    st.binary(max_size=3),
    st.booleans(),
)
@settings(max_examples=50)
def test_a_scan_is_that_of_a_sorted_dictionary(
    entries: dict[bytes, bytes], start: bytes, reverse: bool
) -> None:
    """W8: slices join without a seam, in both directions, from any key."""
    model = SimulatedDisk()
    model.write([("orders", key, value) for key, value in entries.items()])
    disk = SHARED.emptied()
    disk.write([("orders", key, value) for key, value in entries.items()])

    assert list(disk.scan("orders", start, reverse=reverse)) == list(
        model.scan("orders", start, reverse=reverse)
    )


class Shared:
    """One environment for all examples: making one costs more than using it."""

    disk: LmdbDisk

    def emptied(self) -> LmdbDisk:
        self.disk.write([("orders", key, None) for key, _ in self.disk.scan("orders")])
        return self.disk


SHARED = Shared()


@pytest.fixture(autouse=True, scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path = tmp_path_factory.mktemp("shared")
    (path / "data.mdb").touch()
    SHARED.disk = LmdbDisk(path)
    yield
    SHARED.disk.close()


def test_no_read_transaction_outlives_a_call(disk: LmdbDisk) -> None:
    """W8: a reader left open pins freed pages, and the file grows without end."""
    for number in range(20):
        disk.write([("orders", bytes([number]), bytes(MIB))])
    scan = disk.scan("orders")
    next(scan)
    disk.get("orders", b"\0")
    disk.get_many("orders", [b"\0"])
    assert "no active readers" in environment(disk).readers() or _idle(disk)
    size = os.stat(disk.path / "data.mdb").st_size

    for _ in range(40):
        disk.write([("orders", b"\0", bytes(MIB))])

    assert os.stat(disk.path / "data.mdb").st_size <= size + 4 * MIB
    assert len(list(scan)) == 19, "a scan goes on where it was"


def _idle(disk: LmdbDisk) -> bool:
    """Tell whether no reader slot has a transaction: the last column is a dash then."""
    rows = environment(disk).readers().splitlines()[1:]
    return all(row.split()[-1] == "-" for row in rows)


def test_slots_of_dead_readers_are_cleared(disk: LmdbDisk) -> None:
    """W8: a reader killed inside a read pins pages until somebody looks."""
    script = (
        "import lmdb, os, signal, sys\n"
        "read = lmdb.open(sys.argv[1], readonly=True, max_dbs=9, max_readers=1024).begin()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(disk.path)], check=False)
    assert not _idle(disk)

    assert disk.check_readers() == 1
    assert _idle(disk)


def test_an_environment_opened_for_reading_is_not_written(path: Path) -> None:
    """W6: for the recovery tools."""
    LmdbDisk(path).close()
    disk = LmdbDisk(path, is_read_only=True)

    with pytest.raises(StoreFailed):
        disk.write([("orders", b"a", b"1")])
    assert list(disk.scan("orders")) == []
    disk.close()


def test_tables_that_an_older_version_did_not_know_are_empty(tmp_path: Path) -> None:
    """W6: read only, without making them."""
    with lmdb.open(str(tmp_path), max_dbs=2) as older:
        older.open_db(b"log")
    disk = LmdbDisk(tmp_path, is_read_only=True)

    for table in CODECS:
        assert list(disk.scan(table)) == []
        assert disk.get(table, b"key") is None
        assert disk.get_many(table, [b"key"]) == [None]
    disk.close()


def fill(store: Store, after_each: Callable[[], object] = lambda: None) -> None:
    """Force frames until one fails."""
    while True:
        force(store, deposits(500)[1:])
        after_each()


def test_a_table_that_nobody_knows_is_damage(path: Path) -> None:
    """W4: a flipped bit in the name of a table would empty it, and nobody would notice."""
    with lmdb.open(str(path), max_dbs=2) as other:
        other.open_db(b"cliant_keys")

    for is_read_only in (False, True):
        with pytest.raises(DamagedDirectory, match="cliant_keys"):
            LmdbDisk(path, is_read_only=is_read_only)


def test_a_full_map_ends_the_store_and_a_restart_finds_more_room(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W7, E4: the state before is intact, and nothing acknowledged is lost."""
    monkeypatch.setattr(lmdb_disk, "MAP_SIZE", MIB)
    disk = LmdbDisk(path)
    store = open_store(disk, LAZY)
    force(store, deposits(3))
    warned: list[bool] = []
    with pytest.raises(StoreFailed) as failed:
        fill(store, lambda: warned.append(disk.usage().is_full))
    durable = store.proof
    disk.close()

    assert failed.value.is_full
    assert any(warned), "new orders are refused before it happens"
    disk = LmdbDisk(path)
    again = open_store(disk, LAZY)
    assert again.proof == durable
    force(again, deposits(500)[1:])
    assert not disk.usage().is_full
    check(again)
    disk.close()


@pytest.mark.parametrize(
    ("used", "size", "free", "is_full"),
    [
        (0, 1 << 36, 1 << 30, False),
        (89, 100, 1 << 30, False),
        (90, 100, 1 << 30, True),
        (1 << 20, 1 << 36, (1 << 25) - 1, True),
        (1 << 20, 1 << 36, 1 << 25, False),
        (9 << 30, 1 << 36, 1 << 30, True),
        (8 << 30, 1 << 36, 1 << 30, False),
    ],
)
def test_new_orders_are_refused_before_there_is_no_room(
    used: int, size: int, free: int, is_full: bool
) -> None:
    """W7: 90 % of the map, 90 % of what the disk can hold, or the reserve."""
    assert Usage(used, size, free).is_full is is_full


def test_usage_is_that_of_the_map_and_the_disk(disk: LmdbDisk) -> None:
    """W7."""
    before = disk.usage()
    disk.write([("log", b"1", bytes(MIB))])
    after = disk.usage()

    assert after.map_size == MAP_SIZE
    assert MIB <= after.map_used - before.map_used <= MIB + 20 * 4096
    assert after.map_used <= os.stat(disk.path / "data.mdb").st_size
    assert after.disk_free > 0


def test_the_map_grows_with_the_file_and_fits_into_the_address_space(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W7: map the log up front; a limit on address space is no reason to fail."""
    monkeypatch.setattr(lmdb_disk, "MAP_SIZE", MIB)
    assert lmdb_disk._map_size(3 * MIB) == 8 * MIB
    monkeypatch.setattr(lmdb_disk, "MAP_SIZE", MAP_SIZE)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (4 << 30, 4 << 30))

    assert lmdb_disk._map_size(0) == 2 << 30


def test_a_process_with_little_address_space_still_opens(path: Path) -> None:
    """W7: the whole path, under a real limit."""
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from exchange.store.lmdb_disk import LmdbDisk\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "print(LmdbDisk(Path(sys.argv[1])).usage().map_size)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True
    )

    assert MIB < int(done.stdout) <= 1 << 29


@pytest.mark.parametrize("content", [b"no database at all" * 1000, bytes(8192), b"short"])
def test_what_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    """W4: never overwritten, never taken for empty."""
    (tmp_path / "data.mdb").write_bytes(content)

    with pytest.raises(DamagedDirectory) as refused:
        LmdbDisk(tmp_path)

    assert refused.value.exit_code == 4
    assert (tmp_path / "data.mdb").read_bytes() == content


def test_a_table_of_tables_that_lmdb_cannot_read_is_damage(path: Path) -> None:
    """W4: the root page of all tables is of no kind that there is."""
    disk = LmdbDisk(path)
    disk.write([("log", b"1", b"frame")])
    disk.close()
    file = path / "data.mdb"
    image = bytearray(file.read_bytes())
    for page in range(2, len(image) // 4096):
        image[page * 4096 + 10 : page * 4096 + 12] = b"\x04\x00"
    file.write_bytes(image)

    with pytest.raises(DamagedDirectory, match="LMDB cannot read it"):
        LmdbDisk(path)


@pytest.mark.parametrize("room", [1 << 30, 0])
def test_a_map_that_does_not_fit_is_halved_until_it_does(
    path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """W7: other things than RLIMIT_AS limit the address space; with none at all, it is named."""
    really: Any = lmdb.open
    asked: list[int] = []

    def narrow(path: str, *, map_size: int, **options: object) -> Any:  # noqa: ANN401
        asked.append(map_size)
        if map_size > room:
            raise lmdb.MemoryError("no room")
        return really(path, map_size=map_size, **options)

    monkeypatch.setattr(lmdb, "open", narrow)
    if room:
        disk = LmdbDisk(path)
        assert disk.usage().map_size == room
        disk.close()
    else:
        with pytest.raises(DirectoryUnusable, match="no address space"):
            LmdbDisk(path)
        assert asked[-1] == lmdb_disk.MAP_SIZE_MIN
    assert all(size == 2 * half for size, half in pairwise(asked))


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    """W6: only `Directory.create` makes an environment."""
    with pytest.raises(DirectoryUnusable):
        LmdbDisk(tmp_path / "nowhere")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 80 MiB, if this user may."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(mount)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_a_full_disk_gives_up_its_ballast_and_starts_again(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W7: even the epoch of the restart can be forced; nothing lost, no crash loop."""
    passed: list[str] = []
    with Directory.lock(small_disk / "data") as directory:
        directory.create(IDENTITY)
        disk = directory.open()
        store = open_store(disk, LAZY)
        force(store, deposits(1))
        (small_disk / "filler").write_bytes(bytes(40 * MIB))
        assert disk.usage().is_full, "new orders are refused by now"
        monkeypatch.setattr("exchange.store.crash.hook", passed.append)
        with pytest.raises(StoreFailed) as failed:
            fill(store)  # cancels and settlements go on
        durable = store.proof
        disk.close()

        assert failed.value.is_full
        assert "ballast_released" in passed
        assert not (directory.path / BALLAST).exists()
        disk = directory.open()
        again = open_store(disk, LAZY)
        assert again.proof == durable
        assert again.boot(boot_id=bytes(8), ts=deposits(1)[0].ts) == 1  # type: ignore[union-attr]
        assert disk.usage().is_full, "but orders stay refused"
        disk.close()
