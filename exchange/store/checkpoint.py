"""Checkpoints: the tables on disk stand exactly at one LSN (W5, E7).

Theory of operation
===================
A checkpoint is all rows that changed since the last one, in the same disk write as the frame
that ends at its LSN.  `apply` is not idempotent, so a row must never be newer than that LSN,
nor older: all of them are encoded at once, between two turns.  Trading stops meanwhile, so
checkpoints are small and frequent.

    dirty, fresh  --encode-->  in the write under way (at most one)  --durable-->  clean

Each table has a count and a sum of the digests of its rows, kept in the same write.  The
digest that a row replaces is read from the disk, where tables change by checkpoints alone,
one at a time.
"""

from collections.abc import Callable, Collection, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

from exchange.engine.messages import Proof
from exchange.engine.state import State
from exchange.engine.table import History, Table
from exchange.store.disk import Change, Disk, get_many
from exchange.store.errors import DamagedTable
from exchange.store.frames import DIGEST_SIZE
from exchange.store.meta import Checkpoint, TableSum, checkpoint_change
from exchange.store.tables import CODECS, Codec, Kind, digest_sum, seal

K = TypeVar("K")
V = TypeVar("V")

RUN_MAX = 64  # entries in a row of history: 4 kB of fills
Row = tuple[bytes, bytes]  # key and row, encoded


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
        tables = state.tables().items()
        self._tables = {name: table for name, table in tables if isinstance(table, Table)}
        self._histories = {name: table for name, table in tables if isinstance(table, History)}
        self._state = state
        self._sums = dict(last.tables)
        self._dirty_max = dirty_max
        self._accounts_kept = accounts_kept
        self._stored: dict[str, set[Any]] = {}  # keys of the resident tables on the disk
        self._deleting: set[tuple[str, bytes]] = set()  # by the write under way
        self.lsn = last.lsn  # of the last durable checkpoint
        self.is_under_way = False

    def load(self) -> None:
        """Fill the resident tables, check them against their sums; the others read through."""
        for name, table in self._tables.items():
            codec = CODECS[name]
            if codec.kind is Kind.RESIDENT:
                self._load_table(codec, table)
            else:
                table.load = self._entry_reader(codec)
        for name, history in self._histories.items():
            history.load = self._run_reader(CODECS[name], history)
        self._state.lsn = self.lsn
        self._state.derive()

    def is_due(self) -> bool:
        """Tell whether a checkpoint now would write as many rows as one should."""
        rows = 0
        for table in self._tables.values():
            rows += len(table.dirty)
        for history in self._histories.values():
            rows += len(history.fresh)  # a row a group, or more if its run is long
        return rows >= self._dirty_max

    def encode(self, proof: Proof) -> tuple[list[Change], Checkpoint]:
        """Encode all that changed since the last checkpoint: the hand-off at `proof` (W5)."""
        assert not self.is_under_way, "one checkpoint at a time"
        assert self._state.lsn == proof.lsn, "the state is at the end of the frame"
        self._tables["scalars"].dirty.add("node")
        changes: list[Change] = []
        for name, table in self._tables.items():
            if table.dirty:
                changes += self._encode_table(CODECS[name], table)
        for name, history in self._histories.items():
            if history.fresh:
                changes += self._encode_history(CODECS[name], history)
        checkpoint = Checkpoint(proof.lsn, proof.digest, dict(self._sums))
        self.is_under_way = True
        return [*changes, checkpoint_change(checkpoint)], checkpoint

    def durable(self, checkpoint: Checkpoint) -> None:
        """Take note that the checkpoint under way is on the disk."""
        assert self.is_under_way, "a checkpoint was handed off"
        self.lsn = checkpoint.lsn
        self.is_under_way = False
        self._deleting.clear()
        for history in self._histories.values():
            history.writing = {}
        self.evict()

    def evict(self) -> None:
        """Drop clean entries of tables that are read through; none while a write is under way."""
        if self.is_under_way:
            return
        for name, table in self._tables.items():
            if CODECS[name].kind is not Kind.RESIDENT:
                _evict(table, keep=self._accounts_kept if name == "accounts" else 0)
        for history in self._histories.values():
            history.read.clear()

    def _encode_table(self, codec: Codec[Any, Any], table: Table[Any, Any]) -> list[Change]:
        olds = {} if codec.kind is Kind.ONCE else self._replaced(codec, table)
        puts: list[Row] = []
        gone: list[bytes] = []
        for key in table.dirty:
            packed, entry = codec.pack(key), table.get(key)
            if entry is not None:
                puts.append((packed, seal(packed, entry)))
            elif packed in olds:
                gone.append(packed)
        table.dirty.clear()
        puts.sort(key=_KEY)
        self._deleting.update((codec.name, packed) for packed in gone)
        changes = self._changes(codec.name, puts, olds.values())
        return changes + [(codec.name, packed, None) for packed in sorted(gone)]

    def _encode_history(
        self, codec: Codec[Any, Any], history: History[Any, Any, Any]
    ) -> list[Change]:
        """Encode what was added since the last checkpoint: a row a group, unless it is long."""
        puts: list[Row] = []
        for group, (first, entries) in sorted(history.fresh.items()):
            for at in range(0, len(entries), RUN_MAX):
                packed = codec.pack((group, first + at))
                puts.append((packed, seal(packed, entries[at : at + RUN_MAX])))
        history.fresh, history.writing = {}, history.fresh
        return self._changes(codec.name, puts, ())

    def _changes(self, name: str, puts: Sequence[Row], olds: Collection[bytes]) -> list[Change]:
        """Make the changes that put rows in the place of others; keep count and sum (W5)."""
        self._sums[name] = self._sums.get(name, TableSum()).plus(
            count=len(puts) - len(olds),
            digests=digest_sum([row for _, row in puts]) - digest_sum(olds),
        )
        return [(name, key, row) for key, row in puts]

    def _replaced(self, codec: Codec[K, Any], table: Table[K, Any]) -> dict[bytes, bytes]:
        """Return the rows on disk that the dirty entries replace or delete."""
        changed = table.dirty
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
        self, codec: Codec[tuple[Any, int], V], history: History[Any, Any, V]
    ) -> Callable[[tuple[Any, int]], V | None]:
        def load(key: tuple[Any, int]) -> V | None:
            for packed, row in self._disk.scan(codec.name, codec.pack(key), reverse=True):
                group, first = codec.open_key(packed)
                if group != key[0]:
                    break
                run = codec.open(packed, row)
                for seq, entry in enumerate(run, first):  # the next ones are asked for next
                    history.read[group, seq] = entry
                return run[key[1] - first] if key[1] < first + len(run) else None
            return None

        return load


_KEY = itemgetter(0)


def _evict(table: Table[Any, Any], *, keep: int) -> None:
    """Drop clean entries, the longest loaded first, until `keep` are left."""
    excess = len(table) - keep
    if excess <= 0:
        return
    if not keep and not table.dirty:
        table.clear()
        return
    clean = (key for key in table if key not in table.dirty)
    for key in list(islice(clean, excess)):
        del table[key]
