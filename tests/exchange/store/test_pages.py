"""A damaged file is told apart before LMDB maps it."""

from pathlib import Path

import pytest

from exchange.store.errors import DamagedDirectory
from exchange.store.lmdb_disk import LmdbDisk
from exchange.store.pages import check_pages, page_problems
from tests.exchange.store.scene import EAGER, check, force_all, open_store, traded


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "data.mdb").touch()
    disk = LmdbDisk(tmp_path)
    store = open_store(disk, EAGER)
    force_all(store, traded())
    check(store)
    disk.close()
    return tmp_path / "data.mdb"


def test_pages_that_lmdb_wrote_are_in_order(file: Path) -> None:
    """W4."""
    assert page_problems(file) == []
    check_pages(file)


@pytest.mark.parametrize("size", [0, 100, 4096, 8192, 20_000])
def test_a_truncated_file_is_damaged(file: Path, size: int) -> None:
    """W4: LMDB would crash the process at the first page that is not there."""
    with file.open("r+b") as opened:
        opened.truncate(size)

    assert page_problems(file)
    with pytest.raises(DamagedDirectory) as refused:
        check_pages(file)
    assert refused.value.exit_code == 4
    assert "data.mdb" in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"text" * 5000, bytes(65536), b"\xff" * 65536])
def test_what_is_no_database_is_damaged(tmp_path: Path, content: bytes) -> None:
    """W4."""
    (tmp_path / "data.mdb").write_bytes(content)

    assert page_problems(tmp_path / "data.mdb")
