"""The clocks tell microseconds, and one of them never goes back."""

import time

import pytest

from exchange.process.clocks import SystemClocks, now


def test_both_clocks_tell_microseconds() -> None:
    clocks = SystemClocks()

    assert abs(clocks.wall_us() - now().timestamp() * 1e6) < 60e6
    assert clocks.mono_us() <= clocks.mono_us()


def test_monotonic_clock_counts_through_a_suspend(monkeypatch: pytest.MonkeyPatch) -> None:
    """B5: one that stands still meanwhile does not tell a node that it was away."""
    asked: list[int] = []

    def gettime(clock: int) -> int:
        asked.append(clock)
        return 5_000

    monkeypatch.setattr(time, "clock_gettime_ns", gettime)

    assert SystemClocks().mono_us() == 5
    assert asked == [getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)]
