"""Writing verbs refuse before they write (interfaces 5)."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from recovery.command import cli
from recovery.writing_verbs import VERBS
from tests.recovery.cluster import Cluster
from tests.recovery.test_reading_verbs import fingerprint


@pytest.mark.parametrize(
    "words",
    [
        ["resolve"],
        ["resolve", "--plan", "x", "--apply", "y"],
        ["resolve", "--plan", "x"],
        ["resolve", "2-2", "--abort", "--reason", "no directory"],
        ["forget", "2-2", "DIR", "--reason", ""],
        ["forget", "2-2", "DIR", "--reason", "there is no decision"],
    ],
)
def test_a_refused_verb_writes_nothing(
    traded: Cluster, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bad input."""
    monkeypatch.chdir(tmp_path)
    before = fingerprint(traded.paths)
    arguments = [str(traded.paths[1]) if word == "DIR" else word for word in words]

    assert CliRunner().invoke(cli, arguments).exit_code in (1, 2)
    assert fingerprint(traded.paths) == before
    assert not Path("x").exists()


def test_every_writing_verb_is_listed() -> None:
    """Issue, item 1."""
    assert {"resolve", "forget"} <= {verb.name for verb in VERBS}


def test_a_lost_node_is_recovered_in_two_steps(traded: Cluster, tmp_path: Path) -> None:
    """Interfaces 5; issue, item 7: it prints what could not be recovered."""
    two = str(traded.paths[1])
    new = str(tmp_path / "new")
    run = CliRunner()
    first = run.invoke(cli, ["recover-node", "--node", "1", "--to", new, two])
    assert first.exit_code == 0, first.output
    assert "NOT RECOVERED" in first.output
    look = run.invoke(cli, ["inspect", new])
    assert look.exit_code == 6
    assert "unaccepted" in look.output
    assert f"recover-node --accept {new} " in look.output
    second = run.invoke(cli, ["recover-node", "--accept", new, two])
    assert second.exit_code == 0, second.output
    assert run.invoke(cli, ["verify", new, two]).exit_code == 0
    assert run.invoke(cli, ["recover-node", "--node", "1", two]).exit_code == 2
    assert run.invoke(cli, ["recover-node", "--accept", new]).exit_code == 2


def test_what_stays_undecided_is_said(
    unhandled: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue, item 8: silence would look like success."""
    monkeypatch.chdir(tmp_path)
    run = CliRunner()
    plan = run.invoke(cli, ["resolve", str(unhandled.paths[1]), "--plan", "plan.json"])
    applied = run.invoke(cli, ["resolve", "--apply", "plan.json"])

    assert (plan.exit_code, applied.exit_code) == (6, 6)
    assert "next: start both nodes" in plan.output
    assert "0 resolved, 1 still undecided" in applied.output
