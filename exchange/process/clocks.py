"""The clocks of this machine; whoever needs the time is handed them."""

import datetime
import time
from typing import Protocol

# Counts on while the machine sleeps, so that a node which wakes knows that it was away (B5).
# Where there is no such clock (macOS) the monotonic one does that.
_AWAY_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clocks(Protocol):
    """Where time comes from; tests bring their own."""

    def wall_us(self) -> int: ...
    def mono_us(self) -> int: ...


class SystemClocks:
    """The clocks of this machine."""

    def wall_us(self) -> int:
        """Return the wall clock, in microseconds since 1970 UTC."""
        return time.time_ns() // 1000

    def mono_us(self) -> int:
        """Return the monotonic clock, in microseconds; it counts through a suspend."""
        return time.clock_gettime_ns(_AWAY_CLOCK) // 1000


def now() -> datetime.datetime:
    """Return the time, UTC: until when certificates and tokens are good."""
    return datetime.datetime.now(datetime.UTC)
