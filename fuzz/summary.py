"""What the long campaigns share: an end in time, and one line of JSON that says how it went."""

import secrets
import time
from collections.abc import Iterator

import msgspec

SEEDS = 1 << 31


def some_seed(given: int | None) -> int:
    """Return the seed that was given, or a new one."""
    return secrets.randbelow(SEEDS) if given is None else given


def rounds(minutes: float) -> Iterator[int]:
    """Count rounds until the time is over; there is always a first."""
    end, number = time.monotonic() + 60 * minutes, 0
    while not number or time.monotonic() < end:
        yield number
        number += 1


def say(campaign: str, seed: int, begun: float, **found: object) -> None:
    """Print the summary of a campaign that began at `begun` of the monotonic clock."""
    seconds = round(time.monotonic() - begun, 1)
    line = {"campaign": campaign, "seed": seed, "seconds": seconds, **found}
    print(msgspec.json.encode(line).decode(), flush=True)
