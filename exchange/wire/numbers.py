"""Integers to the text people read: decimals in the shortest exact form, and times.

Texts repeat (prices, quantities, seconds), so the last ones are remembered: 0.1 us, not 1.
"""

from datetime import UTC, datetime
from decimal import Context, Decimal
from functools import lru_cache

from exchange.domain.instruments import Scale

AVERAGE_DECIMALS = 8  # of an average price beyond those of a tick; the one number that is rounded
_AVERAGE = Context(prec=60)  # more than cost and tick have digits together


def number_text(scale: Scale, count: int) -> str:
    """Write `count` units of a scale."""
    return _text(scale.mantissa, scale.decimals, count)


@lru_cache(maxsize=1 << 16)
def _text(mantissa: int, decimals: int, count: int) -> str:
    return Scale(mantissa, decimals).text(count)


def average_text(tick: Scale, *, cost: int, filled: int) -> str:
    """Write the average price of fills: exact where it ends soon, else rounded half to even."""
    if not cost % filled:
        return number_text(tick, cost // filled)
    places = tick.decimals + AVERAGE_DECIMALS
    exact = _AVERAGE.divide(Decimal(cost * tick.mantissa), Decimal(filled))
    rounded = exact.scaleb(AVERAGE_DECIMALS, _AVERAGE).to_integral_value(context=_AVERAGE)
    return Scale(1, places).text(int(rounded))


def time_text(micros: int) -> str:
    """Write a time as RFC 3339, UTC, with microseconds."""
    second, rest = divmod(micros, 1_000_000)
    return f"{_second_text(second)}.{rest:06d}Z"


@lru_cache(maxsize=1 << 12)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
