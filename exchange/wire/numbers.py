"""Integers to the text people read: decimals in the shortest exact form, and times.

Texts repeat (prices, quantities, seconds), so the last ones are remembered: 0.1 us, not 1.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

from exchange.domain.instruments import Scale

AVERAGE_DECIMALS = 8  # of an average price beyond those of a tick; the one number that is rounded


def number_text(scale: Scale, count: int) -> str:
    """Write `count` units of a scale."""
    return texts_of(scale)(count)


@lru_cache(maxsize=256)  # scales; nearly all instruments share a few
def texts_of(scale: Scale) -> Callable[[int], str]:
    """Return the function that writes counts of a scale; keep it where counts are many."""
    return lru_cache(maxsize=1 << 14)(scale.text)


@lru_cache(maxsize=1 << 12)
def average_text(tick: Scale, cost: int, filled: int) -> str:
    """Write the average price of fills: exact where it ends soon, else rounded half to even."""
    whole, rest = divmod(cost * tick.mantissa * 10**AVERAGE_DECIMALS, filled)
    is_up = 2 * rest > filled or (2 * rest == filled and whole % 2)
    return Scale(1, tick.decimals + AVERAGE_DECIMALS).text(whole + is_up)


def sort_key(text: str) -> tuple[int, str]:
    """Return what compares decimal texts in their shortest form as the numbers they are."""
    whole, _, fraction = text.partition(".")
    return int(whole), fraction


def time_text(micros: int) -> str:
    """Write a time as RFC 3339, UTC, with microseconds."""
    second, rest = divmod(micros, 1_000_000)
    return f"{_second_text(second)}{str(1_000_000 + rest)[1:]}Z"


@lru_cache(maxsize=1 << 12)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
