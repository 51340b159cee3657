"""LMDB as the disk: default sync mode, short reads, one write on one thread (W1, W3, W7, W8).

Theory of operation
===================
A write is one LMDB write transaction inside one call: begun, filled, forced and ended on the
caller's thread (W3).  If it fails nobody knows whether it happened; the caller closes this
disk, opens another and redoes (E4).  At the first ENOSPC the ballast file beside the
environment is deleted, so that the restart has room to force its epoch (W7).

A read transaction lives inside one call; a scan reads in bounded slices and holds no
transaction between two of them, so that nothing pins old pages (W8).

The map is address space, not disk: 64 GiB are mapped, of which only pages that exist cost
anything.  Where RLIMIT_AS forbids it the map is smaller; where the file has outgrown half of
it, it is doubled at the next start.
"""

import contextlib
import errno
import os
import resource
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from exchange.store.crash import crash_point
from exchange.store.disk import Change
from exchange.store.errors import DamagedDirectory, DirectoryUnusable, StoreFailed
from exchange.store.pages import FORCE_FAILED
from exchange.store.tables import CODECS

TABLES = ("meta", "log", *CODECS)
NAMES = {name.encode() for name in TABLES}
TABLES_MAX = 32
READERS_MAX = 1024  # a reader slot is 64 bytes; a slot lasts only as long as one call
MAP_SIZE = 1 << 36
MAP_SIZE_MIN = 1 << 26
SLICE_BYTES = 1 << 22  # a scan holds no more than this, plus one value
SLICE_ENTRIES_FIRST = 1  # many a scan wants the first entry alone
SLICE_ENTRIES = 4096
FULL_PERCENT = 90  # W7: new orders are refused from here on
NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_TABLE = itemgetter(0)
RESERVE = 1 << 25  # bytes of disk kept for cancels and settlements, beside the ballast


class Usage(msgspec.Struct, frozen=True):
    """How much room there is, in bytes (W7)."""

    map_used: int
    map_size: int
    disk_free: int

    @property
    def is_full(self) -> bool:
        """Tell whether new orders must be refused: 90 % of map or disk, or the reserve."""
        room = min(self.map_size, self.map_used + self.disk_free)
        return self.map_used * 100 >= room * FULL_PERCENT or self.disk_free < RESERVE


class LmdbDisk:
    """One LMDB environment."""

    def __init__(
        self,
        path: Path,
        *,
        is_read_only: bool = False,
        has_lock: bool = True,
        map_size: int | None = None,
        ballast: Path | None = None,
    ) -> None:
        self.path = path
        self._ballast = ballast
        self._failed = path / FORCE_FAILED
        self._has_failed = self._failed.exists()
        self._env = _open(path, is_read_only, has_lock, map_size)
        self._tables: dict[str, Any] = {}  # py-lmdb's _Database has no public type
        try:
            self._env.reader_check()
            self._check_names()
            for table in TABLES:
                self._open_table(table, is_read_only=is_read_only)
            if not is_read_only:
                self._env.sync(True)  # after a failed force: what we read now, stays
        except lmdb.Error as error:
            self._env.close()
            raise DamagedDirectory(path, f"LMDB cannot read it: {error}") from error
        except DamagedDirectory:
            self._env.close()
            raise

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the durable value of a key."""
        database = self._tables.get(table)
        if database is None:
            return None
        read = self._env.begin()
        try:
            value: bytes | None = read.get(key, db=database)
        finally:
            read.abort()
        return value

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the durable values of keys, in their order."""
        database = self._tables.get(table)
        if database is None:
            return [None] * len(keys)
        with self._env.begin(db=database) as read:
            get = read.get
            return [get(key) for key in keys]

    def scan(
        self, table: str, start: bytes = b"", *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in order, a slice per read transaction."""
        if table not in self._tables:
            return
        limit = SLICE_ENTRIES_FIRST
        entries = self._slice(table, start, limit, is_inclusive=True, reverse=reverse)
        while entries:
            yield from entries
            limit = min(limit * 8, SLICE_ENTRIES)
            start = entries[-1][0]
            entries = self._slice(table, start, limit, is_inclusive=False, reverse=reverse)

    def write(self, changes: Sequence[Change]) -> None:
        """Make all changes durable, or none (W2, W3)."""
        try:
            with self._env.begin(write=True) as write:
                for table, group in groupby(changes, _TABLE):
                    cursor = write.cursor(db=self._tables[table])
                    puts: list[tuple[bytes, bytes]] = []
                    for _, key, value in group:
                        if value is not None:
                            puts.append((key, value))
                            continue
                        cursor.putmulti(puts)
                        puts = []
                        write.delete(key, db=self._tables[table])
                    cursor.putmulti(puts, append=table == "log")
                crash_point("write_begun_uncommitted")
        except lmdb.Error as error:
            raise self._failure(error) from error
        if self._has_failed:
            self._failed.unlink(missing_ok=True)
            self._has_failed = False

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def usage(self) -> Usage:
        """Return how much room there is."""
        info = self._env.info()
        used = (info["last_pgno"] + 1) * self._env.stat()["psize"]
        filesystem = os.statvfs(self.path)
        return Usage(used, info["map_size"], filesystem.f_bavail * filesystem.f_frsize)

    def check_readers(self) -> int:
        """Clear the slots of readers that died; return how many there were (W8)."""
        return int(self._env.reader_check())

    def _check_names(self) -> None:
        """Refuse a table of another name: a flipped bit in a name would empty a table unseen."""
        with self._env.begin() as read:
            unknown = [key for key in read.cursor().iternext(values=False) if key not in NAMES]
        if unknown:
            names = ", ".join(repr(name.decode(errors="replace")) for name in unknown)
            raise DamagedDirectory(self.path, f"it has a table that nobody knows: {names}")

    def _open_table(self, table: str, *, is_read_only: bool) -> None:
        # Written by an older version, and read only: the table is missing, so it is empty.
        with contextlib.suppress(lmdb.NotFoundError):
            self._tables[table] = self._env.open_db(table.encode(), create=not is_read_only)

    def _slice(
        self, table: str, start: bytes, limit: int, *, is_inclusive: bool, reverse: bool
    ) -> list[tuple[bytes, bytes]]:
        entries: list[tuple[bytes, bytes]] = []
        size = 0
        with self._env.begin(db=self._tables[table]) as read:
            cursor = read.cursor()
            if not _seek(cursor, start, reverse=reverse):
                return entries
            advance = cursor.prev if reverse else cursor.next
            if not is_inclusive and cursor.key() == start and not advance():
                return entries
            for entry in cursor.iterprev() if reverse else cursor.iternext():
                entries.append(entry)
                size += len(entry[1])
                if size >= SLICE_BYTES or len(entries) >= limit:
                    break
        return entries

    def _failure(self, error: lmdb.Error) -> StoreFailed:
        with contextlib.suppress(OSError):  # a disk that takes not even this: a refusal follows
            self._failed.touch()
        is_disk_full = error.code in NO_SPACE or (
            error.code == errno.EIO and self.usage().disk_free < RESERVE
        )  # LMDB calls a write that was cut short an EIO
        if is_disk_full and self._ballast is not None:
            self._ballast.unlink(missing_ok=True)
            crash_point("ballast_released")
        is_full = is_disk_full or isinstance(error, lmdb.MapFullError)
        return StoreFailed(f"forcing the log in {self.path} failed: {error}", is_full=is_full)


def _seek(cursor: "lmdb.Cursor[bytes]", start: bytes, *, reverse: bool) -> bool:
    """Put a cursor on the first entry of a scan; tell whether there is one."""
    if not start:
        return bool(cursor.last() if reverse else cursor.first())
    if not cursor.set_range(start):
        return bool(reverse and cursor.last())
    if reverse and cursor.key() != start:
        return bool(cursor.prev())
    return True


def _open(path: Path, is_read_only: bool, has_lock: bool, map_size: int | None) -> lmdb.Environment:
    file = path / "data.mdb"
    size = map_size or _map_size(file.stat().st_size if file.exists() else 0)
    while True:
        try:
            return lmdb.open(
                str(path),
                map_size=0 if is_read_only else size,
                max_dbs=TABLES_MAX,
                max_readers=READERS_MAX,
                readonly=is_read_only,
                lock=has_lock,
                create=False,
                mode=0o600,
            )
        except lmdb.MemoryError as error:
            if size <= MAP_SIZE_MIN or is_read_only:
                raise DirectoryUnusable(
                    f"{path}: no address space to map the log", remedy="raise RLIMIT_AS"
                ) from error
            size //= 2
        except (lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.CorruptedError) as error:
            raise DamagedDirectory(path, f"data.mdb is no LMDB file: {error}") from error
        except lmdb.Error as error:
            raise DirectoryUnusable(
                f"{path}: {error}", remedy="check that it is there, and its permissions"
            ) from error


def _map_size(file_size: int) -> int:
    size = MAP_SIZE
    while size < 2 * file_size:
        size *= 2
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        while size > max(limit // 2, MAP_SIZE_MIN):
            size //= 2
    return size
