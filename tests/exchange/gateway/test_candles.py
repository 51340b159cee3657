"""Candles are the tape, folded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.gateway.candles import fold, read_time
from exchange.gateway.problems import ProblemError
from exchange.gateway.schema import Trade
from exchange.wire.numbers import time_text
from tests.exchange.gateway.house import House, Person

MINUTE = 60_000_000


def a_trade(at_us: int, price: str, quantity: str = "1") -> Trade:
    return Trade(1, 1, "1-1", "AAPL", price, quantity, "buy", time_text(at_us))


def test_candle_is_first_highest_lowest_last() -> None:
    """Interfaces section 3; M1: 9 is below 10, though not as text."""
    prices = ["10", "9", "10.5", "9.75"]
    trades = [a_trade(place * 1_000, price, "0.5") for place, price in enumerate(prices)]
    (candle,) = (each.closed() for each in fold(trades, MINUTE))

    assert (candle.open, candle.high, candle.low, candle.close) == ("10", "10.5", "9", "9.75")
    assert (candle.volume, candle.trades) == ("2", 4)
    assert candle.ts == "1970-01-01T00:00:00.000000Z"


@given(st.lists(st.integers(0, 10 * MINUTE), max_size=50))
def test_every_trade_is_in_the_candle_of_its_time(times: list[int]) -> None:
    """Interfaces section 3."""
    candles = fold([a_trade(at, "1") for at in sorted(times)], MINUTE)

    assert sum(candle.trades for candle in candles) == len(times)
    assert [candle.start_us for candle in candles] == sorted({at - at % MINUTE for at in times})


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "9" * 40, "2026-01-01T00:00:61Z"])
def test_time_that_is_none_is_refused(text: str) -> None:
    """Faults 3."""
    with pytest.raises(ProblemError):
        read_time(text, "from")


def test_times_have_a_zone() -> None:
    """RFC 3339; without one it is UTC."""
    assert read_time("1970-01-01T01:00:00+01:00", "from") == 0
    assert read_time("1970-01-01", "from") == 0


def test_candles_of_what_was_just_traded(house: House, alice: Person) -> None:
    """Interfaces section 3: from the trade tape."""
    house.list_symbol("CNDL")
    house.deposit(alice, "CNDL", "100")
    bob = house.open_account(USD="10000")
    for price in ("20", "22", "21"):
        alice.order("sell", symbol="CNDL", price=price)
        bob.order("buy", symbol="CNDL", price=price)
    candles = house.call("GET", "/v1/candles/CNDL?interval=1d").json()["candles"]
    before = house.call("GET", "/v1/candles/CNDL?from=2020-01-01&to=2020-01-02&interval=1h")

    assert sum(candle["trades"] for candle in candles) == 3
    assert {candle["high"] for candle in candles} >= {"22"}
    assert before.json() == {"candles": []}
    for bad in ("interval=2m", "from=x", "from=2026-01-02&to=2026-01-01", "from=2020-01-01"):
        assert house.call("GET", f"/v1/candles/CNDL?{bad}").status_code == 400
    assert house.call("GET", "/v1/candles/NONE").status_code == 404
