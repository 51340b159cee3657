"""Every command of the runbook is executed, and every code it explains exists."""

import csv
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from exchange.coordinator.registry import ClusterFounded
from exchange.domain.orders import Side
from exchange.domain.units import NodeId
from recovery.command import cli
from recovery.problems import CODES
from tests.recovery.cluster import Cluster, a_market, account_of
from tests.recovery.test_rebirth import a_coordinator
from tests.recovery.test_salvage import destroy_frame

ROOT = Path(__file__).parent.parent.parent
RUNBOOK = (ROOT / "docs" / "operating.md").read_text()
_COMMAND = re.compile(r"^\$ (.*?)(?:\s+# exit (\d+))?$", re.MULTILINE)


def sections() -> dict[str, list[tuple[str, int]]]:
    """Return the commands of each section, with the exit codes they are to have."""
    found: dict[str, list[tuple[str, int]]] = {}
    for part in RUNBOOK.split("\n## ")[1:]:
        title = part.splitlines()[0]
        blocks = re.findall(r"```console\n(.*?)```", part, re.DOTALL)
        commands = [match for block in blocks for match in _COMMAND.findall(block)]
        if commands:
            found[title] = [(command.strip(), int(code or 0)) for command, code in commands]
    return found


SECTIONS = sections()


def traded(path: Path, nodes: int = 2) -> Cluster:
    cluster = a_market(path, nodes=nodes)
    cluster.put(account_of(1), Side.SELL, 10, 100)
    cluster.put(account_of(2), Side.BUY, 4, 101)
    cluster.nodes[NodeId(1)].checkpoint()
    return cluster


def clean(path: Path) -> None:
    traded(path).kill_all()


def doubtful(path: Path) -> None:
    cluster = a_market(path)
    cluster.put(account_of(1), Side.SELL, 10, 100)
    cluster.place(account_of(2), Side.BUY, 4, 101)
    cluster.deliver(2, 1)
    cluster.kill_all()


def unhandled(path: Path) -> None:
    cluster = a_market(path)
    cluster.put(account_of(1), Side.SELL, 10, 100)
    cluster.place(account_of(2), Side.BUY, 4, 101)
    cluster.kill_all()


def lost(path: Path) -> None:
    cluster = a_market(path, nodes=3)
    cluster.nodes[NodeId(1)].kill()
    shutil.copytree(path / "node1", path / "node1.old")
    cluster.nodes[NodeId(1)].start()
    cluster.link_all()
    cluster.settle()
    cluster.put(account_of(1), Side.SELL, 10, 100)
    cluster.put(account_of(2), Side.BUY, 4, 101)
    cluster.kill_all()
    shutil.rmtree(path / "node1")
    a_coordinator(path / "coordinator", ClusterFounded("test"))


def corrupted(path: Path) -> None:
    clean(path)
    destroy_frame(path / "node1", 4)


SETUPS: dict[str, Callable[[Path], None]] = {
    "A trade is in doubt for an hour": doubtful,
    "A trade is in doubt and its decider is lost": unhandled,
    "The disk is lost": lost,
    "Suspected corruption": corrupted,
}


@pytest.mark.parametrize("title", sorted(SECTIONS))
def test_every_command_of_a_section_works(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue, item 8: executed in order, with the exit codes that the page says."""
    SETUPS.get(title, clean)(tmp_path)
    monkeypatch.chdir(tmp_path)
    for command, expected in SECTIONS[title]:
        words = shlex.split(command)
        if words[0] == "exchange-recover" and not {"|", ">"} & set(words):
            result = CliRunner().invoke(cli, words[1:])
            assert result.exit_code == expected, f"{command}\n{result.output}"
        else:
            in_a_shell(command, tmp_path)


def in_a_shell(command: str, path: Path) -> None:
    """Run what is more than a verb."""
    tool = path / "bin" / "exchange-recover"
    tool.parent.mkdir(exist_ok=True)
    python = f"PYTHONPATH={ROOT} exec {sys.executable}"
    tool.write_text(f'#!/bin/sh\n{python} -m recovery.command "$@"\n')
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    line = f"set -o pipefail; PATH={tool.parent}:$PATH; {command}"
    subprocess.run(["bash", "-c", line], check=True, cwd=path, capture_output=True)


def test_the_runbook_covers_what_it_must() -> None:
    """Issue, item 8."""
    titles = " ".join(RUNBOOK.split("\n## ")).lower()
    for trouble in (
        "will not start",
        "in doubt for an hour",
        "disk is full",
        "disk is lost",
        "suspected corruption",
        "moving a node",
        "upgrading the format",
    ):
        assert trouble in titles
    assert sum(map(len, SECTIONS.values())) > 30


def test_every_verb_is_in_the_runbook() -> None:
    """Interfaces 5."""
    for verb in cli.commands:
        assert f"`{verb}`" in RUNBOOK, verb


def test_every_code_is_explained() -> None:
    """Issue, item 8: problems are rows of severity, code, place, detail, remedy."""
    table = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", RUNBOOK, re.MULTILINE))
    meanings = {code: meaning for code, (meaning, _) in CODES.items()}

    assert {code: table.get(code) for code in meanings} == meanings
    assert not {code for code in table if code.startswith("audit_")} - set(meanings)


QUERY = re.findall(r"```sql\n(.*?)```", RUNBOOK, re.DOTALL)[0]


def export_trades(path: Path, node: str, form: str) -> Path:
    file = path / f"{node}-trades.{form}"
    words = ["export", str(path / node), "trades", "--format", form, "--file", str(file)]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    return file


def test_the_query_names_columns_that_are_exported(tmp_path: Path) -> None:
    """Issue, item 6: a documented DuckDB query."""
    clean(tmp_path)
    (row,) = csv.DictReader(export_trades(tmp_path, "node1", "csv").read_text().splitlines())

    for name in re.findall(r"CAST\((\w+) AS", QUERY):
        assert name in row


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_query_adds_up_the_tapes_of_all_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Issue, item 6: over CSV and Parquet alike, and where one node has no trade."""
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    cluster = traded(tmp_path, nodes=3)
    cluster.put(account_of(2), Side.SELL, 6, 300)
    cluster.put(account_of(1, 2), Side.BUY, 12, 300)
    cluster.kill_all()
    for node in ("node1", "node2", "node3"):
        export_trades(tmp_path, node, form)
    monkeypatch.chdir(tmp_path)

    source = re.search(r"read_csv\(.*\)", QUERY)
    assert source is not None
    query = QUERY if form == "csv" else QUERY.replace(source[0], "'*trades.parquet'")
    ((symbol, _, price, volume),) = duckdb.sql(query).fetchall()
    assert (symbol, price, volume) == ("ACME", pytest.approx((10 * 1 + 6 * 3) / 16), 16)
