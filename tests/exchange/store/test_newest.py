"""A state that is whole, in order, and one force too old is not taken for the newest."""

import struct
from itertools import product
from pathlib import Path

import lmdb
import pytest

from exchange.store.directory import STORE, Directory
from exchange.store.errors import DamagedDirectory
from exchange.store.lmdb_disk import LmdbDisk
from exchange.store.newest import BRANCH, is_newest
from exchange.store.pages import FORCE_FAILED, check_pages
from tests.exchange.store.scene import IDENTITY, check, deposits, force, open_store

PAGE = 4096
TRANSACTION = 16 + 128  # place of its number in a meta page
ROOT = 16 + 112  # ... and of the page with the names of all tables


def transactions(file: Path) -> list[int]:
    image = file.read_bytes()
    return [struct.unpack_from("<Q", image, page * PAGE + TRANSACTION)[0] for page in (0, 1)]


def renumber(file: Path, page: int, transaction: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(page * PAGE + TRANSACTION)
        opened.write(struct.pack("<Q", transaction))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a directory whose last write was a frame; tests leave it as it is."""
    path = tmp_path_factory.mktemp("newest") / "data"
    with Directory.lock(path) as directory:
        directory.create(IDENTITY)
        disk = directory.open()
        store = open_store(disk)
        force(store, deposits(1))
        for _ in range(300):
            force(store, deposits(1)[1:])
        check(store)
        disk.close()
    return path


def test_a_flipped_bit_in_the_number_of_a_write_never_hides_the_last_one(path: Path) -> None:
    """W4: an acknowledged record that is gone without a trace would be the worst of all."""
    file = path / STORE / "data.mdb"
    numbers = transactions(file)
    for page, bit in product((0, 1), range(1, 64)):
        flipped = numbers[page] ^ (1 << bit)
        renumber(file, page, flipped)
        hides = (flipped > numbers[1 - page]) != (numbers[page] > numbers[1 - page])

        assert is_newest(file) is not hides
        renumber(file, page, numbers[page])
    assert is_newest(file)


def test_a_start_refuses_a_directory_that_hides_its_last_force(path: Path) -> None:
    """W4: though every page, digest, count and sum of the older state is in order."""
    file = path / STORE / "data.mdb"
    numbers = transactions(file)
    older = numbers.index(min(numbers))
    renumber(file, older, max(numbers) + 1)

    with (
        Directory.lock(path) as directory,
        pytest.raises(DamagedDirectory, match="hides the last force"),
    ):
        directory.open()
    renumber(file, older, min(numbers))


def test_an_environment_is_the_newest_after_every_write(tmp_path: Path) -> None:
    """W4, W6: from its birth on; deletions and tables of any size make no difference."""
    (tmp_path / "data.mdb").touch()
    file = tmp_path / "data.mdb"
    assert is_newest(file)
    disk = LmdbDisk(tmp_path)
    assert is_newest(file)
    for number in range(1, 400):
        key = number.to_bytes(8, "big")
        changes = [("log", key, bytes(number * 7)), ("orders", key, b"order")]
        if number % 50 == 0:  # as the registry of the coordinator does
            changes += [("log", old.to_bytes(8, "big"), None) for old in range(1, number)]  # type: ignore[misc]
        disk.write(changes)
        disk.write([("meta", b"only the tables", key)])
        assert is_newest(file)
    disk.close()
    check_pages(file)


@pytest.mark.parametrize("is_compact", [False, True])
def test_a_copy_is_as_new_as_its_original(path: Path, tmp_path: Path, is_compact: bool) -> None:
    """W4: a backup made by LMDB."""
    (tmp_path / "copy").mkdir()
    with lmdb.open(str(path / STORE), max_dbs=32) as original:
        original.copy(str(tmp_path / "copy"), compact=is_compact)

    check_pages(tmp_path / "copy" / "data.mdb")


@pytest.mark.parametrize("content", [b"", bytes(100), bytes(9000), b"\xff" * 9000])
def test_what_is_no_lmdb_file_is_not_this_modules_business(tmp_path: Path, content: bytes) -> None:
    """W4: other checks name it."""
    (tmp_path / "data.mdb").write_bytes(content)

    assert is_newest(tmp_path / "data.mdb")


def test_the_log_is_found_among_more_tables_than_a_page_holds(tmp_path: Path) -> None:
    """W4: the table of tables is a tree then."""
    with lmdb.open(str(tmp_path), max_dbs=201) as many:
        tables = [many.open_db(f"{number:03} of them".encode()) for number in range(200)]
        log = many.open_db(b"log")
        for lsn in range(1, 4):
            with many.begin(write=True) as write:
                write.put(lsn.to_bytes(8, "big"), b"frame", db=log)
                write.put(b"key", bytes(lsn), db=tables[lsn])
    file = tmp_path / "data.mdb"
    numbers = transactions(file)
    assert is_newest(file)
    renumber(file, numbers.index(min(numbers)), max(numbers) + 1)

    assert not is_newest(file)


@pytest.mark.parametrize("is_older", [True, False])
def test_a_tree_that_goes_in_circles_has_no_end_of_the_log(
    path: Path, tmp_path: Path, is_older: bool
) -> None:
    """W4: looking for it ends all the same; hidden in the newer state, the start is refused."""
    image = bytearray((path / STORE / "data.mdb").read_bytes())
    numbers = transactions(path / STORE / "data.mdb")
    number = numbers.index(min(numbers) if is_older else max(numbers))
    (root,) = struct.unpack_from("<Q", image, number * PAGE + ROOT)
    node = PAGE - 8  # the one node of the page, its child is the page itself
    struct.pack_into("<QHHHH", image, root * PAGE, root, 0, BRANCH, 18, node)
    struct.pack_into("<H", image, root * PAGE + 16, node)
    struct.pack_into("<HHHH", image, root * PAGE + node, root & 0xFFFF, root >> 16, 0, 0)
    (tmp_path / "data.mdb").write_bytes(image)

    assert is_newest(tmp_path / "data.mdb") is is_older


def test_after_a_failed_force_the_older_meta_page_may_know_more(path: Path) -> None:
    """E4: LMDB takes a meta page back by its number alone, and nobody was told of that force."""
    file = path / STORE / "data.mdb"
    marker = file.with_name(FORCE_FAILED)
    numbers = transactions(file)
    older = numbers.index(min(numbers))
    renumber(file, older, max(numbers) + 1)
    marker.touch()
    check_pages(file)
    renumber(file, older, min(numbers))

    with Directory.lock(path) as directory:
        disk = directory.open()
        disk.write([("meta", b"next", b"force")])
        disk.close()
    assert not marker.exists()
