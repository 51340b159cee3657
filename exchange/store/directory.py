"""The data directory: whose it is, how it is born, who may use it (W6).

    lock          flock of the one process that uses the directory; its pid, for people.
                  The directory is locked too: people remove files that are called `lock`
    store/        the LMDB environment (data.mdb, lock.mdb); force_failed after a failed force
    identity      whose data `store/` holds: a copy of what is inside, so that a directory
                  that lost its environment is not taken for a new one (W4)
    ballast       16 MiB, given up at the first ENOSPC (W7)

A new environment is made under a temporary name, forced, renamed, and the directory forced:
a crash while LMDB writes its first pages leaves a file that nothing can open.  Other files
in the directory (`endpoints.json`, `operator.key`) are the node's.
"""

import errno
import fcntl
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from exchange.store.crash import crash_point
from exchange.store.errors import (
    DamagedDirectory,
    DataDirInUse,
    DirectoryUnusable,
    NewerFormat,
    StoreError,
)
from exchange.store.frames import FORMAT_VERSION, Identity
from exchange.store.lmdb_disk import LmdbDisk
from exchange.store.meta import check_identity, identity_change, read_identity
from exchange.store.pages import check_pages

ASKED_MAX = 5  # tries: a tool that asks who uses a directory holds its lock for microseconds
ASKED_S = 0.01
LOCK, STORE, NEW_STORE, IDENTITY, BALLAST = "lock", "store", "store.new", "identity", "ballast"
UNACCEPTED = "store.unaccepted"  # of a rebuilt node, until its operator has accepted what is lost
BALLAST_SIZE = 1 << 24  # W7: room for thousands of cancels, and for the epoch of a restart


class _IdentityFile(msgspec.Struct, frozen=True):
    format_version: int
    cluster: str
    node_id: int
    nonce: str  # hexadecimal
    secret: str = ""  # hexadecimal; never told (C3)


class Directory:
    """A data directory that this process has locked."""

    def __init__(self, path: Path, locks: tuple[int, ...], *, is_made: bool = False) -> None:
        self.path = path
        self._locks = locks
        self._is_made = is_made  # by this process: it goes again if nothing comes of it

    @classmethod
    def lock(cls, path: Path) -> Self:
        """Take the directory for this process; make it if it is not there.

        Raises DataDirInUse, naming the holder, or DirectoryUnusable.
        """
        try:
            is_made = _make_directory(path)
            lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            _take(lock)
        except OSError as error:
            holder = os.pread(lock, 32, 0).strip()
            os.close(lock)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise _unusable(path, error) from error
            raise DataDirInUse(path, holder=int(holder) if holder.isdigit() else None) from error
        if not _is_there(path / LOCK, lock):  # whoever made the directory has just removed it
            os.close(lock)
            raise DataDirInUse(path, holder=None)
        try:
            locks = lock, _lock_directory(path)
        except BaseException:
            os.close(lock)
            raise
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            pass  # the disk is full: the pid is for people, the lock is the kernel's
        crash_point("directory_locked_store_absent")
        return cls(path, locks, is_made=is_made)

    def identity(self) -> Identity | None:
        """Return whose data is here, None in a new directory.

        Raises DamagedDirectory if the directory was used and has lost its environment.
        """
        marked = _read_marker(self.path)
        if (self.path / STORE).exists():
            return marked or self._identity_inside()
        if (self.path / UNACCEPTED).exists():
            raise DirectoryUnusable(
                f"{self.path} was rebuilt by `exchange-recover recover-node` and not accepted yet",
                remedy="read recovery.json there, then `exchange-recover recover-node --accept`"
                f" {self.path} with the directories of the other nodes and of the coordinator",
            )
        if marked is not None:
            raise DamagedDirectory(self.path, f"{STORE}/ of node {marked.node_id} is missing")
        return None

    def create(self, identity: Identity) -> None:
        """Make the environment of a new node: temporary name, force, rename, force (W6)."""
        assert self.identity() is None, "the directory is new"
        new = self.path / NEW_STORE
        try:
            shutil.rmtree(new, ignore_errors=True)  # of a crash while it was made
            new.mkdir(mode=0o700)
            _make_environment(new, identity)
            crash_point("new_store_forced_not_renamed")
            new.rename(self.path / STORE)
            crash_point("new_store_renamed_directory_unforced")
            _force_directory(self.path)
            crash_point("store_created_identity_file_absent")
            _write_marker(self.path, identity)
        except OSError as error:
            raise _unusable(self.path, error) from error

    def open(self) -> LmdbDisk:
        """Open the environment, its pages checked first; renew marker and ballast."""
        marked, file = self.identity(), self.path / STORE / "data.mdb"
        if not file.exists():
            raise DamagedDirectory(self.path, f"{STORE}/data.mdb is missing")
        check_pages(file)
        try:
            ballast = _ballast(self.path)
        except OSError as error:
            raise _unusable(self.path, error) from error
        disk = LmdbDisk(self.path / STORE, ballast=ballast)
        try:
            inside = read_identity(disk)
            if inside is None or marked is None:  # `identity` has asked inside too
                raise DamagedDirectory(self.path, "the environment has no identity")
            check_identity(inside, marked)
            _write_marker(self.path, inside)
        except BaseException:
            disk.close()
            raise
        return disk

    def close(self) -> None:
        """Let another process have the directory; remove it if it was made for nothing."""
        if not self._locks:
            return
        with suppress(OSError):  # somebody else has put something there, or taken it away
            if self._is_made and os.listdir(self.path) == [LOCK]:
                (self.path / LOCK).unlink()
                self.path.rmdir()
        for lock in self._locks:
            os.close(lock)
        self._locks = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _identity_inside(self) -> Identity | None:
        disk = read_only(self.path)
        try:
            return read_identity(disk)
        finally:
            disk.close()


def read_only(path: Path) -> LmdbDisk:
    """Open a directory for reading alone, safely beside a running node; never make a file.

    Where LMDB's own reader table is there and may be written, a read takes a slot in it for
    the length of one call, so that a running node does not reuse the pages being read (W8).
    Where it is not (a copy, a read-only medium) nobody can be writing.
    """
    store = path / STORE
    if not (store / "data.mdb").exists():
        raise DirectoryUnusable(f"{path} is no data directory", remedy="give the right path")
    return LmdbDisk(store, is_read_only=True, has_lock=os.access(store / "lock.mdb", os.W_OK))


def holder_of(path: Path) -> int | None:
    """Return the pid of the process that uses a directory, 0 if unknown, None if nobody does.

    The lock says whether, never the pid: that of a process in a container is a number of its own
    there, and here perhaps of somebody else.  A node holds the lock file and the directory; the
    file may be deleted.  To ask is to hold them for a moment, which a start waits for.
    """
    if not (_is_held(path / LOCK, os.O_RDONLY) or _is_held(path, os.O_RDONLY | os.O_DIRECTORY)):
        return None
    try:
        text = (path / LOCK).read_bytes()[:32].strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def _is_held(path: Path, flags: int) -> bool:
    """Tell whether a process holds a lock on a file."""
    try:
        file = os.open(path, flags)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EACCES)
    finally:
        os.close(file)
    return False


def _take(file: int) -> None:
    """Lock a file; OSError if another process uses it, and does not only ask who does."""
    for _ in range(ASKED_MAX):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(ASKED_S)
        else:
            return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock_directory(path: Path) -> int:
    """Lock the directory itself, where its file system can."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _take(directory)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(directory)
            raise DataDirInUse(path, holder=None) from error
    return directory


def _make_directory(path: Path) -> bool:
    """Make a directory unless it is there; tell whether it was made."""
    if path.is_dir():
        return False
    path.mkdir(mode=0o700, parents=True)
    _force_directory(path.parent)
    return True


def _is_there(path: Path, file: int) -> bool:
    """Tell whether a path still leads to an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _make_environment(path: Path, identity: Identity) -> None:
    (path / "data.mdb").touch(mode=0o600)
    disk = LmdbDisk(path)
    try:
        disk.write([identity_change(identity)])
    finally:
        disk.close()
    _force_directory(path)


def _force_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _write_marker(path: Path, identity: Identity) -> None:
    row = _IdentityFile(
        FORMAT_VERSION,
        identity.cluster,
        identity.node_id,
        identity.nonce.hex(),
        identity.secret.hex(),
    )
    text = msgspec.json.encode(row) + b"\n"
    marker = path / IDENTITY
    try:
        if marker.exists() and marker.read_bytes() == text:
            return
        new = path / f"{IDENTITY}.new"
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.rename(marker)
        _force_directory(path)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # A full disk must not keep a node from starting; the next start writes it.


def _read_marker(path: Path) -> Identity | None:
    try:
        row = msgspec.json.decode((path / IDENTITY).read_bytes(), type=_IdentityFile)
        nonce, secret = bytes.fromhex(row.nonce), bytes.fromhex(row.secret)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    except ValueError as error:  # msgspec's errors are ValueErrors too
        raise DamagedDirectory(path, f"the file `{IDENTITY}` cannot be read: {error}") from error
    if row.format_version > FORMAT_VERSION:
        raise NewerFormat(row.format_version, known=FORMAT_VERSION)
    return Identity(row.cluster, row.node_id, nonce, secret)  # type: ignore[arg-type]  # a NodeId


def _ballast(path: Path) -> Path:
    """Make the ballast again if it is gone and there is room for four of them."""
    ballast = path / BALLAST
    if ballast.exists():
        return ballast
    filesystem = os.statvfs(path)
    if filesystem.f_bavail * filesystem.f_frsize > 4 * BALLAST_SIZE:
        file = os.open(ballast, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(file, 0, BALLAST_SIZE)
            os.fsync(file)
        finally:
            os.close(file)
    return ballast


def _unusable(path: Path, error: OSError) -> StoreError:
    remedy = "make room on the disk" if error.errno == errno.ENOSPC else "check its permissions"
    return DirectoryUnusable(f"data directory {path}: {error.strerror}", remedy=remedy)
