"""The store knows whose data it is, and what its last checkpoint was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.units import Lsn
from exchange.engine.messages import Proof
from exchange.store.errors import DamagedTable, NewerFormat, WrongDirectory
from exchange.store.frames import FORMAT_VERSION, Identity, genesis
from exchange.store.meta import (
    BASE,
    CHECKPOINT,
    IDENTITY,
    SUM_MODULUS,
    Checkpoint,
    TableSum,
    check_identity,
    checkpoint_change,
    identity_change,
    read_base,
    read_checkpoint,
    read_identity,
)
from exchange.store.tables import seal
from fuzz.disk import SimulatedDisk
from tests.exchange.store.scene import IDENTITY as US
from tests.exchange.store.scene import NODE, PEER


def test_an_empty_disk_is_nobodys_and_stands_at_lsn_0() -> None:
    """W5, W6."""
    disk = SimulatedDisk()

    assert read_identity(disk) is None
    assert read_checkpoint(disk, US) == Checkpoint(Lsn(0), genesis(US), {})
    assert read_base(disk, US) == Proof(Lsn(0), genesis(US))


def test_rows_come_back_as_they_were_written() -> None:
    """W5, W6."""
    disk = SimulatedDisk()
    checkpoint = Checkpoint(Lsn(7), b"digest", {"orders": TableSum(3, bytes(16))})
    base = Proof(Lsn(4), b"before")
    rows = [identity_change(US), checkpoint_change(checkpoint), ("meta", BASE, seal(BASE, base))]
    disk.write(rows)

    assert read_identity(disk) == US
    assert read_checkpoint(disk, US) == checkpoint
    assert read_base(disk, US) == base


@pytest.mark.parametrize("key", [IDENTITY, CHECKPOINT, BASE])
def test_a_damaged_row_is_refused(key: bytes) -> None:
    """W4, W5."""
    for row in (b"", bytes(30), seal(key, "something else")):
        disk = SimulatedDisk()
        disk.write([("meta", key, row)])
        with pytest.raises(DamagedTable) as refused:
            _read_all(disk)

        assert refused.value.key == key.decode()


def _read_all(disk: SimulatedDisk) -> None:
    read_identity(disk)
    read_checkpoint(disk, US)
    read_base(disk, US)


def test_a_newer_format_is_refused() -> None:
    """W6."""
    disk = SimulatedDisk()
    row = [FORMAT_VERSION + 1, "test", NODE, b"nonce", "something new"]
    disk.write([("meta", IDENTITY, seal(IDENTITY, row))])

    with pytest.raises(NewerFormat) as refused:
        read_identity(disk)

    assert refused.value.exit_code == 4
    assert str(FORMAT_VERSION + 1) in str(refused.value)


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (Identity("other", NODE, US.nonce), "cluster other"),
        (Identity("test", PEER, US.nonce), "node 2"),
        (Identity("test", NODE, b"born again"), "another life"),
    ],
)
def test_another_identity_is_named(found: Identity, word: str) -> None:
    """C3: two nodes that were given each other's directories say so."""
    check_identity(US, US)
    with pytest.raises(WrongDirectory, match=word) as refused:
        check_identity(found, US)

    assert refused.value.exit_code == 2


@given(st.lists(st.integers(0, SUM_MODULUS - 1)))
def test_a_sum_comes_back_when_all_is_taken_away(digests: list[int]) -> None:
    """W5: additive modulo 2**128."""
    sums = TableSum()
    for digest in digests:
        sums = sums.plus(count=1, digests=digest)
    assert int.from_bytes(sums.sum, "big") == sum(digests) % SUM_MODULUS
    for digest in digests:
        sums = sums.plus(count=-1, digests=-digest)

    assert sums == TableSum()
