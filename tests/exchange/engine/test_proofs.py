"""What a node has told of its own log, what it never did, and what only a copy would lack (C3)."""

import pytest
from msgspec.structs import replace

from exchange.domain.units import Epoch, Lsn, Micros, NodeId
from exchange.engine.apply import apply
from exchange.engine.messages import Proof
from exchange.engine.proofs import SECRET_SIZE, is_of_a_boot, is_sealed, seal
from exchange.engine.records import AccountOpened, Booted
from exchange.engine.state import State

DIGEST = b"digest of a log."


def a_state(*boots: tuple[bytes, int], secret: bytes = b"s" * SECRET_SIZE) -> State:
    """Return a state with boots, each followed by so many records."""
    state = State(node_id=NodeId(1), cluster="test", nonce=b"n" * 16, secret=secret)
    for epoch, (boot_id, count) in enumerate(boots, 1):
        apply(state, Booted(Epoch(epoch), boot_id, Micros(0)))
        state.lsn = Lsn(state.lsn + 1 + count)
    return state


def test_a_node_knows_its_own_seal_and_nobody_elses() -> None:
    """C3: so does a copy of its directory; a peer that makes proofs up does not."""
    state = a_state((b"first", 4))
    proof = seal(state, Proof(Lsn(3), DIGEST))

    assert is_sealed(a_state((b"first", 1)), proof)
    assert not is_sealed(a_state((b"first", 4), secret=b"t" * SECRET_SIZE), proof)


@pytest.mark.parametrize(
    "change",
    [
        {"lsn": Lsn(4)},
        {"lsn": Lsn(-1)},
        {"digest": b"another digest.."},
        {"digest": b"y" * 1_000},
        {"boot_id": b"second"},
        {"mac": b""},
        {"mac": b"m" * 16},
    ],
)
def test_a_proof_with_anything_changed_is_forged(change: dict[str, object]) -> None:
    """C3: a peer can only repeat what it was told."""
    state = a_state((b"first", 4))

    assert not is_sealed(state, replace(seal(state, Proof(Lsn(3), DIGEST)), **change))


def test_an_archived_proof_is_of_this_log_if_it_is_of_one_of_its_boots() -> None:
    """C3: within one boot a log never forks, so two numbers a boot tell a copy for ever."""
    log = a_state((b"first", 4), (b"second", 9))
    proof = seal(a_state((b"first", 0)), Proof(Lsn(5), DIGEST))

    assert is_of_a_boot(log, proof)
    assert is_of_a_boot(log, seal(log, Proof(Lsn(6), DIGEST)))


def test_an_archived_proof_of_a_boot_that_went_on_elsewhere_is_missing() -> None:
    """C3: the copy has the boot too, but only its beginning; or it has never heard of it."""
    went_on = seal(a_state((b"first", 0)), Proof(Lsn(6), DIGEST))
    later = seal(a_state((b"first", 4), (b"lost", 0)), Proof(Lsn(6), DIGEST))
    copy = a_state((b"first", 4), (b"of the copy", 90))

    assert not is_of_a_boot(copy, went_on)
    assert not is_of_a_boot(copy, later)


def test_boots_are_a_table_of_the_state() -> None:
    """C3, E2: kept for ever, a few bytes each."""
    state = a_state((b"first", 4), (b"second", 0))
    apply(state, AccountOpened(1 << 50 | 1, b"", Micros(0)))  # type: ignore[arg-type]  # an id

    assert [(boot.boot_id, boot.first_lsn) for boot in state.boots.values()] == [
        (b"first", 1),
        (b"second", 6),
    ]
