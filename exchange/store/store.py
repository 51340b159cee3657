"""The store: log, checkpoint and redo of one node, over any `Disk` (W2 to W6).

Theory of operation
===================
The engine decides and applies; `prepare` turns what it decided into one frame, encoded and
chained; `commit` forces it in one disk write; `committed` lets go of what need not be kept.
`prepare` and `committed` run in the engine's thread, `commit` may run in another one.

    open      resident tables of the checkpoint -> memory, every digest checked;
              frames behind the checkpoint -> `apply`, chain checked (W4);
              the newest gigabyte of older frames -> chain checked
    boot      a frame of its own with the new boot epoch, before anybody is told (W6)
    prepare   a frame; when enough is dirty, the dirty entries too, as they are now (W5)
    commit    one forced write of both; if it fails, the store is dead (E4)

An entry is encoded in `prepare`, when the state stands exactly at the LSN of the frame: an
entry newer than its LSN would be redone twice, and `apply` is not idempotent (W5).  One
checkpoint at a time is under way, so the tables on disk change only by it, and the digest
that a new entry replaces can be read before.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self, TypeVar

import msgspec

from exchange.domain.units import Epoch, Lsn, Micros, NodeId
from exchange.engine.apply import apply, note_seen
from exchange.engine.messages import Proof
from exchange.engine.records import Booted, Record
from exchange.engine.state import State, Table
from exchange.store.chain import Budget, check_history
from exchange.store.crash import crash_point
from exchange.store.disk import Change, Disk
from exchange.store.errors import DamagedLog, DamagedTable, StoreFailed
from exchange.store.frames import (
    DIGEST_SIZE,
    FORMAT_VERSION,
    Frame,
    Identity,
    check_frame,
    log_key,
    read_frame,
    seal_frame,
    span_of,
)
from exchange.store.meta import (
    Checkpoint,
    TableSum,
    check_identity,
    checkpoint_change,
    identity_change,
    read_base,
    read_checkpoint,
    read_identity,
)
from exchange.store.tables import CODECS, Codec, digest_number, key_text, seal

K = TypeVar("K")
V = TypeVar("V")


class Limits(msgspec.Struct, frozen=True):
    """Bounds of a store; the defaults keep a pause for a checkpoint under 50 ms (W5)."""

    dirty: int = 3_000  # entries: a checkpoint follows
    tail: int = 50_000  # records behind the checkpoint: another reason for one, redo takes 1 s
    accounts: int = 50_000  # accounts kept in memory
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
    def seen(self) -> Mapping[NodeId, Proof]:
        """Return what peers told of their logs (C3)."""


class BootStep(msgspec.Struct, frozen=True):
    """The step of a start: `Booted`, alone in its frame (W6)."""

    records: list[Record]
    last_lsn: Lsn
    seen: dict[NodeId, Proof] = {}


class Write(msgspec.Struct, frozen=True):
    """One forced write, encoded: a frame, and perhaps the checkpoint at its end."""

    changes: list[Change]
    after: Lsn  # the log must end here before
    proof: Proof  # and ends here behind it
    checkpoint: Checkpoint | None = None
    deleted: frozenset[tuple[str, bytes]] = frozenset()  # entries that go with it

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
        self.state = State(node_id=identity.node_id, cluster=identity.cluster, nonce=identity.nonce)
        checkpoint = read_checkpoint(disk, identity)
        self.checkpoint_lsn = checkpoint.lsn  # <= proof.lsn <= state.lsn
        self.proof = Proof(checkpoint.lsn, checkpoint.digest)  # what is durable
        self.redone = 0  # records, at the start
        self._tables: dict[str, Table[Any, Any]] = self.state.tables()
        self._sums = dict(checkpoint.tables)
        self._prepared = self.proof  # the end of the log once all writes prepared are durable
        self._unlogged_seen: dict[NodeId, Proof] = {}
        self._under_way: Write | None = None  # the write with a checkpoint, until committed
        self._has_failed = False

    @classmethod
    def open(cls, disk: Disk, identity: Identity, limits: Limits | None = None) -> Self:
        """Load, check and redo; on an empty disk, write the identity first.

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
        store._load()
        crash_point("tables_loaded_log_not_redone")
        store._redo()
        return store

    @property
    def durable_lsn(self) -> Lsn:
        """Return the LSN of the last durable record."""
        return self.proof.lsn

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
        if not self._is_checkpoint_due(force=force_checkpoint):
            return Write(changes, before.lsn, self._prepared)
        entries, sums = self._encode_entries()
        checkpoint = Checkpoint(self._prepared.lsn, self._prepared.digest, sums)
        deleted = frozenset((table, key) for table, key, value in entries if value is None)
        changes += [*entries, checkpoint_change(checkpoint)]
        write = Write(changes, before.lsn, self._prepared, checkpoint, deleted)
        self._under_way = write
        return write

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
        if write.checkpoint is None:
            return
        crash_point("checkpoint_forced_entries_kept")
        assert write is self._under_way, "one checkpoint at a time"
        self.checkpoint_lsn = write.checkpoint.lsn
        self._under_way = None
        self.evict()

    def evict(self) -> None:
        """Drop clean entries of the tables that are read through.  Between turns.

        `committed` does it behind a checkpoint; a timer does it for what queries have read.
        """
        if self._under_way is not None:
            return  # what it writes is not on the disk yet
        for name, table in self._tables.items():
            if not CODECS[name].is_resident:
                _evict(table, keep=self.limits.accounts if name == "accounts" else 0)

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

    def _is_checkpoint_due(self, *, force: bool) -> bool:
        if self._under_way is not None:
            assert not force, "a forced checkpoint waits for the write under way"
            return False
        tail = self._prepared.lsn - self.checkpoint_lsn
        dirty = sum(len(table.dirty) for table in self._tables.values())
        return dirty >= self.limits.dirty or tail >= self.limits.tail or (force and tail > 0)

    def _encode_entries(self) -> tuple[list[Change], dict[str, TableSum]]:
        """Encode all dirty entries as they are now, sorted by key; reckon the tables' sums."""
        assert self.state.lsn == self._prepared.lsn, "the state is at the end of the frame"
        changes: list[Change] = []
        for name, table in self._tables.items():
            if not table.dirty:
                continue
            codec, count, digests = CODECS[name], 0, 0
            for packed, key in sorted([(codec.pack(key), key) for key in table.dirty]):
                entry = table.get(key)
                old = self.disk.get(name, packed)
                if old is not None:
                    count -= 1
                    digests -= digest_number(old)
                if entry is not None:
                    sealed = seal(packed, entry)
                    count += 1
                    digests += digest_number(sealed)
                    changes.append((name, packed, sealed))
                elif old is not None:
                    changes.append((name, packed, None))
            table.dirty.clear()
            self._sums[name] = self._sums.get(name, TableSum()).plus(count=count, digests=digests)
        return changes, dict(self._sums)

    def _load(self) -> None:
        """Fill the resident tables, check them against their sums; let the others read through."""
        for name, table in self._tables.items():
            codec = CODECS[name]
            if codec.is_resident:
                self._load_table(codec, table)
            else:
                table.load = self._reader(codec)
        self.state.lsn = self.checkpoint_lsn
        self.state.derive()

    def _load_table(self, codec: Codec[Any, Any], table: Table[Any, Any]) -> None:
        count, digests = 0, 0
        for key, sealed in self.disk.scan(codec.name):
            table[codec.open_key(key)] = codec.open(key, sealed)
            count += 1
            digests += digest_number(sealed)
        if TableSum().plus(count=count, digests=digests) != self._sums.get(codec.name, TableSum()):
            raise DamagedTable(
                codec.name, "", "entries are missing, old or foreign: the sum differs"
            )

    def _reader(self, codec: Codec[K, V]) -> Callable[[K], V | None]:
        name, get = codec.name, self.disk.get

        def load(key: K) -> V | None:
            packed = codec.pack(key)
            if self._under_way is not None and (name, packed) in self._under_way.deleted:
                return None
            sealed = get(name, packed)
            return None if sealed is None else codec.open(packed, sealed)

        return load

    def _redo(self) -> None:
        """Apply the frames behind the checkpoint; refuse a broken chain (W4)."""
        state, proof = self.state, self.proof
        for key, value in self.disk.scan("log", log_key(proof.lsn + 1)):
            digest = check_frame(key, value, proof.digest)
            frame = read_frame(key, value)
            if frame.first_lsn != proof.lsn + 1:
                raise DamagedLog(proof.lsn + 1, f"the next frame begins at {frame.first_lsn}")
            redo_frame(state, frame)
            proof = Proof(frame.last_lsn, digest)
            crash_point("frame_redone")
        self.redone = proof.lsn - self.proof.lsn
        self.proof = self._prepared = proof
        state.touched.clear()


def redo_frame(state: State, frame: Frame) -> None:
    """Apply a frame again, as it was applied when it was made (E2)."""
    for record in frame.records:
        apply(state, record)
    state.lsn = frame.last_lsn
    store_seen(state, frame.seen)


def store_seen(state: State, seen: Mapping[NodeId, Proof]) -> None:
    """Note what a frame's header says of peers' logs: live and redo both end here (C3)."""
    for node, proof in seen.items():
        note_seen(state, node, proof.lsn, proof.digest)


def _evict(table: Table[Any, Any], *, keep: int) -> None:
    """Drop clean entries, the longest loaded first, until `keep` are left."""
    excess = len(table) - keep
    if excess <= 0:
        return
    if not keep and not table.dirty:
        table.clear()
        return
    clean = (key for key in table if key not in table.dirty)
    for key in [key for key, _ in zip(clean, range(excess), strict=False)]:
        del table[key]


__all__ = [
    "Limits",
    "Store",
    "Write",
    "key_text",
    "redo_frame",
    "store_seen",
]
