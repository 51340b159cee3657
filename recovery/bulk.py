"""Write a long log into a new directory: many frames a force, the same bytes as ever.

A store forces every frame, because somebody waits for it.  Nobody waits here: `BulkDisk` keeps
writes in memory, where the store sees them, and forces some megabytes at once.  The directory
gets its name only when everything is on disk, so a crash leaves nothing that could be started.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from exchange.domain.units import Lsn, Micros
from exchange.engine.apply import apply
from exchange.engine.messages import Proof
from exchange.store.directory import STORE, Directory
from exchange.store.disk import Change, Disk
from exchange.store.errors import DirectoryUnusable
from exchange.store.frames import Frame, Identity
from exchange.store.store import BootStep, Limits, Store

BATCH_BYTES = 1 << 24
FREE_MIN = 1 << 20  # bytes; LMDB dies of a bus error where not even its table of readers fits
UNFINISHED = ".unfinished"  # the suffix of a directory that is being made


class BulkDisk:
    """A disk that forces seldom; what is not forced yet is read from memory."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._changes: dict[tuple[str, bytes], bytes | None] = {}
        self._size = 0

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the newest value of a key."""
        if (table, key) in self._changes:
            return self._changes[table, key]
        return self._disk.get(table, key)

    def scan(
        self, table: str, start: bytes = b"", *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Force, then scan."""
        self.flush()
        return self._disk.scan(table, start, reverse=reverse)

    def write(self, changes: Sequence[Change]) -> None:
        """Take changes; force them when there are many."""
        for table, key, value in changes:
            self._changes[table, key] = value
            self._size += len(key) + len(value or b"")
        if self._size >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Force what was written."""
        changes = [(table, key, value) for (table, key), value in self._changes.items()]
        if changes:
            self._disk.write(sorted(changes, key=lambda change: change[:2]))
        self.forget()

    def forget(self) -> None:
        """Drop what is not forced."""
        self._changes.clear()
        self._size = 0

    def close(self) -> None:
        """Force, and give the disk back."""
        self.flush()
        self._disk.close()


def _free_bytes(path: Path) -> int | None:
    """Return the room on the disk of a path that is not there yet; None if nobody knows."""
    for place in (path, *path.absolute().parents):
        try:
            found = os.statvfs(place)
        except OSError:
            continue
        return found.f_bavail * found.f_frsize
    return None


class Unfinished:
    """A directory in the making.  `name_it` gives it its name; without that nothing is left."""

    def __init__(self, path: Path, identity: Identity) -> None:
        """Make an empty store; DirectoryUnusable if the path is taken."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise DirectoryUnusable(f"{path} is not empty", remedy="give a new directory")
        free = _free_bytes(path)
        if free is not None and free < FREE_MIN:
            told = f"{path}: its disk has {free} bytes left"
            raise DirectoryUnusable(told, remedy="make room there, or give a place on another disk")
        self.path = path
        self._unfinished = path.with_name(path.name + UNFINISHED)
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._directory = Directory.lock(self._unfinished)
        self._directory.create(identity)
        self.disk = BulkDisk(self._directory.open())
        self._is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_open:
            self.disk.forget()  # the disk may be full: a second try to write would fail as well
            self._close()
            shutil.rmtree(self._unfinished, ignore_errors=True)

    def name_it(self, place: str = STORE) -> None:
        """Force everything and give the directory its name, its store the name `place`."""
        self.disk.flush()
        self._close()
        if place != STORE:
            (self._unfinished / STORE).rename(self._unfinished / place)
        if self.path.exists():
            self.path.rmdir()
        self._unfinished.rename(self.path)

    def _close(self) -> None:
        self._is_open = False
        self.disk.close()
        self._directory.close()


class NewDirectory(Unfinished):
    """A new directory with a store: frames go in, tables come out."""

    def __init__(self, path: Path, identity: Identity) -> None:
        super().__init__(path, identity)
        self.store = Store.open(self.disk, identity, Limits())

    def add(self, frame: Frame) -> Proof:
        """Apply a frame and write it as it was written first: its digest comes out the same."""
        state, store = self.store.state, self.store
        assert frame.first_lsn == state.lsn + 1, "frames follow each other"
        for record in frame.records:
            apply(state, record)
            state.lsn = Lsn(state.lsn + 1)
        state.touched.clear()
        write = store.prepare(BootStep(frame.records, state.lsn, dict(frame.seen)), ts=frame.ts)
        proof = store.commit(write)
        store.committed(write)
        return proof

    def finish(self, place: str = STORE) -> Proof:
        """Write the last checkpoint, force everything, give the directory its name."""
        store = self.store
        step = BootStep([], store.state.lsn)
        write = store.prepare(step, ts=Micros(0), force_checkpoint=True)
        store.commit(write)
        store.committed(write)
        self.name_it(place)
        return store.proof
