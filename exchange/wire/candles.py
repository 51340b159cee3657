"""Candles, folded from a tape when they are asked for: a node's own, or a gateway's merged one.

    candle = first, highest, lowest and last price, volume and number of the trades in
             [ts, ts + interval); intervals without a trade have none

A tape is in the order of its node's decisions, so where a time begins on it is found by
halving.  Whoever merges tapes does so by (ts, node, seq) before the first trade is the open.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from exchange.wire.numbers import sort_key, time_text
from exchange.wire.reading import RefusedError

Interval = Literal["1s", "1m", "5m", "15m", "1h", "1d"]
TimeText = Annotated[str, Meta(max_length=40)]
SECONDS = {"1s": 1, "1m": 60, "5m": 300, "15m": 900, "1h": 3_600, "1d": 86_400}
BY_DEFAULT = 100  # candles before `to`
CANDLES_MAX = 1_000  # intervals of one answer
TRADES_MAX = 20_000  # read for one answer; a longer range is asked for in parts
MICROS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Candle(msgspec.Struct, frozen=True):
    """What was traded from `ts` on, for one interval."""

    ts: str
    open: str
    high: str
    low: str
    close: str
    volume: str
    trades: int


class Candles(msgspec.Struct, frozen=True):
    """An answer."""

    candles: list[Candle]


class Range(msgspec.Struct, frozen=True):
    """From when until when, in steps of what; from_us is a multiple of step_us."""

    from_us: int
    to_us: int
    step_us: int


class Told(Protocol):
    """What candles need of a trade."""

    @property
    def ts(self) -> str: ...
    @property
    def price(self) -> str: ...
    @property
    def quantity(self) -> str: ...


class Folding:
    """Candles under way.  Trades are put in by the order of their times."""

    def __init__(self, asked: Range) -> None:
        self._asked = asked
        self._open: list[_Open] = []
        self._count = 0

    def put(self, trades: Iterable[Told]) -> bool:
        """Add trades; tell whether the range goes on after them.  RefusedError: too many."""
        step_us = self._asked.step_us
        for trade in trades:
            at = read_time(trade.ts, "ts")
            if at >= self._asked.to_us:
                return False
            self._count += 1
            start = at - at % step_us
            if not self._open or self._open[-1].start_us != start:
                self._open.append(_Open(start, trade.price))
            self._open[-1].put(trade)
        if self._count > TRADES_MAX:
            detail = f"there are more than {TRADES_MAX} trades in this range; ask for parts of it"
            raise RefusedError("range_too_long", detail)
        return True

    def candles(self) -> Candles:
        """Return what there is."""
        return Candles([each.closed() for each in self._open])


def read_range(interval: str, from_: str | None, to: str | None, *, now_us: int) -> Range:
    """Read what is asked for; RefusedError if it is no range, or too long a one."""
    step_us = SECONDS[interval] * MICROS
    to_us = now_us if to is None else read_time(to, "to")
    from_us = to_us - BY_DEFAULT * step_us if from_ is None else read_time(from_, "from")
    if from_us >= to_us:
        raise RefusedError("invalid_value", "`from` is before `to`")
    if (to_us - from_us) // step_us >= CANDLES_MAX:
        raise RefusedError("invalid_value", f"a range holds at most {CANDLES_MAX} intervals")
    return Range(from_us - from_us % step_us, to_us, step_us)


def read_time(text: str, name: str) -> int:
    """Read an RFC 3339 time as microseconds since 1970; UTC if it names no zone."""
    try:
        told = datetime.fromisoformat(text.replace(" ", "+"))
        told = told if told.tzinfo is not None else told.replace(tzinfo=UTC)
        return (told - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        detail = f"`{name}` is a time such as 2026-01-31T09:30:00Z"
        raise RefusedError("invalid_value", detail) from error


async def first_at(
    from_us: int, *, last_seq: int, time_of: Callable[[int], Awaitable[int | None]]
) -> int:
    """Return the seq of a tape's first trade at or after a time, by halving.

    `time_of` tells when the trade of a seq was, None if it is not there.
    """
    low, high = 1, last_seq + 1
    while low < high:
        middle = (low + high) // 2
        at = await time_of(middle)
        if at is not None and at < from_us:
            low = middle + 1
        else:
            high = middle
    return low


class _Open:
    """A candle that trades are put into.  Prices are compared as exact numbers."""

    def __init__(self, start_us: int, price: str) -> None:
        self.start_us = start_us
        self.first = self.high = self.low = self.last = price
        self.volume = _Sum()
        self.trades = 0

    def put(self, trade: Told) -> None:
        """Add a trade."""
        self.last = trade.price
        if sort_key(trade.price) > sort_key(self.high):
            self.high = trade.price
        if sort_key(trade.price) < sort_key(self.low):
            self.low = trade.price
        self.volume.add(trade.quantity)
        self.trades += 1

    def closed(self) -> Candle:
        """Return what is shown."""
        return Candle(
            time_text(self.start_us),
            self.first,
            self.high,
            self.low,
            self.last,
            self.volume.text(),
            self.trades,
        )


class _Sum:
    """A sum of decimal texts, exactly."""

    def __init__(self) -> None:
        self._digits = 0
        self._decimals = 0

    def add(self, text: str) -> None:
        """Add a number in its shortest form."""
        whole, _, fraction = text.partition(".")
        more = len(fraction) - self._decimals
        if more > 0:
            self._digits *= 10**more
            self._decimals += more
        self._digits += int(whole + fraction) * 10 ** max(0, -more)

    def text(self) -> str:
        """Return the sum in its shortest form."""
        if not self._decimals:
            return str(self._digits)
        whole, fraction = divmod(self._digits, 10**self._decimals)
        tail = str(fraction).rjust(self._decimals, "0").rstrip("0")
        return f"{whole}.{tail}" if tail else str(whole)
