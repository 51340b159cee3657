"""What a sweep costs is counted in lines of Python, which no other load on the machine changes."""

import sys
from types import FrameType

import pytest

from bench.exponents import CASES, Work


def lines(work: Work) -> int:
    """Return how many lines of Python a piece of work runs."""
    count, before = 0, sys.gettrace()

    def trace(_frame: FrameType, event: str, _arg: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    sys.settrace(trace)  # type: ignore[arg-type]  # it returns itself
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("case", sorted(CASES))
def test_four_times_as_many_cost_four_times_as_much(case: str) -> None:
    """C3: no sum, list or index is gone through once for each of what it holds."""
    make = CASES[case]

    small, large = lines(make(100)), lines(make(400))

    assert large < 5 * small
