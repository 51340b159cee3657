"""Commands begin quietly, and end quietly."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from exchange import start

ROOT = Path(__file__).parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
# Stands for a command whose imports are under way when Ctrl-C comes.
SLOW = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\ndef main(): raise AssertionError\n"


@pytest.mark.parametrize("place", SCRIPTS.values())
def test_every_command_begins_here_and_can_be_imported(place: str) -> None:
    """The names in pyproject.toml are text, and so are those they lead to."""
    module, name = place.split(":")
    assert module == "exchange.start"

    (command,) = getattr(start, name).args
    assert callable(importlib.import_module(command).main)


def test_interrupt_while_a_command_is_imported_leaves_no_traceback(tmp_path: Path) -> None:
    """Interfaces 4: 130 interrupted."""
    (tmp_path / "slow.py").write_text(SLOW)
    code = "from exchange.start import start; start('slow')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (130, "")
