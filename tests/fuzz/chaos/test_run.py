"""Chaos: real processes under kills, pauses and partitions, judged from outside."""

from itertools import islice
from pathlib import Path

import pytest

from fuzz.chaos.plan import Kill, faults
from fuzz.chaos.run import Settings, run

CYCLES = 10


async def test_nothing_acknowledged_is_lost_in_ten_cycles(tmp_path: Path) -> None:
    """S3 to S7, W4, B5 on real nodes: kill, pause, partition, slow, reset, coordinator, disk."""
    settings = Settings(seed=20_251, minutes=2.0, cycles=CYCLES, traders=6)
    summary = await run(settings, tmp_path)

    assert summary.wrong == [], summary.command
    assert sum(summary.faults.values()) == CYCLES
    assert summary.faults["Kill"] >= 1
    assert summary.trades > 0


@pytest.mark.parametrize("has_small_disks", [True, False])
def test_plan_depends_on_the_seed_alone(has_small_disks: bool) -> None:
    """A failure prints its seed: it must draw the same faults again."""
    first, again, other = (
        list(islice(faults(seed, 3, has_small_disks=has_small_disks), 50)) for seed in (5, 5, 6)
    )

    assert first == again
    assert first != other
    assert any(isinstance(fault, Kill) and len(fault.nodes) == 3 for _, fault in first)
