"""A real node whose k-th write kills it, fails or is cut short: correct, or a clean refusal."""

from itertools import chain
from pathlib import Path

import pytest
import trio

from fuzz.images.record import can_record
from fuzz.sweep import Point, failures, kills, prepare, run_point

POINTS = [*kills(3, 70, 9), *list(failures(4, 5, 1))[::2], *list(failures(11, 12, 1))[1::3]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a node that every point starts from a copy of."""
    why_not = can_record()
    if why_not:
        pytest.skip(why_not)
    return trio.run(prepare, tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_node_survives_a_fault_at_one_call(base: Path, tmp_path: Path, point: Point) -> None:
    """E4, W4, W7: what was acknowledged is there after the next start, and the log verifies."""
    outcome = trio.run(run_point, base, tmp_path, point)

    assert outcome.wrong == []


def test_points_are_named_for_their_fault() -> None:
    names = [point.name for point in chain(kills(1, 30, 3), failures(1, 9, 4))]

    assert len(set(names)) == len(names)
