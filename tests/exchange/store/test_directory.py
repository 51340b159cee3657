"""One process, one node, one directory; and no directory is ever taken for a new one."""

import errno
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from exchange.store import directory as directory_module
from exchange.store.directory import (
    BALLAST,
    BALLAST_SIZE,
    LOCK,
    NEW_STORE,
    STORE,
    UNACCEPTED,
    Directory,
    holder_of,
    read_only,
)
from exchange.store.directory import (
    IDENTITY as MARKER,
)
from exchange.store.errors import (
    DamagedDirectory,
    DataDirInUse,
    DirectoryUnusable,
    NewerFormat,
    StoreError,
    WrongDirectory,
)
from exchange.store.frames import Identity
from exchange.store.lmdb_disk import LmdbDisk
from exchange.store.meta import read_identity
from tests.exchange.store.scene import (
    IDENTITY,
    NODE,
    PEER,
    check,
    deposits,
    force,
    open_store,
)

OTHER = Identity("test", PEER, bytes([2]) * 16)
HOLD = """
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from exchange.store.directory import Directory
directory = Directory.lock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def born(path: Path, identity: Identity = IDENTITY) -> Path:
    """Make a data directory with a few records."""
    with Directory.lock(path) as directory:
        directory.create(identity)
        disk = directory.open()
        if identity == IDENTITY:
            store = open_store(disk)
            force(store, deposits(3))
            check(store)
        disk.close()
    return path


def started(path: Path) -> None:
    with Directory.lock(path) as directory:
        disk = directory.open()
        try:
            check(open_store(disk))
        finally:
            disk.close()


@pytest.fixture
def holder(tmp_path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def test_a_directory_has_one_process_and_the_second_is_told_which(
    tmp_path: Path, holder: "subprocess.Popen[str]"
) -> None:
    """W6: LMDB itself would let both write."""
    with pytest.raises(DataDirInUse) as refused:
        Directory.lock(tmp_path / "data")

    assert refused.value.exit_code == 5
    assert refused.value.holder == holder.pid == holder_of(tmp_path / "data")
    assert str(holder.pid) in str(refused.value)
    holder.communicate()


def test_the_lock_of_a_killed_process_is_free(
    tmp_path: Path, holder: "subprocess.Popen[str]"
) -> None:
    """W6: the kernel lets go of it, nobody has to clean up."""
    holder.send_signal(signal.SIGKILL)
    holder.communicate()

    assert holder_of(tmp_path / "data") is None
    with Directory.lock(tmp_path / "data"):
        assert holder_of(tmp_path / "data") == os.getpid()


def test_a_new_directory_is_nobodys(tmp_path: Path) -> None:
    """W6."""
    with Directory.lock(tmp_path / "deep" / "data") as directory:
        assert directory.identity() is None
        with pytest.raises(DamagedDirectory):
            directory.open()
    assert holder_of(tmp_path / "nowhere") is None


def test_what_was_made_is_there_after_a_restart(tmp_path: Path) -> None:
    """W6."""
    path = born(tmp_path / "data")

    started(path)

    with Directory.lock(path) as directory:
        assert directory.identity() == IDENTITY
    assert (path / BALLAST).stat().st_blocks * 512 >= BALLAST_SIZE, "it takes real room"
    assert json.loads((path / MARKER).read_text())["node_id"] == NODE


def test_the_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    """W6: balances are nobody else's business."""
    path = born(tmp_path / "data")

    for name in (path, path / STORE, path / STORE / "data.mdb", path / LOCK, path / BALLAST):
        assert not name.stat().st_mode & 0o077, name


def test_what_a_crash_left_of_a_birth_is_thrown_away(tmp_path: Path) -> None:
    """W6: a half-made environment is under another name."""
    path = tmp_path / "data"
    (path / NEW_STORE).mkdir(parents=True)
    (path / NEW_STORE / "data.mdb").write_bytes(b"half a page")

    born(path)

    started(path)
    assert not (path / NEW_STORE).exists()


def test_a_directory_that_lost_its_store_is_not_a_new_one(tmp_path: Path) -> None:
    """W4, faults 2.4: a node that lost its state never registers as a new node."""
    path = born(tmp_path / "data")
    shutil.rmtree(path / STORE)

    with Directory.lock(path) as directory:
        for use in (directory.identity, directory.open):
            with pytest.raises(DamagedDirectory, match="node 1 is missing") as refused:
                use()
            assert refused.value.exit_code == 4


def test_a_store_that_lost_its_file_is_damaged(tmp_path: Path) -> None:
    """W4."""
    path = born(tmp_path / "data")
    (path / STORE / "data.mdb").unlink()

    with pytest.raises(DamagedDirectory, match=r"data\.mdb is missing"):
        started(path)


def test_two_nodes_that_were_given_each_others_stores_refuse(tmp_path: Path) -> None:
    """C3: the identity beside the store and the one inside must agree."""
    ours, theirs = born(tmp_path / "a"), born(tmp_path / "b", OTHER)
    for name, source in ((ours, theirs), (theirs, ours)):
        shutil.copytree(source / STORE, name / "swapped")
    for name in (ours, theirs):
        shutil.rmtree(name / STORE)
        (name / "swapped").rename(name / STORE)

    for name in (ours, theirs):
        with pytest.raises(WrongDirectory) as refused:
            started(name)
        assert refused.value.exit_code == 2


def test_the_directory_of_another_node_is_refused(tmp_path: Path) -> None:
    """C3: the whole directory, by who expects another one."""
    path = born(tmp_path / "data", OTHER)

    with pytest.raises(WrongDirectory, match="of node 2"):
        started(path)


def test_a_lost_marker_is_written_again(tmp_path: Path) -> None:
    """W6: a crash between renaming the store and writing the marker."""
    path = born(tmp_path / "data")
    (path / MARKER).unlink()

    with Directory.lock(path) as directory:
        assert directory.identity() == IDENTITY
    started(path)

    assert (path / MARKER).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": 1}', "\xff"])
def test_a_marker_that_cannot_be_read_is_damage(tmp_path: Path, text: str) -> None:
    """W4."""
    path = born(tmp_path / "data")
    (path / MARKER).write_bytes(text.encode("latin-1"))

    with pytest.raises(DamagedDirectory):
        started(path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """W6: format_version."""
    path = born(tmp_path / "data")
    marker = json.loads((path / MARKER).read_text())
    (path / MARKER).write_text(json.dumps({**marker, "format_version": 2}))

    with pytest.raises(NewerFormat) as refused:
        started(path)

    assert refused.value.exit_code == 4


def test_an_empty_data_file_is_damage(tmp_path: Path) -> None:
    """W4, faults 2.5: a zero-byte file is not silently skipped, nor filled."""
    path = born(tmp_path / "data")
    (path / STORE / "data.mdb").write_bytes(b"")

    with pytest.raises(DamagedDirectory):
        started(path)
    assert not (path / STORE / "data.mdb").stat().st_size


def test_damaged_pages_are_refused_before_lmdb_sees_them(tmp_path: Path) -> None:
    """W4: LMDB trusts its file; a damaged page can crash the process that maps it."""
    path = born(tmp_path / "data")
    file = path / STORE / "data.mdb"
    image = bytearray(file.read_bytes())
    for page in range(2, len(image) // 4096):
        image[page * 4096 + 12 : page * 4096 + 16] = b"\xff\xff\x00\x00"
    file.write_bytes(image)

    with pytest.raises(DamagedDirectory, match=r"pages of data\.mdb are damaged"):
        started(path)


@pytest.mark.parametrize("place", ["a file", "/proc/exchange"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    """W6: read-only, no permission, not a directory."""
    (tmp_path / "a file").write_text("")

    with pytest.raises(DirectoryUnusable) as refused:
        Directory.lock(tmp_path / place)

    assert refused.value.exit_code == 1
    assert place in str(refused.value)


def test_a_full_disk_at_birth_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W7."""

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(directory_module, "_make_environment", no_room)
    with Directory.lock(tmp_path / "data") as directory:
        with pytest.raises(DirectoryUnusable, match="make room"):
            directory.create(IDENTITY)
        monkeypatch.undo()
        directory.create(IDENTITY)


def test_the_ballast_comes_back_when_there_is_room(tmp_path: Path) -> None:
    """W7."""
    path = born(tmp_path / "data")
    (path / BALLAST).unlink()

    started(path)

    assert (path / BALLAST).stat().st_size == BALLAST_SIZE


def test_reading_beside_a_running_node_takes_no_lock_and_makes_no_file(tmp_path: Path) -> None:
    """W6, W8: for the recovery tools."""
    path = born(tmp_path / "data")
    with Directory.lock(path) as directory:
        disk = directory.open()
        store = open_store(disk)
        names = sorted(path.rglob("*"))
        script = (
            "import sys\nfrom pathlib import Path\n"
            "from exchange.store.directory import read_only\n"
            "print(len(list(read_only(Path(sys.argv[1])).scan('log'))))\n"
        )
        read = [sys.executable, "-c", script, str(path)]
        for frames in (1, 2):
            done = subprocess.run(read, check=True, capture_output=True, text=True)
            assert int(done.stdout) == frames
            force(store, deposits(1)[1:])
        assert sorted(path.rglob("*")) == names
        check(store)
        disk.close()


def test_reading_what_is_no_data_directory_is_refused(tmp_path: Path) -> None:
    """W6."""
    for name in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StoreError):
            read_only(name)
    assert not list(tmp_path.iterdir())


def test_a_directory_that_was_made_for_nothing_is_gone(tmp_path: Path) -> None:
    """W6: a first start that fails, because a port is taken, leaves nothing behind."""
    Directory.lock(tmp_path / "new").close()
    assert not (tmp_path / "new").exists()

    (tmp_path / "mine").mkdir()
    Directory.lock(tmp_path / "mine").close()
    assert (tmp_path / "mine").is_dir(), "somebody else has made it"


def test_a_lock_that_was_removed_while_it_was_waited_for_is_worth_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W6: two processes never have one directory."""
    take = fcntl.flock

    def late(lock: int, how: int) -> None:
        take(lock, how)
        (tmp_path / "lock").unlink()

    monkeypatch.setattr(fcntl, "flock", late)

    with pytest.raises(DataDirInUse):
        Directory.lock(tmp_path)


def test_a_lock_file_that_is_deleted_gives_nobody_a_second_process(
    tmp_path: Path, holder: "subprocess.Popen[str]"
) -> None:
    """W6: at night people delete files that are called `lock`."""
    (tmp_path / "data" / "lock").unlink()

    with pytest.raises(DataDirInUse, match="in use by another process"):
        Directory.lock(tmp_path / "data")
    holder.communicate()
    Directory.lock(tmp_path / "data").close()


def test_a_directory_that_cannot_be_locked_itself_is_locked_by_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W6: some file systems lock files alone."""
    take = fcntl.flock

    def of_files(lock: int, how: int) -> None:
        if stat.S_ISDIR(os.fstat(lock).st_mode):
            failing(errno.ENOTSUP)()
        take(lock, how)

    monkeypatch.setattr(fcntl, "flock", of_files)

    with Directory.lock(tmp_path / "data"), pytest.raises(DataDirInUse):
        Directory.lock(tmp_path / "data")


def test_a_copy_without_locks_can_be_read(tmp_path: Path) -> None:
    """W6: a backup on a read-only medium has no lock.mdb."""
    path = born(tmp_path / "data")
    (path / STORE / "lock.mdb").unlink()
    (path / LOCK).unlink()

    disk = read_only(path)

    assert read_identity(disk) == IDENTITY
    disk.close()
    assert not (path / STORE / "lock.mdb").exists()


def failing(error: int) -> "Callable[..., NoReturn]":
    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(error, os.strerror(error))

    return fail


def test_a_lock_that_the_file_system_cannot_give_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W6: as some network file systems do."""
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))

    with pytest.raises(DirectoryUnusable, match="No locks available"):
        Directory.lock(tmp_path / "data")


def test_a_full_disk_does_not_keep_a_node_from_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W7: the pid is for people, the lock is the kernel's."""
    monkeypatch.setattr(os, "pwrite", failing(errno.ENOSPC))
    with Directory.lock(tmp_path / "data") as directory:
        monkeypatch.undo()
        with pytest.raises(DataDirInUse) as refused:
            Directory.lock(tmp_path / "data")

        assert refused.value.holder is None
        directory.close()
        directory.close()  # twice is once


@pytest.mark.parametrize(("error", "is_fatal"), [(errno.ENOSPC, False), (errno.EIO, True)])
def test_a_marker_that_cannot_be_written_stops_nobody_if_the_disk_is_only_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, is_fatal: bool
) -> None:
    """W7."""
    path = born(tmp_path / "data")
    (path / MARKER).unlink()
    monkeypatch.setattr(directory_module, "_force_directory", failing(error))

    if is_fatal:
        with pytest.raises(OSError, match="Input/output"):
            started(path)
    else:
        started(path)


def test_a_marker_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W6: it is no new directory for that."""
    path = born(tmp_path / "data")
    monkeypatch.setattr(Path, "read_bytes", failing(errno.EACCES))
    with Directory.lock(path) as directory, pytest.raises(DirectoryUnusable):
        directory.identity()


def test_a_ballast_that_cannot_be_looked_at_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W7."""
    path = born(tmp_path / "data")
    monkeypatch.setattr(directory_module, "_ballast", failing(errno.EIO))
    with Directory.lock(path) as directory, pytest.raises(DirectoryUnusable):
        directory.open()


def test_a_rebuilt_directory_is_no_nodes_until_it_is_accepted(tmp_path: Path) -> None:
    """C3: what a rebuilt node has lost, its operator must say yes to."""
    path = born(tmp_path / "data")
    (path / STORE).rename(path / UNACCEPTED)

    with Directory.lock(path) as directory:
        for use in (directory.identity, directory.open):
            with pytest.raises(DirectoryUnusable, match="not accepted yet") as refused:
                use()
            assert "--accept" in str(refused.value)


@pytest.mark.parametrize("is_marked", [True, False])
def test_an_environment_of_nobody_is_damage(tmp_path: Path, is_marked: bool) -> None:
    """W4, C3: an empty database in the place of the store is not taken for a new node."""
    path = born(tmp_path / "data")
    shutil.rmtree(path / STORE)
    (path / STORE).mkdir()
    (path / STORE / "data.mdb").touch()
    LmdbDisk(path / STORE).close()
    if not is_marked:
        (path / MARKER).unlink()

    with pytest.raises(DamagedDirectory, match="no identity"):
        started(path)
