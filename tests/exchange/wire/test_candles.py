"""Candles are a tape, folded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.wire import candles as module
from exchange.wire.candles import MICROS, Folding, Range, first_at, read_range, read_time
from exchange.wire.numbers import time_text
from exchange.wire.reading import RefusedError
from exchange.wire.values import ToldTrade

MINUTE = 60_000_000
EVER = Range(0, 1 << 50, MINUTE)


def a_trade(at_us: int, price: str, quantity: str = "1") -> ToldTrade:
    return ToldTrade(1, "1-1", "AAPL", price, quantity, "buy", time_text(at_us))


def test_candle_is_first_highest_lowest_last() -> None:
    """Interfaces section 3; M1: 9 is below 10, though not as text."""
    prices = ["10", "9", "10.5", "9.75"]
    folding = Folding(EVER)
    folding.put(a_trade(place * 1_000, price, "0.5") for place, price in enumerate(prices))
    (candle,) = folding.candles().candles

    assert (candle.open, candle.high, candle.low, candle.close) == ("10", "10.5", "9", "9.75")
    assert (candle.volume, candle.trades) == ("2", 4)
    assert candle.ts == "1970-01-01T00:00:00.000000Z"


@given(st.lists(st.integers(0, 10 * MINUTE), max_size=50), st.integers(1, 50))
def test_every_trade_is_in_the_candle_of_its_time(times: list[int], page: int) -> None:
    """Interfaces section 3: whatever pages the tape came in."""
    trades = [a_trade(at, "1") for at in sorted(times)]
    folding = Folding(EVER)
    for start in range(0, len(trades), page):
        assert folding.put(trades[start : start + page])
    candles = folding.candles().candles

    assert sum(candle.trades for candle in candles) == len(times)
    starts = sorted({at - at % MINUTE for at in times})
    assert [candle.ts for candle in candles] == [time_text(at) for at in starts]


def test_range_ends_before_its_end() -> None:
    """Interfaces section 3: `to` is not in it."""
    folding = Folding(Range(0, MINUTE, MINUTE))

    assert not folding.put([a_trade(MINUTE - 1, "1"), a_trade(MINUTE, "2")])
    assert [candle.high for candle in folding.candles().candles] == ["1"]


def test_too_many_trades_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults 3: what one answer costs is bounded."""
    monkeypatch.setattr(module, "TRADES_MAX", 2)
    folding = Folding(EVER)
    folding.put([a_trade(0, "1")] * 2)

    with pytest.raises(RefusedError) as raised:
        folding.put([a_trade(0, "1")])
    assert raised.value.refused.code == "range_too_long"


def test_range_is_the_last_candles_by_default() -> None:
    """Interfaces section 3."""
    asked = read_range("1m", None, None, now_us=1_000 * MINUTE + 5)

    assert asked == Range(900 * MINUTE, 1_000 * MINUTE + 5, MINUTE)


@pytest.mark.parametrize(
    ("from_", "to"), [("2026-01-02", "2026-01-01"), ("2026-01-01", "2026-01-02"), ("x", None)]
)
def test_range_that_is_none_or_too_long_is_refused(from_: str, to: str | None) -> None:
    """Faults 3: at most 1,000 intervals."""
    with pytest.raises(RefusedError):
        read_range("1s", from_, to, now_us=1_790_000_000 * MICROS)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "9" * 40, "2026-01-01T00:00:61Z"])
def test_time_that_is_none_is_refused(text: str) -> None:
    """Faults 3."""
    with pytest.raises(RefusedError):
        read_time(text, "from")


def test_times_have_a_zone() -> None:
    """RFC 3339; without one it is UTC."""
    assert read_time("1970-01-01T01:00:00+01:00", "from") == 0
    assert read_time("1970-01-01", "from") == 0


@given(st.lists(st.integers(0, 100), max_size=30), st.integers(0, 101))
def test_halving_finds_the_first_trade_of_a_time(times: list[int], from_us: int) -> None:
    """E3: a tape's times never fall."""
    times.sort()
    asked = []

    async def time_of(seq: int) -> int | None:
        asked.append(seq)
        return times[seq - 1]

    finding = first_at(from_us, last_seq=len(times), time_of=time_of)
    with pytest.raises(StopIteration) as ended:
        finding.send(None)

    assert ended.value.value == 1 + sum(at < from_us for at in times)
    assert len(asked) <= 5
