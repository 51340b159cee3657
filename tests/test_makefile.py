"""What `make` does for somebody who has just cloned the project."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a place where nothing is installed yet."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def planned(clone: Path, target: str) -> str:
    """Return what `make` would run."""
    command = ["make", "--dry-run", "--no-print-directory", target]
    return subprocess.run(command, cwd=clone, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("target", ["run", "demo"])
def test_a_first_look_does_not_wait_for_what_only_tests_need(clone: Path, target: str) -> None:
    """Issue 2, item 9: from a fresh clone."""
    steps = planned(clone, target)

    assert "install" in steps
    assert "[test]" not in steps


@pytest.mark.parametrize("target", ["lint", "part-units"])
def test_who_tests_gets_what_tests_need(clone: Path, target: str) -> None:
    """Each part can be run alone from a fresh clone."""
    assert "-e '.[test]'" in planned(clone, target)
