"""Campaigns end in time, and say how they went in one line."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fuzz.summary import rounds, say, some_seed

ROOT = Path(__file__).parent.parent.parent


def test_there_is_always_a_first_round() -> None:
    assert list(rounds(0)) == [0]


def test_seed_that_is_given_is_taken() -> None:
    assert some_seed(0) == 0
    assert some_seed(None) != some_seed(None)


def test_summary_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    say("runs", 7, time.monotonic(), runs=400, failed=0)

    line = json.loads(capsys.readouterr().out)
    assert {"campaign": "runs", "seed": 7, "runs": 400, "failed": 0}.items() <= line.items()


def test_campaign_ends_with_its_summary() -> None:
    """Its last line is what documents quote."""
    command = [sys.executable, "-m", "fuzz", "--runs", "3", "--size", "tiny", "--seed", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)

    line = json.loads(done.stdout.splitlines()[-1])
    assert (line["campaign"], line["seed"], line["runs"], line["failed"]) == ("runs", 5, 3, 0)


@pytest.mark.parametrize("campaign", ["runs", "stories", "images", "sweep", "chaos", "mutants"])
def test_make_has_a_target_for_each_campaign(campaign: str) -> None:
    command = ["make", "--dry-run", f"fuzz-{campaign}", "MINUTES=1", "SEED=5"]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout

    assert "--minutes 1 --seed 5" in planned
