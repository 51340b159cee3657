"""Redo does what the live path did, frame by frame, and stops at what is not in order."""

import pytest

from exchange.domain.units import Epoch, Lsn, Micros
from exchange.engine.messages import Proof
from exchange.engine.state import State
from exchange.store import crash
from exchange.store import redo as module
from exchange.store.errors import DamagedLog
from exchange.store.frames import FORMAT_VERSION, Frame, genesis, log_key, seal_frame
from exchange.store.redo import redo, store_seen
from fuzz.disk import SimulatedDisk
from tests.exchange.store.scene import (
    IDENTITY,
    NODE,
    PEER,
    check,
    deposits,
    entries,
    force,
    force_all,
    open_store,
    traded,
)
from tests.support.proofs import a_proof

BEGINNING = Proof(Lsn(0), genesis(IDENTITY))


def empty_state() -> State:
    return State(node_id=NODE, cluster=IDENTITY.cluster, nonce=IDENTITY.nonce)


def test_redo_ends_where_the_live_path_was() -> None:
    """E2, W4."""
    store = open_store(SimulatedDisk())
    force_all(store, traded())
    state = empty_state()

    assert redo(store.disk, state, BEGINNING) == store.proof
    assert entries(state) == entries(store.state)
    assert state.lsn == store.state.lsn
    assert not state.touched, "nobody is told of what was redone"
    check(store)


def test_redo_passes_a_crash_point_behind_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """W4: killed in the middle of redo, a node begins redo anew."""
    store = open_store(SimulatedDisk())
    force_all(store, deposits(20), size=7)
    passed: list[str] = []
    monkeypatch.setattr(crash, "hook", passed.append)

    redo(store.disk, empty_state(), BEGINNING)

    assert passed == ["frame_redone"] * 3


def test_who_watches_a_long_redo_is_told_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """C6: whoever waits for a node sees that it gets on."""
    monkeypatch.setattr(module, "LOOK", 2)
    store = open_store(SimulatedDisk())
    force_all(store, deposits(20), size=5)
    told: list[tuple[Lsn, Lsn]] = []

    redo(store.disk, empty_state(), BEGINNING, lambda lsn, last: told.append((lsn, last)))

    assert [lsn for lsn, _ in told] == sorted({lsn for lsn, _ in told})
    assert len(told) == 2
    assert all(lsn <= store.proof.lsn and last <= store.proof.lsn for lsn, last in told)


def test_a_gap_is_named_by_its_first_lsn() -> None:
    """W4: even where the chain of digests would fit."""
    store = open_store(SimulatedDisk())
    force_all(store, deposits(20), size=7)
    state, behind = empty_state(), Proof(Lsn(3), genesis(IDENTITY))
    state.lsn = behind.lsn
    frames = list(store.disk.scan("log"))
    store.disk.write([("log", key, None) for key, _ in frames])
    store.disk.write([("log", log_key(8), frames[0][1])])

    with pytest.raises(DamagedLog):
        redo(store.disk, state, behind)


def test_seen_proofs_are_stored_by_one_function() -> None:
    """C3: live and redo."""
    state = empty_state()

    store_seen(state, {PEER: a_proof(4, b"digest")})

    assert (state.peers[PEER].seen_lsn, state.peers[PEER].seen_digest) == (
        4,
        a_proof(4, b"digest").digest,
    )
    assert state.peers.dirty == {PEER}


def test_the_head_of_a_frame_comes_behind_its_records() -> None:
    """C3: a peer that is first seen in a frame has its proof stored with the same frame."""
    store = open_store(SimulatedDisk())
    seen = {PEER: a_proof(4, b"digest")}
    force(store, traded()[:12], seen=seen)
    assert PEER in store.state.peers

    again = open_store(store.disk)

    assert again.state.peers == store.state.peers
    assert again.state.peers[PEER].seen_lsn == 4
    check(again)


def test_a_gap_that_the_digests_do_not_show_is_refused() -> None:
    """W4: a frame that follows in the chain, and not in the numbers."""
    store = open_store(SimulatedDisk())
    force_all(store, deposits(3))
    frame = Frame(FORMAT_VERSION, Lsn(9), 1, Epoch(1), Micros(1), {}, deposits(1)[:1])
    value, _ = seal_frame(frame, BEGINNING.digest)
    disk = SimulatedDisk()
    disk.write([("log", log_key(9), value)])

    with pytest.raises(DamagedLog, match="next frame begins at LSN 9"):
        redo(disk, empty_state(), BEGINNING)
