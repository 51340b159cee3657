"""The page reader agrees with LMDB, and never trusts what it reads (W4, faults 1)."""

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from recovery.pages import BadFile, PageFile, Walk

LIVE_WRITER = """
import sys, lmdb
env = lmdb.open(sys.argv[1], map_size=1 << 28, max_dbs=4, sync=False)
table = env.open_db(b"log")
print("ready", flush=True)
for n in range(int(sys.argv[2])):
    with env.begin(write=True) as txn:
        txn.put(n.to_bytes(8, "big"), bytes([n % 256]) * (100 + n % 6000), db=table)
print("done", flush=True)
sys.stdin.read()
"""


def an_environment(path: Path, entries: dict[str, dict[bytes, bytes]]) -> Path:
    with lmdb.open(str(path), map_size=1 << 28, max_dbs=8, sync=False) as env:
        for table, rows in entries.items():
            handle = env.open_db(table.encode())
            with env.begin(write=True, db=handle) as txn:
                for key, value in rows.items():
                    txn.put(key, value)
    return path / "data.mdb"


def read_all(path: Path, table: str) -> dict[bytes, bytes]:
    walk = Walk()
    with PageFile(path) as pages:
        found = {entry.key: entry.value for entry in pages.scan(table, walk)}
    assert not walk.damage
    return found


def random_rows(random_source: random.Random, count: int) -> dict[bytes, bytes]:
    return {
        random_source.randbytes(random_source.randint(1, 200)): random_source.randbytes(
            random_source.choice([0, 1, 50, 1_000, 5_000, 20_000])
        )
        for _ in range(count)
    }


@pytest.mark.parametrize("count", [0, 1, 3, 400])
def test_every_entry_reads_as_lmdb_wrote_it(tmp_path: Path, count: int) -> None:
    """W1."""
    source = random.Random(count)
    rows = random_rows(source, count)
    path = an_environment(tmp_path / "env", {"log": rows, "other": {b"k": b"v"}})

    assert read_all(path, "log") == rows
    assert read_all(path, "other") == {b"k": b"v"}
    assert read_all(path, "missing") == {}


def test_a_scan_starts_at_its_key(tmp_path: Path) -> None:
    """The first key at or after the start comes first."""
    rows = {n.to_bytes(8, "big"): b"x" * 300 for n in range(0, 4_000, 2)}
    path = an_environment(tmp_path / "env", {"log": rows})

    with PageFile(path) as pages:
        for start in (0, 1, 2, 1_999, 2_000, 3_998, 3_999, 9_999):
            keys = [
                int.from_bytes(entry.key, "big")
                for entry in pages.scan("log", Walk(), start=start.to_bytes(8, "big"))
            ]
            assert keys == list(range(start + start % 2, 4_000, 2))
        assert pages.get("log", (1_000).to_bytes(8, "big")) == b"x" * 300
        assert pages.get("log", (1_001).to_bytes(8, "big")) is None


@pytest.mark.parametrize("start", [0, 1, 2, 1_999, 2_000, 3_998, 3_999, 9_999])
def test_a_reverse_scan_starts_at_or_below_its_key(tmp_path: Path, start: int) -> None:
    """As `Disk.scan` says it."""
    rows = {n.to_bytes(8, "big"): b"x" * 300 for n in range(0, 4_000, 2)}
    path = an_environment(tmp_path / "env", {"log": rows})

    with PageFile(path) as pages:
        keys = [
            int.from_bytes(entry.key, "big")
            for entry in pages.scan("log", Walk(), start=start.to_bytes(8, "big"), reverse=True)
        ]
        assert keys == list(range(min(start - start % 2, 3_998), -1, -2))
        (last, *_) = pages.scan("log", Walk(), reverse=True)
        assert last.key == (3_998).to_bytes(8, "big")


def test_reading_leaves_no_trace(tmp_path: Path) -> None:
    """Interfaces 5: read-only, no lock side effects."""
    path = an_environment(tmp_path / "env", {"log": {b"a": b"b"}})
    before = {
        file.name: (file.stat().st_mtime_ns, hashlib.blake2b(file.read_bytes()).digest())
        for file in path.parent.iterdir()
    }

    assert read_all(path, "log") == {b"a": b"b"}
    after = {
        file.name: (file.stat().st_mtime_ns, hashlib.blake2b(file.read_bytes()).digest())
        for file in path.parent.iterdir()
    }
    assert after == before


def test_a_live_writer_never_tears_what_is_read(tmp_path: Path) -> None:
    """Interfaces 5: safe beside a running node."""
    with subprocess.Popen(
        [sys.executable, "-c", LIVE_WRITER, str(tmp_path / "env"), "3000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        with PageFile(tmp_path / "env" / "data.mdb") as pages:
            for _ in range(20):
                walk = Walk()
                pages.refresh()
                numbers = []
                for entry in pages.scan("log", walk):
                    number = int.from_bytes(entry.key, "big")
                    assert entry.value == bytes([number % 256]) * (100 + number % 6000)
                    numbers.append(number)
                assert not walk.damage
                assert numbers == list(range(len(numbers)))
        assert writer.stdout.readline() == "done\n"
        writer.communicate("")


def test_every_flipped_byte_is_survived(tmp_path: Path) -> None:
    """Faults 1: a hostile file gives a finding, never a crash and never a hang."""
    source = random.Random(7)
    rows = random_rows(source, 30)
    path = an_environment(tmp_path / "env", {"log": rows})
    original = path.read_bytes()
    hostile = tmp_path / "hostile"
    for _ in range(1_500):
        changed = bytearray(original)
        changed[source.choice([source.randrange(len(changed)), source.randrange(8192)])] ^= (
            1 << source.randrange(8)
        )
        hostile.write_bytes(changed)
        try:
            with PageFile(hostile) as pages:
                list(pages.scan("log", Walk()))
        except BadFile:
            pass


@pytest.mark.parametrize("size", [0, 10, 151, 4096, 4200])
def test_a_truncated_file_is_named_as_such(tmp_path: Path, size: int) -> None:
    """Faults 1: a crash while the environment was first created."""
    path = an_environment(tmp_path / "env", {"log": {b"a": b"b"}})
    short = tmp_path / "short"
    short.write_bytes(path.read_bytes()[:size])

    with pytest.raises(BadFile, match="too short"):
        PageFile(short)
