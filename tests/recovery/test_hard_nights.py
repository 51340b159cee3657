"""What people type at three in the morning: every answer names thing, place and remedy."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from exchange.coordinator.registry import ClusterFounded
from recovery.command import cli
from recovery.terminal import os_sentence
from tests.recovery.cluster import Cluster
from tests.recovery.test_rebirth import a_coordinator

ROOT = Path(__file__).parent.parent.parent
VERBS = [
    ["inspect", "DIR"],
    ["verify", "DIR"],
    ["log", "DIR"],
    ["timeline", "2-2", "DIR"],
    ["bisect", "DIR", "--invariant", "audit"],
    ["bisect", "DIR", "--invariant", "ledger"],
    ["salvage", "DIR", "--to", "NEW"],
    ["replay", "DIR", "--to", "NEW"],
    ["dump", "DIR"],
    ["export", "DIR", "trades"],
    ["archive", "DIR", "--before", "5", "--to", "NEW"],
    ["resolve", "DIR", "--plan", "NEW"],
    ["resolve", "2-2", "DIR", "--abort", "--reason", "x"],
    ["forget", "2-2", "DIR", "--reason", "x"],
    ["recover-node", "--node", "1", "--to", "NEW", "DIR"],
    ["recover-node", "--accept", "DIR", "DIR"],
]
WRITES = [
    ["export", "DIR", "trades", "--file", "NEW/x"],
    ["dump", "DIR", "--file", "NEW/x"],
    ["resolve", "DIR", "--plan", "NEW/x"],
    ["archive", "DIR", "--before", "5", "--to", "/proc/x"],
    ["salvage", "DIR", "--to", "/proc/x"],
    ["replay", "DIR", "--to", "/proc/x"],
    ["recover-node", "--node", "2", "--to", "/proc/x", "DIR"],
]


def run(words: list[str], path: Path, tmp_path: Path) -> tuple[int, str]:
    """Run a verb; an exception that nobody caught fails the test."""
    known = {"DIR": str(path), "NEW": str(tmp_path / "new"), "NEW/x": str(tmp_path / "no" / "x")}
    result = CliRunner().invoke(cli, [known.get(word, word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_nothing_there_is_a_usage_error(words: list[str], tmp_path: Path) -> None:
    """Interfaces 5: 2 is usage; it names the path and leaves nothing behind."""
    code, output = run(words, tmp_path / "nowhere", tmp_path)

    assert code == 2, output
    assert str(tmp_path / "nowhere") in output
    assert "give " in output
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("words", VERBS[:-1], ids=" ".join)
def test_a_coordinator_is_named_as_such(words: list[str], tmp_path: Path) -> None:
    """Interfaces 5."""
    path = a_coordinator(tmp_path / "coordinator", ClusterFounded("c"))
    code, output = run(words, path, tmp_path)

    assert code == 2, output
    assert "coordinator; it has no trades" in output


@pytest.mark.parametrize("words", WRITES, ids=" ".join)
def test_a_place_that_cannot_be_written_to_is_named(
    words: list[str], traded: Cluster, tmp_path: Path
) -> None:
    """Issue, item 8."""
    code, output = run(words, traded.paths[0], tmp_path)

    assert code == 1, output
    assert "; " in output or "Could not open file" in output
    assert "/x" in output


@pytest.mark.parametrize("words", VERBS[:-2], ids=" ".join)
@pytest.mark.parametrize("size", [0, 5000])
def test_a_cut_file_is_damage_everywhere(
    words: list[str], size: int, traded: Cluster, tmp_path: Path
) -> None:
    """W4."""
    data = traded.paths[0] / "store" / "data.mdb"
    data.write_bytes(data.read_bytes()[:size])
    code, output = run(words, traded.paths[0], tmp_path)

    assert code == 4, output


@pytest.mark.parametrize("verb", ["inspect", "verify", "log", "dump"])
def test_swapped_stores_are_told_apart(verb: str, traded: Cluster) -> None:
    """C3: the file `identity` and the store inside must agree."""
    one, two = (path / "store" for path in traded.paths)
    one.rename(traded.paths[0] / "other")
    two.rename(traded.paths[0] / "store")
    (traded.paths[0] / "other").rename(two)
    result = CliRunner().invoke(cli, [verb, str(traded.paths[0])])

    assert result.exit_code == 4
    assert "node 2" in result.output


def test_a_reader_that_hangs_up_ends_it_quietly(traded: Cluster) -> None:
    """`log | head`: no traceback."""
    command = f"{sys.executable} -m recovery.command log {traded.paths[0]} -o jsonl | head -c 1"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, check=True)

    assert done.stderr == b""


# Who runs the tests in the background has had SIGINT ignored, and that is inherited.
AS_AT_A_TERMINAL = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from recovery.command import main
main()
"""


def test_an_interrupt_ends_it_with_130(traded: Cluster) -> None:
    """Interfaces 4."""
    words = ["log", str(traded.paths[0]), "--follow", "-o", "jsonl"]
    with subprocess.Popen(
        [sys.executable, "-c", AS_AT_A_TERMINAL, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()

    assert process.returncode == 130
    assert b"Traceback" not in told


def test_what_the_system_refuses_has_a_remedy() -> None:
    """Issue, item 8."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "there")

    assert os_sentence(full).startswith("there: No space left on device; make room")
    assert os_sentence(OSError("odd")) == "odd; check the path and the disk"
