"""Killed at any crash point of the store, a node comes back with all that it had said."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exchange.domain.units import Lsn, Micros
from exchange.store import crash
from exchange.store.directory import Directory
from exchange.store.store import Store
from tests.exchange.store.scene import IDENTITY, check, deposits, force

ROOT = Path(__file__).parents[3]
FRAMES = 11  # two of them behind the last checkpoint
AT_BIRTH = [
    "directory_locked_store_absent",
    "new_store_forced_not_renamed",
    "new_store_renamed_directory_unforced",
    "store_created_identity_file_absent",
]
AT_START = [
    "directory_locked_store_absent",
    "tables_loaded_log_not_redone",
    "frame_redone",
    "frame_redone:2",
    "log_redone_epoch_unforced",
    "epoch_forced_nobody_told",
]
AT_WORK = [
    f"{name}:{passage}"
    for name in (
        "frame_encoded_unforced",
        "write_begun_uncommitted",
        "frame_forced_effects_held",
        "checkpoint_encoded_unforced",
        "checkpoint_forced_effects_held",
        "checkpoint_forced_entries_kept",
    )
    for passage in (1, 2)
]
ELSEWHERE = {"ballast_released"}  # tests/exchange/store/test_lmdb_disk.py, on a full disk


def run(path: Path, frames: int, point: str = "") -> tuple[int, list[str]]:
    """Run the victim; return how it ended and what it said."""
    command = [sys.executable, "-m", "tests.exchange.store.victim", str(path), str(frames)]
    environment = {**os.environ, "EXCHANGE_CRASH_POINT": point}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode, done.stdout.splitlines()


def check_survives(path: Path, said: list[str]) -> None:
    """Start on the directory as it was left, and hold it against what was said."""
    with Directory.lock(path) as directory:
        if directory.identity() is None:
            assert not said, "it spoke, and its data is gone"
            directory.create(IDENTITY)
        disk = directory.open()
        store = Store.open(disk, IDENTITY)
        for line in said:
            word, value, *digest = line.split()
            if word == "epoch":
                assert store.state.scalars.epoch >= int(value)
            else:
                shown = store.digest_at(Lsn(int(value)))
                assert shown is not None, "what was acknowledged is lost"
                assert shown.hex() == digest[0]
        epoch = store.state.scalars.epoch
        assert store.boot(boot_id=b"again", ts=Micros(2)) == epoch + 1
        is_new = not store.state.scalars.accounts
        force(store, deposits(2) if is_new else deposits(2)[1:])
        check(store)
        disk.close()


@pytest.mark.parametrize("point", AT_BIRTH)
def test_killed_at_birth_a_node_is_whole_or_not_yet_born(tmp_path: Path, point: str) -> None:
    """W6: temporary name, force, rename; a second start finds one or the other."""
    path = tmp_path / "data"
    code, said = run(path, FRAMES, point)

    assert (code, said) == (-signal.SIGKILL, [])
    check_survives(path, said)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Make a directory with a tail to redo."""
    path = tmp_path_factory.mktemp("killed") / "data"
    return path, run(path, FRAMES)[1]


@pytest.mark.parametrize("point", AT_START)
def test_killed_while_starting_a_node_starts_again(
    tmp_path: Path, point: str, killed: tuple[Path, list[str]]
) -> None:
    """W4, W6: redo and epoch bump, twice over."""
    path, said = tmp_path / "data", killed[1]
    shutil.copytree(killed[0], path)
    for _ in range(2):
        code, more = run(path, FRAMES, point)
        assert (code, more) == (-signal.SIGKILL, [])

    check_survives(path, said)


@pytest.mark.parametrize("point", AT_WORK)
def test_killed_at_work_a_node_has_all_it_said(tmp_path: Path, point: str) -> None:
    """W2, W5, E4, faults 2.5: before, within and after the force, with and without a checkpoint."""
    path = tmp_path / "data"
    code, said = run(path, FRAMES, point)

    assert code == -signal.SIGKILL
    check_survives(path, said)


def test_every_crash_point_of_the_store_is_killed_at() -> None:
    """W6: no point is named and never tried."""
    source = "".join(path.read_text() for path in (ROOT / "exchange" / "store").glob("*.py"))
    in_store = {name for name in crash.CRASH_POINTS if source.count(f'"{name}"') > 1}
    tried = {point.partition(":")[0] for point in [*AT_BIRTH, *AT_START, *AT_WORK]}

    assert in_store == tried | ELSEWHERE


def test_the_document_has_a_row_for_every_crash_point() -> None:
    """docs/recovery.md and the list are the same."""
    text = (ROOT / "docs" / "recovery.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+?) \| [^|]+ \|$", text, re.MULTILINE)

    assert dict(rows) == crash.CRASH_POINTS
    assert len(rows) == len(crash.CRASH_POINTS)


def test_a_crash_point_does_nothing_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """W6."""
    passed: list[str] = []
    crash.crash_point("frame_redone")
    monkeypatch.setattr(crash, "hook", passed.append)
    crash.crash_point("frame_redone")

    assert passed == ["frame_redone"]
    with pytest.raises(AssertionError):
        crash.crash_point("a point that is in no list")


def test_a_setting_that_names_no_point_is_an_error() -> None:
    """A misspelt crash point would let a kill test pass without a kill."""
    assert crash.hook_from("") is None
    assert crash.hook_from("frame_redone:3") is not None
    for setting in ("nonsense", "frame_redone:x", "frame_redone:-1"):
        with pytest.raises(ValueError, match="names no crash point"):
            crash.hook_from(setting)


def test_the_kth_passage_is_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """`name:k` kills at the k-th passage, and at none before or after."""
    kills: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _, number: kills.append(number))
    hook = crash.KillAt("frame_redone", 2)

    counts = []
    for name in ("frame_redone", "epoch_forced_nobody_told", "frame_redone", "frame_redone"):
        hook(name)
        counts.append(len(kills))

    assert counts == [0, 0, 1, 1]
