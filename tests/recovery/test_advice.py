"""Each hint leads on, and none leads back."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from recovery.advice import next_step, path_of, quoted
from recovery.command import cli
from recovery.inspection import Inspection
from recovery.problems import CODES, SEVERITIES, Severity, problem
from tests.recovery.cluster import Cluster

DAMAGE = [code for code in CODES if SEVERITIES.get(code, Severity.DAMAGE) is Severity.DAMAGE]


@pytest.mark.parametrize("code", DAMAGE)
def test_damage_never_leads_back_to_a_verb_that_only_looks(code: str) -> None:
    """Interfaces 5: inspect said verify, and verify said inspect."""
    found = Inspection(["a b", "c"], problems=[problem(code, "a b LSN 4", "x")])
    step = next_step(found, is_verified=True)

    assert not step.startswith(("exchange-recover inspect", "exchange-recover verify"))
    if step.startswith("exchange-recover"):
        assert "'a b'" in step or code == "store_missing"


def test_the_directory_of_a_problem_is_the_longest_that_fits() -> None:
    """A path may be the beginning of another."""
    found = problem("chain_broken", "node 1 LSN 3", "x")

    assert path_of(found, ["node", "node 1"]) == "node 1"
    assert path_of(problem("chain_broken", "nodes", "x"), ["node"]) is None
    assert quoted("node 1", "n2") == "'node 1' n2"


def test_what_is_not_there_is_a_usage_error_with_its_path(traded: Cluster, tmp_path: Path) -> None:
    """Interfaces 5: nothing was verified, so there is something to do."""
    nowhere = str(tmp_path / "nowhere")
    for verb in ("inspect", "verify"):
        result = CliRunner().invoke(cli, [verb, nowhere])

        assert result.exit_code == 2
        assert nowhere in result.output
        assert result.output.endswith("next: give the --data-dir of a node\n")


def test_a_missing_store_leads_to_the_others(traded: Cluster) -> None:
    """W4: the file beside it says which node is lost."""
    shutil.rmtree(traded.paths[0] / "store")
    result = CliRunner().invoke(cli, ["verify", str(traded.paths[0])])

    assert result.exit_code == 4
    assert "next: exchange-recover recover-node --node 1 --to NEW_DIR " in result.output


@pytest.mark.parametrize("size", [0, 100, 4096, 12_288])
def test_a_destroyed_store_ends_at_the_other_nodes(
    traded: Cluster, tmp_path: Path, size: int
) -> None:
    """Issue, the first leftover: every hint is followed until a new directory is asked for."""
    one = traded.paths[0]
    data = one / "store" / "data.mdb"
    data.write_bytes(data.read_bytes()[:size])
    run = CliRunner()
    looked = run.invoke(cli, ["inspect", str(one)])
    assert looked.exit_code == 4
    assert f"next: exchange-recover salvage {one} --to NEW_DIR" in looked.output

    salvaged = run.invoke(cli, ["salvage", str(one), "--to", str(tmp_path / "new")])
    assert salvaged.exit_code == 4
    assert "recover-node --node 1 " in salvaged.output
    assert "Traceback" not in salvaged.output
