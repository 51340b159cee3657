"""The log is read as a chain; what stands behind a break proves nothing (W4)."""

from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from exchange.store.frames import DIGEST_SIZE, lsn_of
from recovery.chain import Chain
from recovery.directory import DataDirectory
from tests.recovery.cluster import Cluster

Edit = Callable[[lmdb.Transaction, bytes, bytes], None]


def edit_frame(path: Path, index: int, edit: Edit) -> int:
    """Change one frame behind the store's back; return its first LSN."""
    with lmdb.open(str(path / "store"), max_dbs=32, map_size=1 << 26) as env:
        table = env.open_db(b"log")
        with env.begin(write=True, db=table) as txn:
            key, value = list(txn.cursor())[index]
            edit(txn, key, value)
    return lsn_of(key)


def flip(txn: lmdb.Transaction, key: bytes, value: bytes) -> None:
    txn.put(key, value[:-20] + bytes([value[-20] ^ 1]) + value[-19:])


def spoil(txn: lmdb.Transaction, key: bytes, value: bytes) -> None:
    txn.put(key, b"\xc1" * 3 + value[-DIGEST_SIZE:])


def drop(txn: lmdb.Transaction, key: bytes, value: bytes) -> None:
    txn.delete(key)


def read(path: Path) -> Chain:
    with DataDirectory.open(path) as directory:
        chain = Chain(directory.base(), "here")
        for _ in chain.frames(directory.log):
            pass
        return chain


def test_an_intact_log_is_one_chain(traded: Cluster) -> None:
    """W4."""
    chain = read(traded.paths[0])

    assert chain.is_whole
    assert chain.records == chain.last.lsn
    assert chain.digests.at(chain.last.lsn) == chain.last.digest
    assert chain.digests.at(chain.last.lsn + 1) is None


@pytest.mark.parametrize(
    ("edit", "code"),
    [(flip, "chain_broken"), (spoil, "frame_damaged"), (drop, "lsn_gap")],
)
def test_a_break_ends_the_evidence(traded: Cluster, edit: Edit, code: str) -> None:
    """W4: the first problem names the LSN, frames behind it are counted only."""
    lsn = edit_frame(traded.paths[0], 4, edit)

    chain = read(traded.paths[0])
    assert not chain.is_whole
    assert chain.last.lsn == lsn - 1
    assert code in [found.code for found in chain.problems]
    assert f"LSN {lsn}" in chain.problems[0].place
    assert chain.frames_after_break > 0
