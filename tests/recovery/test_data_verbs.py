"""The verbs that make data, through the command line (interfaces 5)."""

import errno
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from recovery.command import cli
from recovery.data_verbs import parse_moment
from recovery.terminal import Refused
from tests.recovery.cluster import Cluster
from tests.recovery.test_salvage import destroy_frame


def run(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def test_replay_builds_what_verify_accepts(traded: Cluster, tmp_path: Path) -> None:
    """Interfaces 5."""
    run("replay", traded.paths[0], "--until", "9", "--to", tmp_path / "then")
    run("verify", tmp_path / "then")
    run("replay", traded.paths[0], "--to", tmp_path / "then", code=1)
    run("replay", traded.paths[0], "--until", "9999", "--to", tmp_path / "x", code=1)
    run("replay", traded.paths[0], "--until", "yesterday", "--to", tmp_path / "x", code=2)
    run("replay", tmp_path, "--to", tmp_path / "x", code=2)
    now = "2026-03-01T12:00:00Z"
    result = run("replay", traded.paths[0], "--until", now, "--to", tmp_path / "y", "-o", "json")
    assert json.loads(result.output)["left_out"] == 0


def test_dump_and_load_carry_a_log(traded: Cluster, tmp_path: Path) -> None:
    """Interfaces 5."""
    run("dump", traded.paths[0], "--file", tmp_path / "dump")
    result = run("load", tmp_path / "dump", "--to", tmp_path / "new", "-o", "json")
    assert json.loads(result.output)["is_same"]
    run("verify", tmp_path / "new")
    (tmp_path / "dump").write_text("nonsense")
    run("load", tmp_path / "dump", "--to", tmp_path / "other", code=2)


@pytest.mark.parametrize("what", ["orders", "fills", "trades"])
def test_export_writes_lines_and_csv(traded: Cluster, tmp_path: Path, what: str) -> None:
    """Interfaces 5."""
    lines = run("export", traded.paths[0], what).stdout.splitlines()
    run("export", traded.paths[0], what, "--format", "csv", "--file", tmp_path / "x.csv")
    assert len((tmp_path / "x.csv").read_text().splitlines()) == len(lines) + 1
    run("export", traded.paths[0], what, "--format", "parquet", code=2)


def test_archive_moves_and_verify_follows(traded: Cluster, tmp_path: Path) -> None:
    """Interfaces 5."""
    result = run("archive", traded.paths[0], "--before", "9", "--to", tmp_path / "old")
    assert "the log begins behind LSN 8" in result.output
    run("verify", *traded.paths[:1], "--archive", tmp_path / "old")
    run("archive", traded.paths[0], "--before", "90d", "--to", tmp_path / "old")
    run("archive", traded.paths[0], "--before", "soon", "--to", tmp_path / "old", code=2)


def test_salvage_says_what_is_lost(traded: Cluster, tmp_path: Path) -> None:
    """Interfaces 5: listing what is lost."""
    lsn = destroy_frame(traded.paths[1], 4)
    result = run("salvage", traded.paths[1], "--to", tmp_path / "new", code=4)
    assert f"lost    LSN {lsn} to {lsn}" in result.output
    run("verify", tmp_path / "new")


def test_bisect_names_the_record(traded: Cluster) -> None:
    """Interfaces 5."""
    run("bisect", traded.paths[0], "--invariant", "ledger")
    run("bisect", traded.paths[0], "--invariant", "nonsense", code=2)
    result = run("bisect", traded.paths[0], "--invariant", "audit", "-o", "json")
    assert json.loads(result.output)["holds"]


def test_a_moment_is_an_lsn_or_a_time_with_its_zone() -> None:
    """Bad input."""
    assert parse_moment("120") == (120, None)
    assert parse_moment("1970-01-01T00:00:01Z") == (None, 1_000_000)
    for text in ("1970-01-01T00:00:01", "", "-5", "x", "9" * 30):
        with pytest.raises(Refused):
            parse_moment(text)


def test_an_export_that_fails_leaves_no_half_file(
    traded: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue, item 6: nobody could tell it from a whole one."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("recovery.export.write_csv", full)
    file = tmp_path / "x.csv"
    words = ["export", str(traded.paths[0]), "trades", "--format", "csv", "--file", str(file)]
    result = CliRunner().invoke(cli, words)

    assert result.exit_code == 1
    assert f"{file}: No space left on device; make room" in result.output
    assert not file.exists()
