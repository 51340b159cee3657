"""The auditor reads the documented bytes, with code of its own (W4, W5)."""

import msgspec
import pytest

from exchange.domain.units import NodeId
from exchange.store.frames import Identity
from exchange.store.frames import genesis as store_genesis
from exchange.store.tables import seal
from recovery.audit.wire import (
    BadBytes,
    Whose,
    follows,
    genesis,
    open_row,
    read_frame,
    read_mark,
    read_row,
    read_whose,
)
from recovery.directory import DataDirectory
from recovery.pages import Walk
from tests.recovery.cluster import Cluster


def test_it_reads_what_the_store_wrote(traded: Cluster) -> None:
    """W4: two readings of one format."""
    with DataDirectory.open(traded.paths[0]) as directory:
        whose = read_whose(directory.pages.get("meta", b"identity"))
        digest = genesis(whose)
        assert digest == store_genesis(directory.identity)
        lsn = 0
        for entry in directory.pages.scan("log", Walk()):
            assert follows(entry.value, digest)
            frame = read_frame(entry.key, entry.value)
            assert frame.first_lsn == lsn + 1
            lsn += len(frame.records)
            digest = frame.digest
        mark = read_mark(directory.pages.get("meta", b"checkpoint"), b"checkpoint")
        assert mark is not None
        assert (mark.lsn, mark.digest) == (lsn, digest)


def test_two_nodes_never_share_a_chain() -> None:
    """C3."""
    assert genesis(Whose("a", 1, b"x")) != genesis(Whose("a", 2, b"x"))
    identity = Identity("a", NodeId(1), b"x")
    assert genesis(Whose("a", 1, b"x")) == store_genesis(identity)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode([1, 2]),
        msgspec.msgpack.encode([2, 1, 1, 1, 0, {}, [[1]]]),
        msgspec.msgpack.encode([1, 1, 2, 1, 0, {}, [[1]]]),
        msgspec.msgpack.encode([1, 9, 1, 1, 0, {}, [[1]]]),
        msgspec.msgpack.encode([1, 1, 1, 1, 0, {1: 5}, [[1]]]),
        b"\x91" * 100_000,
    ],
)
def test_bytes_that_are_no_frame_are_a_finding(body: bytes) -> None:
    """Faults 3: never another exception, however deep."""
    with pytest.raises(BadBytes):
        read_frame((1).to_bytes(8), body + bytes(16))


def test_a_row_is_believed_with_its_digest_only() -> None:
    """W5."""
    sealed = seal(b"key", [1, 2])

    assert read_row(b"key", sealed) == [1, 2]
    with pytest.raises(BadBytes):
        open_row(b"other", sealed)
    with pytest.raises(BadBytes):
        read_mark(seal(b"checkpoint", 5), b"checkpoint")
    with pytest.raises(BadBytes):
        read_whose(None)
