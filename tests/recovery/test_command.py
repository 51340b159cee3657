"""The command line of `exchange-recover`: output, exit codes, help (interfaces 4 and 5)."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exchange.store.frames import FORMAT_VERSION
from recovery.command import cli
from tests.recovery.cluster import Cluster


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def test_inspect_fits_one_screen(traded: Cluster) -> None:
    """Issue: one screen for `inspect`; the last lines are the verdict and the next command."""
    result = run("inspect", *traded.paths)

    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert len(lines) <= 24
    assert lines[-2] == "2 directories: clean, nothing in doubt."
    assert lines[-1].startswith("next: exchange-recover verify ")


def test_inspect_as_json_carries_the_proof(doubtful: Cluster) -> None:
    """Issue, item 2: the same in JSON, the verdict in those words."""
    result = run("inspect", *doubtful.paths, "-o", "json")

    assert result.exit_code == 6
    answer = json.loads(result.output)
    (verdict,) = answer["in_doubt"]
    assert set(verdict) >= {"trade_id", "proposer", "decider", "verdict", "records", "needs"}
    assert verdict["verdict"] == "commit proven"
    assert verdict["trade_id"].startswith("2-")
    assert [witness["type"] for witness in verdict["records"]] == ["TradeOffered", "TradeAccepted"]


def test_verify_of_a_killed_cluster_is_clean(traded: Cluster) -> None:
    """Interfaces 5."""
    assert run("verify", *traded.paths).exit_code == 0
    assert json.loads(run("verify", *traded.paths, "-o", "json").output)["problems"] == []


def test_damage_is_exit_code_4(traded: Cluster) -> None:
    """Interfaces 5."""
    file = traded.paths[0] / "store" / "data.mdb"
    file.write_bytes(file.read_bytes()[:5_000])

    for verb in ("inspect", "verify"):
        result = run(verb, *traded.paths)
        assert result.exit_code == 4
        assert "page_damaged" in result.output
        assert "->" in result.output


def test_usage_is_exit_code_2(tmp_path: Path) -> None:
    """Interfaces 4."""
    assert run("inspect").exit_code == 2
    assert run("inspect", tmp_path).exit_code == 2
    assert run("nonsense").exit_code == 2


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_every_verb_has_two_examples(verb: str) -> None:
    """Interfaces 4."""
    output = run(verb, "--help").output

    assert "Examples:" in output
    assert output.count(f"exchange-recover {verb} ") >= 2


def test_the_version_names_the_store_format() -> None:
    """Interfaces 4."""
    assert f"store format {FORMAT_VERSION}" in run("--version").output


def test_a_log_is_printed_counted_and_filtered(traded: Cluster) -> None:
    """Interfaces 5."""
    node = traded.paths[1]
    assert "TradeSettled" in run("log", node).output
    rows = [json.loads(line) for line in run("log", node, "-o", "jsonl").output.splitlines()]
    assert [row["lsn"] for row in rows] == list(range(1, len(rows) + 1))
    assert json.loads(run("log", node, "--stats", "-o", "json").output)["records"] == len(rows)
    assert run("log", node, "--type", "Nonsense").exit_code == 2
    assert run("log", node / "nowhere").exit_code == 2


def test_a_timeline_tells_both_nodes(doubtful: Cluster) -> None:
    """Interfaces 5."""
    result = run("timeline", "2-2", *doubtful.paths)

    assert result.exit_code == 6
    assert "node 1 LSN" in result.output
    assert "COMMIT PROVEN" in result.output
    assert run("timeline", "2-999", *doubtful.paths).exit_code == 1
    assert run("timeline", "x", *doubtful.paths).exit_code == 2


def test_doubt_is_resolved_by_plan_and_apply(doubtful: Cluster, tmp_path: Path) -> None:
    """Interfaces 5."""
    plan = tmp_path / "plan.json"
    assert run("resolve", *doubtful.paths, "--plan", plan).exit_code == 6
    assert run("resolve", "--apply", plan).exit_code == 0
    assert run("inspect", *doubtful.paths).exit_code == 0
    assert run("resolve", "--apply", plan).exit_code == 1


def test_an_operator_decides_and_forgets(unhandled: Cluster) -> None:
    """Interfaces 5."""
    one, two = unhandled.paths
    decided = run("resolve", "2-2", two, "--abort", "--operator", "ann", "--reason", "node 1 burnt")
    assert decided.exit_code == 0, decided.output
    assert "HeuristicDecision" in decided.output
    assert run("inspect", two).exit_code == 6
    assert run("forget", "2-2", one, two, "--reason", "seen").exit_code == 1
    assert run("resolve", "2-2", two, "--abort", "--commit").exit_code == 2
    assert run("resolve", two, "--abort", "--reason", "x").exit_code == 2


def test_a_directory_in_use_is_exit_code_5(market: Cluster, tmp_path: Path) -> None:
    """Interfaces 5: only for writing verbs."""
    plan = tmp_path / "plan.json"
    assert run("resolve", *market.paths, "--plan", plan).exit_code == 0
    assert run("resolve", "--apply", plan).exit_code == 5
    assert run("inspect", *market.paths).exit_code == 0
