"""The store: log, checkpoint and redo of one node, over any `Disk` (W2 to W6).

Theory of operation
===================
The engine decides and applies; `prepare` turns what it decided into one frame, encoded and
chained; `commit` forces it in one disk write; `committed` lets go of what need not be kept.
`prepare` and `committed` run in the engine's thread, between turns.  `commit` may run in
another one.

    open      the newest gigabyte of the log before the checkpoint -> chain checked;
              resident tables of the checkpoint -> memory, every digest checked;
              frames behind the checkpoint -> chain checked, applied again (W4)
    boot      a frame of its own with the new boot epoch, before anybody is told (W6)
    prepare   a frame; when enough has changed, the rows of a checkpoint too (W5)
    commit    one forced write of both; if it fails, the store is dead (E4)

    checkpoint_lsn <= durable_lsn <= state.lsn
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, Self

import msgspec

from exchange.domain.units import Epoch, Lsn, Micros, NodeId
from exchange.engine.apply import apply
from exchange.engine.messages import Proof, SealedProof
from exchange.engine.proofs import is_of_a_boot
from exchange.engine.records import Booted, Record
from exchange.engine.state import State
from exchange.store.chain import Budget, check_history
from exchange.store.checkpoint import Checkpointer
from exchange.store.crash import crash_point
from exchange.store.disk import Change, Disk
from exchange.store.errors import DamagedTable, StoreFailed
from exchange.store.frames import (
    DIGEST_SIZE,
    FORMAT_VERSION,
    Frame,
    Identity,
    log_key,
    seal_frame,
    span_of,
)
from exchange.store.meta import (
    Checkpoint,
    check_identity,
    identity_change,
    read_base,
    read_checkpoint,
    read_identity,
)
from exchange.store.redo import Watch, redo, store_seen

__all__ = ["Limits", "Step", "Store", "Write"]


class Limits(msgspec.Struct, frozen=True):
    """Bounds of a store; the defaults keep the pause for a checkpoint under 20 ms (W5)."""

    dirty: int = 3_000  # changed rows: a checkpoint follows; 5 us each, with the force
    tail: int = 100_000  # records behind the checkpoint: another reason; redo takes 5-10 us each
    accounts: int = 50_000  # accounts kept in memory, 1 kB each
    history: Budget = Budget()  # of the log before the checkpoint, checked at the start


class Step(Protocol):
    """What the engine decided since the last one (`exchange.engine.engine.Step`)."""

    @property
    def records(self) -> Sequence[Record]:
        """Return the records, already applied."""

    @property
    def last_lsn(self) -> Lsn:
        """Return the LSN of the last record decided."""

    @property
    def seen(self) -> Mapping[NodeId, SealedProof]:
        """Return what peers told of their logs (C3)."""


class BootStep(msgspec.Struct, frozen=True):
    """The step of a start: `Booted`, alone in its frame (W6)."""

    records: list[Record]
    last_lsn: Lsn
    seen: dict[NodeId, SealedProof] = {}


class Write(msgspec.Struct, frozen=True):
    """One forced write, encoded: a frame, and perhaps the checkpoint at its end."""

    changes: list[Change]
    after: Lsn  # the log must end here before
    proof: Proof  # and ends here behind it
    checkpoint: Checkpoint | None = None

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to force."""
        return not self.changes


class Store:
    """The durable side of one node."""

    def __init__(self, disk: Disk, identity: Identity, limits: Limits) -> None:
        self.disk = disk
        self.identity = identity
        self.limits = limits
        self.state = State(
            node_id=identity.node_id,
            cluster=identity.cluster,
            nonce=identity.nonce,
            secret=identity.secret,
        )
        checkpoint = read_checkpoint(disk, identity)
        self.proof = Proof(checkpoint.lsn, checkpoint.digest)  # what is durable
        self.redone = 0  # records, at the start
        self._checkpointer = Checkpointer(
            disk,
            self.state,
            checkpoint,
            dirty_max=self.limits.dirty,
            accounts_kept=self.limits.accounts,
        )
        self._prepared = self.proof  # the end of the log once all writes prepared are durable
        self._unlogged_seen: dict[NodeId, SealedProof] = {}
        self._has_failed = False

    @classmethod
    def open(
        cls,
        disk: Disk,
        identity: Identity,
        limits: Limits | None = None,
        *,
        watch: Watch = lambda _lsn, _last: None,
    ) -> Self:
        """Load, check and redo; on an empty disk, write the identity first.

        `watch` is told now and then how far redo is.
        Raises DamagedLog, DamagedTable, NewerFormat (W4) or WrongDirectory (C3).
        """
        found = read_identity(disk)
        if found is None:
            if next(disk.scan("log"), None) is not None:
                raise DamagedTable("meta", "identity", "it is missing, and the log is not empty")
            disk.write([identity_change(identity)])
        else:
            check_identity(found, identity)
        store = cls(disk, identity, limits or Limits())
        check_history(disk, store.proof, read_base(disk, identity), store.limits.history)
        store._checkpointer.load()
        crash_point("tables_loaded_log_not_redone")
        store.proof = store._prepared = redo(disk, store.state, store.proof, watch)
        store.redone = store.proof.lsn - store.checkpoint_lsn
        return store

    @property
    def durable_lsn(self) -> Lsn:
        """Return the LSN of the last durable record."""
        return self.proof.lsn

    @property
    def checkpoint_lsn(self) -> Lsn:
        """Return the LSN at which the tables stand on disk."""
        return self._checkpointer.lsn

    def boot(self, *, boot_id: bytes, ts: Micros) -> Epoch:
        """Force the next boot epoch, alone in its frame; return it (W6)."""
        crash_point("log_redone_epoch_unforced")
        state = self.state
        record = Booted(Epoch(state.scalars.epoch + 1), boot_id, ts)
        apply(state, record)
        state.lsn = Lsn(state.lsn + 1)
        write = self.prepare(BootStep([record], state.lsn), ts=ts)
        self.commit(write)
        self.committed(write)
        crash_point("epoch_forced_nobody_told")
        return record.epoch

    def prepare(self, step: Step, *, ts: Micros, force_checkpoint: bool = False) -> Write:
        """Encode what was decided, and a checkpoint if one is due.  In the engine's thread.

        A step without records forces nothing; what it has `seen` goes into the next frame.
        """
        state, before = self.state, self._prepared
        self._unlogged_seen.update(step.seen)
        changes: list[Change] = []
        if step.records:
            assert state.lsn == step.last_lsn == before.lsn + len(step.records), "LSNs are dense"
            changes.append(self._encode_frame(step.records, ts))
        if not self._is_checkpoint_due(is_forced=force_checkpoint):
            return Write(changes, before.lsn, self._prepared)
        rows, checkpoint = self._checkpointer.encode(self._prepared)
        return Write(changes + rows, before.lsn, self._prepared, checkpoint)

    def commit(self, write: Write) -> Proof:
        """Force a write; return the proof of all that is durable.  On any one thread (W3).

        Raises StoreFailed: the outcome is unknown, this store is dead; open it again (E4).
        """
        if write.is_empty:
            return self.proof
        assert write.after == self.proof.lsn, "writes are forced in the order of their making"
        if self._has_failed:
            raise StoreFailed("a force failed before")
        is_checkpoint = write.checkpoint is not None
        crash_point("checkpoint_encoded_unforced" if is_checkpoint else "frame_encoded_unforced")
        try:
            self.disk.write(write.changes)
        except BaseException:
            self._has_failed = True
            raise
        self.proof = write.proof
        crash_point(
            "checkpoint_forced_effects_held" if is_checkpoint else "frame_forced_effects_held"
        )
        return self.proof

    def committed(self, write: Write) -> None:
        """Let go of clean entries once a checkpoint is durable.

        In the engine's thread, between turns: nobody holds an entry that is read through.
        """
        if write.checkpoint is not None:
            crash_point("checkpoint_forced_entries_kept")
            self._checkpointer.durable(write.checkpoint)

    def evict(self) -> None:
        """Drop from memory what queries have read, in the engine's thread; a timer calls it."""
        self._checkpointer.evict()

    def has_proof(self, proof: SealedProof) -> bool:
        """Tell whether a proof that a peer has kept is one of this log (C3).

        What was archived cannot be compared any more, so there the list of boots decides.
        """
        if proof.lsn < read_base(self.disk, self.identity).lsn:
            return is_of_a_boot(self.state, proof)
        return self.digest_at(proof.lsn) == proof.digest

    def digest_at(self, lsn: Lsn) -> bytes | None:
        """Return the digest of the log through `lsn`, None if no durable frame ends there (C3)."""
        if lsn == self.proof.lsn:
            return self.proof.digest
        base = read_base(self.disk, self.identity)
        if lsn == base.lsn:
            return base.digest
        if not base.lsn < lsn < self.proof.lsn:
            return None
        for key, value in self.disk.scan("log", log_key(lsn), reverse=True):
            first, count = span_of(key, value)
            return value[-DIGEST_SIZE:] if first + count - 1 == lsn else None
        return None

    def check(self) -> None:
        """Assert the invariants; tests call it after every step."""
        assert self.checkpoint_lsn <= self.durable_lsn, "the checkpoint is ahead of the log"
        assert self.durable_lsn <= self._prepared.lsn, "durable before it was prepared"
        assert self._prepared.lsn <= self.state.lsn, "prepared before it was applied"

    def _encode_frame(self, records: Sequence[Record], ts: Micros) -> Change:
        seen = dict(sorted(self._unlogged_seen.items()))
        self._unlogged_seen.clear()
        epoch = self.state.scalars.epoch
        first_lsn = Lsn(self._prepared.lsn + 1)
        frame = Frame(FORMAT_VERSION, first_lsn, len(records), epoch, ts, seen, list(records))
        store_seen(self.state, seen)
        value, digest = seal_frame(frame, self._prepared.digest)
        self._prepared = Proof(frame.last_lsn, digest)
        return ("log", log_key(first_lsn), value)

    def _is_checkpoint_due(self, *, is_forced: bool) -> bool:
        if self._checkpointer.is_under_way:
            assert not is_forced, "a forced checkpoint waits for the write under way"
            return False
        tail = self._prepared.lsn - self.checkpoint_lsn
        if tail >= self.limits.tail or (is_forced and tail > 0):
            return True
        return self._checkpointer.is_due()
