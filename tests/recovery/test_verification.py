"""Verify finds what was changed behind the store's back (W4, W5)."""

import hashlib
import multiprocessing
import signal
from pathlib import Path

import lmdb
import pytest

from exchange.domain.orders import Account
from exchange.domain.units import Units
from exchange.store.tables import CODECS, seal
from recovery.problems import EXIT_DAMAGED, exit_code
from recovery.verification import verify
from tests.recovery.cluster import USD, Cluster


def edit_table(path: Path, table: str, key: bytes | None, value: bytes | None) -> bytes:
    """Change an entry, the first one if no key is given; return its old value."""
    with lmdb.open(str(path / "store"), max_dbs=32, map_size=1 << 26) as env:
        database = env.open_db(table.encode())
        with env.begin(write=True, db=database) as txn:
            if key is None:
                key = next(iter(txn.cursor()))[0]
            old = txn.get(key)
            assert old is not None, "the entry is there"
            if value is None:
                txn.delete(key)
            else:
                txn.put(key, value)
    return old


def codes(path: Path) -> list[str]:
    result = verify([path])
    assert exit_code(result.problems) == EXIT_DAMAGED
    return [found.code for found in result.problems]


def test_an_intact_cluster_verifies(traded: Cluster) -> None:
    """W4, W5, S13."""
    result = verify(traded.paths)

    assert result.problems == []
    assert result.rows > 10
    assert result.audited == result.records
    assert result.records == sum(node.records for node in result.directories)


def test_a_changed_entry_is_found_by_its_digest(traded: Cluster) -> None:
    """W5: a flipped balance does not slip past the chain."""
    edit_table(traded.paths[0], "accounts", None, b"\x90" + bytes(16))

    assert codes(traded.paths[0]) == ["table_damaged"]


def test_a_missing_entry_is_found_by_the_count(traded: Cluster) -> None:
    """W5."""
    edit_table(traded.paths[0], "accounts", None, None)

    assert codes(traded.paths[0]) == ["table_count"]


def test_a_resealed_entry_is_found_by_the_sum(traded: Cluster) -> None:
    """W5: an entry with a right digest, but not the one that was written."""
    codec = CODECS["accounts"]
    key = codec.pack((1 << 50) + 1)
    old = edit_table(traded.paths[0], "accounts", key, b"")
    account = codec.open(key, old)
    assert isinstance(account, Account)
    account.available[USD] = Units(account.available[USD] + 1)
    edit_table(traded.paths[0], "accounts", key, seal(key, account))

    assert codes(traded.paths[0]) == ["table_count"]


@pytest.mark.parametrize("offset", [0, 16, 4098])
def test_a_damaged_page_is_a_finding(traded: Cluster, offset: int) -> None:
    """Faults 1: `lmdb.verify` sees the file before anything else does."""
    file = traded.paths[0] / "store" / "data.mdb"
    changed = bytearray(file.read_bytes())
    changed[offset] ^= 0xFF
    file.write_bytes(changed)

    assert "page_damaged" in codes(traded.paths[0])


def test_reading_verbs_change_nothing(doubtful: Cluster) -> None:
    """Issue: proven by hash and mtime."""

    def state() -> dict[str, tuple[int, bytes]]:
        return {
            str(file): (file.stat().st_mtime_ns, hashlib.blake2b(file.read_bytes()).digest())
            for path in doubtful.paths
            for file in sorted(path.rglob("*"))
            if file.is_file()
        }

    before = state()
    verify(doubtful.paths)
    assert state() == before


def wait_for_ever(*_: object) -> None:
    signal.pause()


def test_an_interrupt_ends_the_auditors_too(
    traded: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interfaces 4: nobody waits for a second opinion that nobody will read."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("recovery.verification.SMALL", 0)
    monkeypatch.setattr("recovery.verification._audit_file", wait_for_ever)
    monkeypatch.setattr("recovery.verification._verify_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        verify(traded.paths)

    assert not multiprocessing.active_children()
