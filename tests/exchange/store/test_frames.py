"""Frames are decoded as they were encoded, and a broken one is named."""

from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.units import Epoch, Lsn, Micros
from exchange.store.errors import DamagedLog, NewerFormat
from exchange.store.frames import (
    FORMAT_VERSION,
    Frame,
    Identity,
    check_frame,
    genesis,
    log_key,
    lsn_of,
    read_frame,
    seal_frame,
    span_of,
)
from tests.exchange.store.scene import IDENTITY, NODE, PEER, traded
from tests.support.proofs import a_proof

BEFORE = b"digest before it"


def a_frame(first_lsn: int = 1, version: int = FORMAT_VERSION) -> Frame:
    records = list(traded())
    seen = {PEER: a_proof(2**40)}
    return Frame(version, Lsn(first_lsn), len(records), Epoch(3), Micros(10**15), seen, records)


def test_every_record_comes_back_as_it_was_written() -> None:
    """W2."""
    value, digest = seal_frame(a_frame(), BEFORE)

    assert read_frame(log_key(1), value) == a_frame()
    assert check_frame(log_key(1), value, BEFORE) == digest == value[-16:]


@given(st.integers(1, 2**62), st.integers(0, 2**62))
def test_the_head_of_a_frame_is_read_without_decoding_it(first_lsn: int, version: int) -> None:
    """C3: to answer for any LSN without decoding the frames around it."""
    value, _ = seal_frame(a_frame(first_lsn, version), BEFORE)

    assert span_of(log_key(first_lsn), value) == (first_lsn, len(traded()))
    assert lsn_of(log_key(first_lsn)) == first_lsn


def test_the_digest_is_what_the_document_says() -> None:
    """W4: an auditor that imports nothing of ours reckons the same."""
    value, digest = seal_frame(a_frame(), BEFORE)
    body = msgspec.msgpack.encode(a_frame())

    assert digest == blake2b(BEFORE + body, digest_size=16).digest()
    assert value == body + digest
    born = msgspec.msgpack.encode(["test", NODE, IDENTITY.nonce])
    assert genesis(IDENTITY) == blake2b(born, digest_size=16).digest()


def test_the_digest_covers_what_came_before() -> None:
    """W4: a frame fits in one place of one chain."""
    value, _ = seal_frame(a_frame(), BEFORE)

    with pytest.raises(DamagedLog) as refused:
        check_frame(log_key(1), value, b"digest of other!")

    assert refused.value.lsn == 1
    assert genesis(Identity("test", NODE, b"another nonce")) != genesis(IDENTITY)


def test_every_flipped_byte_breaks_the_digest() -> None:
    """W4."""
    value, _ = seal_frame(a_frame(), BEFORE)
    for place in range(0, len(value), 5):
        rotten = bytearray(value)
        rotten[place] ^= 0x10

        with pytest.raises(DamagedLog):
            check_frame(log_key(1), bytes(rotten), BEFORE)


@pytest.mark.parametrize("value", [b"", b"\x97", b"\x97\xcf", bytes(16), bytes(40)])
def test_what_is_no_frame_is_damage_and_nothing_else(value: bytes) -> None:
    """W4: whatever is on the disk, the error is ours and names the LSN."""
    for check in (
        lambda: check_frame(log_key(7), value, BEFORE),
        lambda: span_of(log_key(7), value),
        lambda: read_frame(log_key(7), value),
    ):
        with pytest.raises(DamagedLog) as refused:
            check()

        assert refused.value.lsn == 7


def test_a_frame_under_another_key_is_damage() -> None:
    """W4: LMDB's keys are not in the digest, but the LSN is in the frame."""
    value, _ = seal_frame(a_frame(5), BEFORE)

    with pytest.raises(DamagedLog, match="begins at LSN 5"):
        read_frame(log_key(6), value)
    with pytest.raises(DamagedLog, match="begins at LSN 5"):
        span_of(log_key(6), value)
    with pytest.raises(DamagedLog):
        lsn_of(b"short")


def test_a_frame_that_miscounts_is_damage() -> None:
    """W4."""
    frame = msgspec.structs.replace(a_frame(), count=3)
    value, _ = seal_frame(frame, BEFORE)

    with pytest.raises(DamagedLog, match="counts 3 records"):
        read_frame(log_key(1), value)


def test_a_frame_of_a_later_version_is_not_guessed_at() -> None:
    """W6: format_version."""
    value, _ = seal_frame(a_frame(version=FORMAT_VERSION + 1), BEFORE)

    with pytest.raises(NewerFormat) as refused:
        read_frame(log_key(1), value)

    assert refused.value.exit_code == 4


def test_head_that_is_no_integer_tells_no_lsn() -> None:
    """W4: read ahead of any check, so it must stand anything."""
    from exchange.store.frames import _integer

    assert _integer(b"\xc1\x00", 0) == (-1, 1)
