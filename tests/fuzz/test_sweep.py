"""A real node whose k-th write kills it, fails or is cut short: correct, or a clean refusal."""

from itertools import chain
from pathlib import Path

import pytest
import trio

from fuzz.images.record import can_record
from fuzz.sweep.points import Point, calls_in, failures, kills
from fuzz.sweep.single import prepare, run_point

CALLS = {"pwrite64": 40, "fdatasync": 20}  # about what the script makes
POINTS = [
    *list(kills(CALLS, 8))[1:],
    *list(failures(4, 5, 1))[::2],
    *list(failures(11, 12, 1))[1::3],
]


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
    names = [point.name for point in chain(kills(CALLS, 3), failures(1, 9, 4))]

    assert len(set(names)) == len(names)


def test_each_call_has_points_of_its_own() -> None:
    """Calls are counted apart: one count for all would let writes hide the forces."""
    points = [point.inject for point in kills(CALLS)]

    assert len(points) == 60
    assert "fdatasync:signal=KILL:when=20" in points
    assert "pwrite64:signal=KILL:when=40" in points


def test_calls_are_counted_for_the_busiest_thread(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        '7  pwrite64(16, "a", 1, 0) = 1\n'
        '7  pwrite64(16, "a", 1, 0) = 1\n'
        '9  pwrite64(16, "a", 1, 0 <unfinished ...>\n'
        "9  <... pwrite64 resumed>) = 1\n"
        "9  fdatasync(16) = 0\n"
        "7  +++ exited with 0 +++\n"
    )

    assert calls_in(log) == {"pwrite64": 2, "fdatasync": 1}
