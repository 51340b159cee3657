"""Verify finds what is wrong, names it, and goes on."""

import mmap
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from exchange.domain.orders import Account
from exchange.engine.state import State
from exchange.store.directory import STORE, Directory, read_only
from exchange.store.errors import StoreError
from exchange.store.frames import Frame, Identity, log_key, read_frame, seal_frame
from exchange.store.meta import Checkpoint, TableSum, checkpoint_change, read_checkpoint
from exchange.store.store import Store
from exchange.store.tables import CODECS, Kind, digest_sum, seal
from exchange.store.verify import fold, table_problems, verify, verify_file
from fuzz.disk import SimulatedDisk
from tests.exchange.store.scene import (
    EAGER,
    IDENTITY,
    PEER,
    check,
    entries,
    force_all,
    open_store,
    traded,
)

FLIPS = 400  # of one byte each, spread over all that is used of the file


def a_store(size: int = 20) -> tuple[SimulatedDisk, Store]:
    disk = SimulatedDisk()
    store = open_store(disk, EAGER)
    force_all(store, traded(), size=size)
    check(store)
    return disk, store


def codes(disk: SimulatedDisk) -> list[str]:
    return sorted({problem.code for problem in verify(disk, IDENTITY)})


def remake(disk: SimulatedDisk, table: str) -> None:
    """Make count and sum of a table right again, as an able forger would."""
    rows = [row for _, row in disk.scan(table)]
    checkpoint = read_checkpoint(disk, IDENTITY)
    sums = dict(checkpoint.tables)
    sums[table] = TableSum().plus(count=len(rows), digests=digest_sum(rows))
    disk.write([checkpoint_change(Checkpoint(checkpoint.lsn, checkpoint.digest, sums))])


def test_an_intact_store_has_no_problems() -> None:
    """W4, W5."""
    disk, store = a_store()

    assert codes(disk) == []
    assert entries(fold(disk, IDENTITY))["orders"] == entries(store.state)["orders"]
    assert codes(SimulatedDisk()) == []


def test_every_broken_frame_is_listed() -> None:
    """W4: verify goes on where a start refuses."""
    disk, _ = a_store()
    keys = [key for key, _ in disk.scan("log")]
    for key in keys[1::2]:
        disk.flip_bit("log", key, 300)

    broken = [found for found in verify(disk, IDENTITY) if found.code == "chain_broken"]

    assert {found.place for found in broken} >= {
        f"LSN {int.from_bytes(key, 'big')}" for key in keys[1::2]
    }
    assert all(found.severity == "damage" and found.remedy for found in broken)


def test_a_missing_frame_is_a_gap() -> None:
    """W4."""
    disk, _ = a_store()
    disk.write([("log", log_key(21), None)])

    (gap,) = [found for found in verify(disk, IDENTITY) if found.code == "lsn_gap"]

    assert (gap.place, gap.detail) == ("LSN 21", "LSN 21 to 40 are missing")


def test_a_log_that_ends_before_the_checkpoint_is_told() -> None:
    """W4: tables of another, longer log."""
    disk, _ = a_store()
    *_, (last, _) = disk.scan("log")
    disk.write([("log", last, None)])

    assert codes(disk) == ["log_behind_checkpoint"]


def test_a_damaged_row_is_named() -> None:
    """W5: table and key."""
    disk, _ = a_store()
    key, _ = next(disk.scan("fills"))
    disk.flip_bit("fills", key, 80)

    (found,) = [found for found in verify(disk, IDENTITY) if found.code == "table_damaged"]

    assert found.place == f"table fills, key {CODECS['fills'].unpack(key)[0]} 1"


def test_a_row_that_is_gone_is_missed() -> None:
    """W5: counts and sums."""
    disk, _ = a_store()
    key, row = next(disk.scan("accounts"))
    disk.write([("accounts", key, None)])
    assert codes(disk) == ["table_count"]

    disk.write([("accounts", key, row), ("done", b"\0" * 8, seal(b"\0" * 8, "of nobody"))])
    assert codes(disk) == ["table_count", "table_damaged"]


def test_an_old_row_is_noticed_though_its_digest_is_right() -> None:
    """W5: the sum of the digests; a row of an older checkpoint proves itself, but not here."""
    disk, _ = a_store()
    key, row = next(disk.scan("accounts"))
    account: Account = CODECS["accounts"].open(key, row)
    account.order_seq -= 1  # type: ignore[assignment]  # as it was before
    disk.write([("accounts", key, seal(key, account))])

    (found,) = table_problems(disk, IDENTITY)

    assert found.code == "table_count"
    assert "old or foreign" in found.detail


def test_a_row_of_meta_that_is_damaged_lost_or_unknown_is_named() -> None:
    """W4: whose store it is, and where its checkpoint stands, is damaged like all else."""
    for key, row in list(a_store()[0].scan("meta")):
        gone, moved, rotten = (a_store()[0] for _ in range(3))
        gone.write([("meta", key, None)])
        moved.write([("meta", key, None), ("meta", b"j" + key[1:], row)])
        rotten.flip_bit("meta", key, 40)

        assert codes(gone)
        assert "table_damaged" in codes(moved)
        assert "table_damaged" in codes(rotten)


def test_the_store_of_another_node_is_told() -> None:
    """C3."""
    disk, _ = a_store()

    assert {found.code for found in verify(disk, Identity("test", PEER, b"other"))} >= {
        "other_identity"
    }


@pytest.mark.parametrize(
    "forge",
    [
        lambda key, row: (key, None),
        lambda key, row: (key[:-1] + bytes([key[-1] ^ 64]), row),
        lambda key, row: (key, CODECS["accounts"].open(key, row)),
    ],
    ids=["gone", "moved", "changed"],
)
def test_a_forged_table_is_not_the_fold_of_the_log(
    forge: Callable[[bytes, bytes], tuple[bytes, object]],
) -> None:
    """E2, W5: even with all digests, counts and sums made right again."""
    disk, _ = a_store()
    key, row = next(disk.scan("accounts"))
    to, entry = forge(key, row)
    if isinstance(entry, Account):
        entry.available["USD"] += 1  # type: ignore[index,assignment]
        disk.write([("accounts", key, seal(key, entry))])
    else:
        account = CODECS["accounts"].open(key, row)
        disk.write([("accounts", key, None)])
        disk.write([("accounts", to, seal(to, account) if entry else None)])
    remake(disk, "accounts")

    assert codes(disk) == ["table_differs"]


def test_a_record_that_cannot_follow_is_our_own_fault() -> None:
    """E2: the chain is right, and yet the log cannot be applied."""
    disk = SimulatedDisk()
    store = open_store(disk)
    force_all(store, traded(), size=1000)
    ((key, value),) = disk.scan("log")
    frame: Frame = read_frame(key, value)
    cut = Frame(1, frame.first_lsn, 1, frame.epoch, frame.ts, {}, frame.records[-1:])
    empty = SimulatedDisk()
    again = open_store(empty)
    forged, digest = seal_frame(cut, again.proof.digest)
    empty.write([("log", key, forged), checkpoint_change(Checkpoint(cut.last_lsn, digest, {}))])

    assert codes(empty) == ["record_impossible"]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a small data directory with a checkpoint and a tail."""
    path = tmp_path_factory.mktemp("pristine") / "data"
    with Directory.lock(path) as directory:
        directory.create(IDENTITY)
        disk = directory.open()
        force_all(open_store(disk, EAGER), traded()[:90], size=30)
        force_all(open_store(disk), traded()[90:], size=30)
        disk.close()
    return path


def contents(path: Path) -> list[list[tuple[bytes, bytes]]]:
    disk = read_only(path)
    try:
        assert not list(verify(disk, IDENTITY))
        return [list(disk.scan(table)) for table in ("meta", "log", *CODECS)]
    finally:
        disk.close()


def test_a_flipped_byte_anywhere_is_found_or_lies_in_unused_space(
    pristine: Path, tmp_path: Path
) -> None:
    """W4, W5: pages first, then digests; what is found by neither changes nothing that is read."""
    path, dice = tmp_path / "data", random.Random(20)
    shutil.copytree(pristine, path)
    file, expected = path / STORE / "data.mdb", contents(pristine)
    found = unused = 0
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as image:
        used = [page for page in range(0, len(image), 4096) if any(image[page : page + 4096])]
        for number in range(FLIPS):
            place = used[number % len(used)] + dice.randrange(4096)
            image[place] ^= 1 << dice.randrange(8)
            before = image[place]
            try:
                if list(verify_file(file)) or is_damaged(path):
                    found += 1
                else:
                    assert contents(path) == expected, f"byte {place} changed what is read"
                    unused += 1
            finally:
                assert image[place] == before, "verify writes nothing"
                image[:] = (pristine / STORE / "data.mdb").read_bytes()

    assert found + unused == FLIPS
    assert found > FLIPS // 20


def is_damaged(path: Path) -> bool:
    try:
        disk = read_only(path)
    except StoreError:
        return True
    try:
        return bool(list(verify(disk, IDENTITY)))
    finally:
        disk.close()


def test_a_node_never_starts_on_a_flipped_byte_that_matters(pristine: Path, tmp_path: Path) -> None:
    """W4: a start refuses, or what was flipped is not read by it."""
    dice, expected = random.Random(21), None
    for number in range(60):
        path = tmp_path / f"data{number}"
        shutil.copytree(pristine, path)
        if number:
            image = bytearray((path / STORE / "data.mdb").read_bytes())
            place = dice.randrange(len(image))
            image[place] ^= 1 << dice.randrange(8)
            (path / STORE / "data.mdb").write_bytes(image)
        with Directory.lock(path) as directory:
            state = started(directory)
        if isinstance(state, StoreError):
            assert (state.exit_code, bool(state.remedy)) == (4, True)
            continue
        resident = {
            name: entries(state)[name] for name in CODECS if CODECS[name].kind is Kind.RESIDENT
        }
        expected = expected or resident
        assert resident == expected


def started(directory: Directory) -> State | StoreError:
    """Start on a directory, or return why not."""
    try:
        disk = directory.open()
    except StoreError as error:
        return error
    try:
        return Store.open(disk, IDENTITY).state
    except StoreError as error:
        return error
    finally:
        disk.close()


def test_verifying_makes_no_file_and_changes_none(pristine: Path, tmp_path: Path) -> None:
    """W6: safe beside a running node."""
    path = tmp_path / "data"
    shutil.copytree(pristine, path)
    (path / STORE / "lock.mdb").unlink()
    before = {name: name.read_bytes() for name in path.rglob("*") if name.is_file()}

    contents(path)

    assert {name: name.read_bytes() for name in path.rglob("*") if name.is_file()} == before
