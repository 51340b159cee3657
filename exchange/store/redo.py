"""Redo: what a frame did to the state, done again (E2, W4)."""

from collections.abc import Callable, Mapping

from exchange.domain.units import Lsn, NodeId
from exchange.engine.apply import apply, note_seen
from exchange.engine.messages import Proof, SealedProof
from exchange.engine.state import State
from exchange.store.crash import crash_point
from exchange.store.disk import Disk
from exchange.store.errors import DamagedLog
from exchange.store.frames import Frame, check_frame, log_key, lsn_of, read_frame

LOOK = 256  # frames between two calls of who watches; a force has made each of them

Watch = Callable[[Lsn, Lsn], None]  # is told where redo is, and about where the log ends


def redo(disk: Disk, state: State, proof: Proof, watch: Watch = lambda _lsn, _last: None) -> Proof:
    """Apply the frames behind `proof`, where the state stands; return where the log ends.

    Raises DamagedLog at a broken chain or a gap: nothing is ever skipped (W4).
    """
    assert state.lsn == proof.lsn, "the state stands where redo begins"
    ends = next((lsn_of(key) for key, _ in disk.scan("log", reverse=True)), proof.lsn)
    for place, (key, value) in enumerate(disk.scan("log", log_key(proof.lsn + 1)), 1):
        digest = check_frame(key, value, proof.digest)
        frame = read_frame(key, value)
        if frame.first_lsn != proof.lsn + 1:
            raise DamagedLog(proof.lsn + 1, f"the next frame begins at LSN {frame.first_lsn}")
        redo_frame(state, frame)
        proof = Proof(frame.last_lsn, digest)
        crash_point("frame_redone")
        if not place % LOOK:
            watch(proof.lsn, ends)
    state.touched.clear()
    return proof


def redo_frame(state: State, frame: Frame) -> None:
    """Apply a frame as it was applied when it was made; advance `state.lsn`."""
    state.lsn = Lsn(frame.first_lsn - 1)
    for record in frame.records:
        apply(state, record)
        state.lsn += 1  # type: ignore[assignment]  # every record passes
    store_seen(state, frame.seen)


def store_seen(state: State, seen: Mapping[NodeId, SealedProof]) -> None:
    """Note what a frame's header says of peers' logs; live and redo both end here (C3)."""
    for node, proof in seen.items():
        note_seen(state, node, proof)
