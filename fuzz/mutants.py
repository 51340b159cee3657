"""Plant each bug of `fuzz.planted` in a private copy, and see that something dies of it.

    python -m fuzz.mutants                    all of them
    python -m fuzz.mutants --chosen           the six of `make test`
    python -m fuzz.mutants mark_dropped       some of them

Every hunter of a bug has its time, of the CPU; the first that fails has caught it.  Says seed
and seconds of the clock; the exit code is 1 if a bug survives.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from math import inf
from pathlib import Path
from random import Random

import msgspec

from fuzz.draw import BIASES
from fuzz.planted import PLANTED, Planted
from fuzz.summary import rounds, say, some_seed

ROOT = Path(__file__).parent.parent
CHOSEN = (
    "acknowledge_before_force",
    "offer_applied_twice",
    "wrong_proposer",
    "hold_released_twice",
    "cancel_intent_lost",
    "idempotency_key_not_stored",
)
BROKEN = ("NameError", "ImportError", "AttributeError", "SyntaxError")
CHOSEN_SECONDS = 10.0
SECONDS = 60.0


class Caught(msgspec.Struct, frozen=True):
    """How a planted bug fared."""

    name: str
    hunter: str  # empty: it survives
    seconds: float
    what: str


def is_hunter(name: str) -> bool:
    """Tell whether a hunter is a bias of the simulator, or tests that are there."""
    return name in BIASES or (ROOT / name).exists()


def copy(root: Path) -> None:
    """Copy what is needed to run simulator and tests."""
    for name in ("exchange", "recovery", "fuzz", "tests", "docs"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)


def plant(bug: Planted, root: Path) -> None:
    """Put a bug into a copy."""
    path = root / bug.file
    text = path.read_text()
    assert text.count(bug.old) == 1, f"{bug.name}: the old text is not there exactly once"
    path.write_text(text.replace(bug.old, bug.new))


def try_bug(bug: Planted, seconds: float) -> Caught:
    """Let the hunters at one bug."""
    begun, what = time.monotonic(), ""
    with tempfile.TemporaryDirectory(prefix="planted-") as directory:
        root = Path(directory)
        copy(root)
        plant(bug, root)
        for hunter in bug.hunters:
            done = _run(hunter, root, seconds)
            lines = (done.stdout.strip() or done.stderr.strip()).splitlines() or [""]
            what = lines[-1]
            if any(error in what for error in BROKEN):
                return Caught(bug.name, "", time.monotonic() - begun, f"not a bug but {what}")
            if (done.returncode == 0) is (hunter in BIASES):
                return Caught(bug.name, hunter, time.monotonic() - begun, what)
    return Caught(bug.name, "", time.monotonic() - begun, what)


def main() -> int:
    """Read the command line, plant, and report."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="of planted bugs; all if there is none")
    parser.add_argument("--chosen", action="store_true", help="the six of `make test`")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each hunter")
    parser.add_argument("--minutes", type=float, help="as many, in a drawn order, as fit")
    parser.add_argument("--seed", type=int, help="of that order")
    options = parser.parse_args()
    seed, begun = some_seed(options.seed), time.monotonic()
    names = CHOSEN if options.chosen else options.names
    seconds = CHOSEN_SECONDS if options.chosen else options.seconds
    bugs = [bug for bug in PLANTED if not names or bug.name in names]
    _check_tests({hunter for bug in bugs for hunter in bug.hunters if hunter not in BIASES})
    survivors, tried = list[str](), 0
    if options.minutes is not None:
        Random(seed).shuffle(bugs)
    time_left = rounds(inf if options.minutes is None else options.minutes)
    for bug, _ in zip(bugs, time_left, strict=False):
        tried += 1
        caught = try_bug(bug, seconds)
        outcome = f"by {caught.hunter}" if caught.hunter else "SURVIVES"
        print(f"{caught.seconds:7.1f} s  {bug.rule:4} {bug.name:45} {outcome}: {caught.what[:160]}")
        sys.stdout.flush()
        if not caught.hunter:
            survivors.append(bug.name)
    print(f"{tried - len(survivors)} of {tried} planted bugs caught")
    say("mutants", seed, begun, caught=tried - len(survivors), tried=tried, survive=survivors)
    return 1 if survivors else 0


def _check_tests(paths: set[str]) -> None:
    """See that tests that hunt pass where no bug is planted."""
    with tempfile.TemporaryDirectory(prefix="planted-") as directory:
        copy(Path(directory))
        for path in sorted(paths):
            done = _run(path, Path(directory), 0)
            assert done.returncode == 0, f"{path} fails without a planted bug: {done.stdout}"


def _run(hunter: str, root: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    if hunter in BIASES:
        command = [sys.executable, "-m", "fuzz.hunt", "--bias", hunter, "--seconds", str(seconds)]
    else:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", hunter]
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    sys.exit(main())
