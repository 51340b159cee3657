"""Three real nodes that trade; one is killed at a write, the others go on, and all agree again."""

from pathlib import Path

import pytest
import trio

from fuzz.images.record import can_record
from fuzz.sweep.cluster import (
    Base,
    ClusterPoint,
    cluster_kills,
    double_kills,
    prepare_cluster,
    run_cluster_point,
)
from fuzz.sweep.points import kill_at

CALLS = {node: {"pwrite64": 9, "fdatasync": 4} for node in (1, 2, 3)}
POINTS = [
    ClusterPoint("in a write", {2: kill_at("pwrite64", 40)}),
    ClusterPoint("again", {3: kill_at("fdatasync", 12)}, {3: kill_at("pwrite64", 9)}),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """Make a cluster that every point starts from a copy of."""
    why_not = can_record()
    if why_not:
        pytest.skip(why_not)
    return trio.run(prepare_cluster, tmp_path_factory.mktemp("base"), 3)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_cluster_survives_a_kill_at_one_call(
    base: Base, tmp_path: Path, point: ClusterPoint
) -> None:
    """E4, S5, S13, B4: answers stand, nothing is made, lost or in doubt, books are equal."""
    outcome = trio.run(run_cluster_point, base, tmp_path, point)

    assert outcome.wrong == []
    assert outcome.met == len(point.kills) + len(point.again)
    assert outcome.trades > 0


def test_every_call_of_every_node_is_a_point() -> None:
    points = list(cluster_kills(CALLS))

    assert len(points) == 3 * 13
    assert len({point.name for point in points}) == len(points)


def test_second_kills_depend_on_the_seed_alone() -> None:
    """Half of them strike in the recovery, half strike another node."""
    points = list(double_kills(CALLS, CALLS, seed=5))

    assert points == list(double_kills(CALLS, CALLS, seed=5))
    assert points != list(double_kills(CALLS, CALLS, seed=6))
    assert {len(point.kills) + len(point.again) for point in points} == {2}
    assert any(point.again for point in points)
    assert any(len(point.kills) == 2 for point in points)
