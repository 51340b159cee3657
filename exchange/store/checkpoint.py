"""Checkpoints: the tables on disk stand exactly at one LSN (W5, E7).

Theory of operation
===================
A checkpoint is all rows that changed since the last one, in the same disk write as the frame
that ends at its LSN.  `apply` is not idempotent, so a row must never be newer than that LSN,
nor older.  Encoding thousands of rows at once would stop trading, so entries that are not
likely to change again are encoded ahead, a slice a turn: an entry encoded ahead (None if it
was deleted) is taken out of the dirty set, and comes back into it if it changes.  At the
hand-off what is dirty is encoded, and what was encoded ahead and is not dirty has not changed
since: it is the state at this LSN as well.

    dirty  --encode_ahead-->  ahead  --encode-->  the write  --durable-->  clean
      ^-----------changed again--'                (under way: at most one)

Each table has a count and a sum of the digests of its rows, kept in the same write.  The
digest that a row replaces is read from the disk, where tables change by checkpoints alone,
one at a time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

import msgspec

from exchange.engine.messages import Proof
from exchange.engine.state import State, Table
from exchange.store.disk import Change, Disk, get_many
from exchange.store.errors import DamagedTable
from exchange.store.frames import DIGEST_SIZE
from exchange.store.meta import Checkpoint, TableSum, checkpoint_change
from exchange.store.tables import CODECS, Codec, Kind, digest_sum, seal

K = TypeVar("K")
V = TypeVar("V")

RUN_MAX = 64  # entries in a row of history: 4 kB of fills
HISTORY = Kind.HISTORY
AHEAD = ("done", "client_keys", "orders")  # entries that seldom change once they are there
AHEAD_SLICE = 512  # entries encoded ahead a turn: half a millisecond
AHEAD_KEEP_PART = 16  # ... but not the last 16th of a checkpoint: it may change again

Ready = tuple[bytes, bytes]  # key and row, encoded
_encode = msgspec.msgpack.Encoder().encode


class Checkpointer:
    """Knows what of a state is on disk, and makes the next checkpoint of the rest."""

    def __init__(
        self,
        disk: Disk,
        state: State,
        last: Checkpoint,
        *,
        dirty_max: int,
        accounts_kept: int,
    ) -> None:
        self._disk = disk
        self._tables: dict[str, Table[Any, Any]] = state.tables()
        self._histories = [self._tables[name] for name in CODECS if CODECS[name].kind is HISTORY]
        self._others = [self._tables[name] for name in CODECS if CODECS[name].kind is not HISTORY]
        self._state = state
        self._sums = dict(last.tables)
        self._dirty_max = dirty_max
        self._accounts_kept = accounts_kept
        self._ahead: dict[str, dict[Any, Ready | None]] = {name: {} for name in AHEAD}
        self._stored: dict[str, set[Any]] = {}  # keys of the resident tables on the disk
        self._deleting: frozenset[tuple[str, bytes]] = frozenset()  # by the write under way
        self.lsn = last.lsn  # of the last durable checkpoint
        self.is_under_way = False

    def load(self) -> None:
        """Fill the resident tables, check them against their sums; the others read through."""
        for name, table in self._tables.items():
            codec = CODECS[name]
            if codec.kind is Kind.RESIDENT:
                self._load_table(codec, table)
            elif codec.kind is Kind.HISTORY:
                table.load = self._run_reader(codec, table)
            else:
                table.load = self._entry_reader(codec)
        self._state.lsn = self.lsn
        self._state.derive()

    def is_due(self) -> bool:
        """Tell whether a checkpoint now would write about as many rows as one should."""
        accounts = len(self._tables["accounts"].dirty)
        rows = 0
        for table in self._others:
            rows += len(table.dirty)
        for ahead in self._ahead.values():
            rows += len(ahead)
        for table in self._histories:
            dirty = len(table.dirty)  # one row an account, or more if it is long
            rows += min(dirty, accounts + dirty // RUN_MAX) if dirty else 0
        return rows >= self._dirty_max

    def encode_ahead(self) -> None:
        """Encode a slice of what is dirty, so that the hand-off has less to do."""
        for name in AHEAD:
            table = self._tables[name]
            spare = min(len(table.dirty) - self._dirty_max // AHEAD_KEEP_PART, AHEAD_SLICE)
            if spare <= 0:
                continue
            keys = list(islice(table.dirty, spare))
            table.dirty.difference_update(keys)
            present = [key for key in keys if key in table]
            rows = _encode_entries(CODECS[name], table, present)
            self._ahead[name].update(zip(present, rows, strict=True))
            if len(present) < len(keys):
                self._ahead[name].update((key, None) for key in keys if key not in table)

    def encode(self, proof: Proof) -> tuple[list[Change], Checkpoint]:
        """Encode all that changed since the last checkpoint: the hand-off at `proof` (W5)."""
        assert not self.is_under_way, "one checkpoint at a time"
        assert self._state.lsn == proof.lsn, "the state is at the end of the frame"
        changes: list[Change] = []
        for name, table in self._tables.items():
            if table.dirty or self._ahead.get(name):
                changes += self._encode_table(CODECS[name], table)
        checkpoint = Checkpoint(proof.lsn, proof.digest, dict(self._sums))
        self._deleting = frozenset((table, key) for table, key, row in changes if row is None)
        self.is_under_way = True
        return [*changes, checkpoint_change(checkpoint)], checkpoint

    def durable(self, checkpoint: Checkpoint) -> None:
        """Take note that the checkpoint under way is on the disk."""
        assert self.is_under_way, "a checkpoint was handed off"
        self.lsn = checkpoint.lsn
        self.is_under_way = False
        self._deleting = frozenset()
        self.evict()

    def evict(self) -> None:
        """Drop clean entries of tables that are read through; none while a write is under way."""
        if self.is_under_way:
            return
        for name, table in self._tables.items():
            if CODECS[name].kind is not Kind.RESIDENT:
                keep = self._accounts_kept if name == "accounts" else 0
                _evict(table, self._ahead.get(name, {}), keep=keep)

    def _encode_table(self, codec: Codec[Any, Any], table: Table[Any, Any]) -> list[Change]:
        name, dirty = codec.name, table.dirty
        if codec.kind is Kind.HISTORY:
            puts = list(_encode_runs(codec, table))
        else:
            ahead = self._ahead.get(name, {})
            puts = [row for key, row in ahead.items() if row is not None and key not in dirty]
            puts += _encode_entries(codec, table, [key for key in dirty if key in table])
            puts.sort(key=_KEY)
        olds = {} if codec.kind.is_written_once else self._replaced(codec, table)
        self._sums[name] = self._sums.get(name, TableSum()).plus(
            count=len(puts) - len(olds),
            digests=digest_sum([row for _, row in puts]) - digest_sum(olds.values()),
        )
        gone = sorted(olds.keys() - dict(puts).keys()) if olds else []
        dirty.clear()
        self._ahead.get(name, {}).clear()
        changes: list[Change] = [(name, key, row) for key, row in puts]
        return changes + [(name, key, None) for key in gone]

    def _replaced(self, codec: Codec[K, Any], table: Table[K, Any]) -> dict[bytes, bytes]:
        """Return the rows on disk that the dirty entries replace or delete."""
        changed = table.dirty | self._ahead.get(codec.name, {}).keys()
        if codec.kind is Kind.RESIDENT:  # we know without asking which of them are on the disk
            stored = self._stored[codec.name]
            known = changed & stored
            stored |= {key for key in changed if key in table}
            stored -= {key for key in known if key not in table}
            changed = known
        keys = [codec.pack(key) for key in changed]
        found = zip(keys, get_many(self._disk, codec.name, keys), strict=True)
        return {key: row for key, row in found if row is not None}

    def _load_table(self, codec: Codec[Any, Any], table: Table[Any, Any]) -> None:
        rows = []
        for key, row in self._disk.scan(codec.name):
            table[codec.unpack(key)] = codec.open(key, row)  # its digest covers the key
            rows.append(row[-DIGEST_SIZE:])
        self._stored[codec.name] = set(table)
        expected = self._sums.get(codec.name)
        if expected is None and not rows:
            return
        found = TableSum().plus(count=len(rows), digests=digest_sum(rows))
        if found != (expected or TableSum()):
            raise DamagedTable(codec.name, "", "rows are missing, old or foreign: the sum differs")

    def _entry_reader(self, codec: Codec[K, V]) -> Callable[[K], V | None]:
        name, get = codec.name, self._disk.get

        def load(key: K) -> V | None:
            packed = codec.pack(key)
            if (name, packed) in self._deleting:
                return None
            row = get(name, packed)
            return None if row is None else codec.open(packed, row)

        return load

    def _run_reader(
        self, codec: Codec[tuple[Any, int], V], table: Table[Any, V]
    ) -> Callable[[tuple[Any, int]], V | None]:
        def load(key: tuple[Any, int]) -> V | None:
            for packed, row in self._disk.scan(codec.name, codec.pack(key), reverse=True):
                group, first = codec.open_key(packed)
                if group != key[0]:
                    break
                run = codec.open(packed, row)
                for seq, entry in enumerate(run, first):  # the next ones are asked for next
                    table.setdefault((group, seq), entry)
                return run[key[1] - first] if key[1] < first + len(run) else None
            return None

        return load


_KEY = itemgetter(0)


def _encode_entries(
    codec: Codec[K, Any], table: Mapping[K, object], keys: Sequence[K]
) -> list[Ready]:
    """Encode one row an entry; `seal` written out, because this loop is most of a checkpoint."""
    pack, ready = codec.pack, []
    for key in keys:
        packed = pack(key)
        body = _encode(table[key])
        digest = blake2b(packed + body, digest_size=DIGEST_SIZE).digest()
        ready.append((packed, body + digest))
    return ready


def _encode_runs(
    codec: Codec[tuple[Any, int], Any], table: Table[tuple[Any, int], Any]
) -> Iterable[Ready]:
    """Encode history: consecutive entries of one account or symbol in one row."""
    changed: dict[Any, list[int]] = {}
    for group, seq in table.dirty:
        changed.setdefault(group, []).append(seq)
    for group in sorted(changed):
        for seqs in _runs(sorted(changed[group])):
            key = codec.pack((group, seqs[0]))
            yield key, seal(key, [table[group, seq] for seq in seqs])


def _runs(seqs: list[int]) -> Iterable[list[int]]:
    """Cut rising numbers where one is missing, and where a run is long enough."""
    begun = 0
    for end in range(1, len(seqs) + 1):
        if end == len(seqs) or seqs[end] != seqs[end - 1] + 1 or end - begun == RUN_MAX:
            yield seqs[begun:end]
            begun = end


def _evict(table: Table[Any, Any], ahead: Mapping[Any, Ready | None], *, keep: int) -> None:
    """Drop clean entries, the longest loaded first, until `keep` are left."""
    excess = len(table) - keep
    if excess <= 0:
        return
    if not keep and not table.dirty and not ahead:
        table.clear()
        return
    clean = (key for key in table if key not in table.dirty and key not in ahead)
    for key in list(islice(clean, excess)):
        del table[key]
