"""The disk of the simulator: dicts that keep what was forced, and fail on request (faults 1).

One `write` is one LMDB write: it is there whole or not at all.  Whether a write that was in
progress when the power went is there, the cluster decides.  That real LMDB keeps this
promise is shown by the crash images, not here.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Self

from exchange.store.disk import Change
from exchange.store.errors import StoreFailed


class Failure(Enum):
    """What the next write does instead of succeeding.  Either way its caller sees an error."""

    LOST = "EIO, and nothing was written"
    KEPT = "EIO, and yet it was written"
    FULL = "ENOSPC, and nothing was written"


class SimulatedDisk:
    """A `Disk` in memory.  It outlives the processes that use it."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[bytes, bytes]] = {}
        self._sorted: dict[str, list[bytes]] = {}  # keys in order; absent = to be sorted anew
        self.failure: Failure | None = None  # of the next write

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return a forced value."""
        entries = self._tables.get(table)
        return None if entries is None else entries.get(key)

    def scan(
        self, table: str, start: bytes = b"", *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield entries in the order of keys, from `start` on; backwards: up to `start`."""
        entries = self._tables.get(table)
        if not entries:
            return
        keys = self._keys(table)
        first = bisect_left(keys, start) if start else 0
        if not reverse:
            for key in keys[first:]:
                yield key, entries[key]
            return
        last = len(keys)
        if start:
            last = first + 1 if first < len(keys) and keys[first] == start else first
        for key in reversed(keys[:last]):
            yield key, entries[key]

    def write(self, changes: Sequence[Change]) -> None:
        """Force all changes, or none."""
        failure, self.failure = self.failure, None
        if failure is Failure.FULL:
            raise StoreFailed("the simulated disk is full", is_full=True)
        if failure is not Failure.LOST:
            for table, key, value in changes:
                self._change(table, key, value)
        if failure is not None:
            raise StoreFailed("the simulated disk failed")

    def close(self) -> None:
        """Do nothing: the process that used it is gone, what it forced is not."""

    def clone(self) -> Self:
        """Return a copy: a backup, or a genesis shared by many runs."""
        other = type(self)()
        other._tables = {name: entries.copy() for name, entries in self._tables.items()}
        other._sorted = self._sorted.copy()  # its lists never change, they are made anew
        return other

    def places(self) -> list[tuple[str, bytes]]:
        """Return table and key of all there is, in order."""
        return [(table, key) for table in sorted(self._tables) for key in self._keys(table)]

    def flip_bit(self, table: str, key: bytes, bit: int) -> None:
        """Rot: change one bit of a value; no page checksum notices (W4)."""
        value = bytearray(self._tables[table][key])
        value[bit // 8 % len(value)] ^= 1 << bit % 8
        self._tables[table][key] = bytes(value)

    def _keys(self, table: str) -> list[bytes]:
        keys = self._sorted.get(table)
        if keys is None:
            keys = self._sorted[table] = sorted(self._tables.get(table, ()))
        return keys

    def _change(self, table: str, key: bytes, value: bytes | None) -> None:
        entries = self._tables.setdefault(table, {})
        if value is None:
            if entries.pop(key, None) is not None:
                self._sorted.pop(table, None)
            return
        if key not in entries:
            self._sorted.pop(table, None)
        entries[key] = value
