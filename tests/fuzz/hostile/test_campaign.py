"""Hostile input over TCP, HTTP and WebSocket finds nothing; the long campaign is `make hostile`."""

from pathlib import Path

import pytest

from fuzz.hostile.campaign import campaign
from fuzz.hostile.judge import Judge
from fuzz.hostile.target import Target
from fuzz.violation import Violation

INPUTS = 2_000


def test_hostile_input_finds_no_crash_no_hang_no_leak_and_no_other_form(tmp_path: Path) -> None:
    """Faults 3, issue: 2,000 inputs of the 100,000."""
    target = Target(tmp_path)
    try:
        report = campaign(target, count=INPUTS, first_seed=1)
    finally:
        target.close()

    assert report.findings == []
    assert report.inputs.total() >= INPUTS


@pytest.mark.parametrize(
    "answer",
    [
        b'{"type":"error","value":{"code":"x","title":"X"}}',
        b'{"type":"error","value":{"code":"x y","title":"X","detail":""}}',
        b'{"type":"order","value":{},"trace":""}',
        b"no json",
    ],
)
def test_answer_of_another_form_is_found(answer: bytes) -> None:
    """The judge is awake."""
    with pytest.raises(Violation, match="form"):
        Judge([]).line(answer)


@pytest.mark.parametrize("answer", [b"a secret!", b"Traceback (most recent call last)", b"/x/y.py"])
def test_leak_is_found_and_an_echo_is_none(answer: bytes) -> None:
    """The judge is awake, and just."""
    judge = Judge(["secret"])
    judge.leaks(answer, answer)

    with pytest.raises(Violation, match="leak"):
        judge.leaks(b"", answer)
