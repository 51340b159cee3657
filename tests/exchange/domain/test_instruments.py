"""Decimals become integers at one place, exactly or not at all (M1, M2)."""

from decimal import Decimal, localcontext
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.instruments import (
    Instrument,
    NumberError,
    Scale,
    asset_scale,
    check_instrument,
    money,
    parse_decimal,
    plain_ticker,
)
from exchange.domain.units import PRICE_MAX, QUANTITY_MAX, Asset, Symbol

AAPL = plain_ticker("AAPL")


def a_pair(*, tick: str = "0.01", lot: str = "1", base: int = 0, quote: int = 2) -> Instrument:
    return Instrument(Symbol("BTC/EUR"), Asset("BTC"), Asset("EUR"), tick, lot, base, quote)


@pytest.mark.parametrize(
    ("number", "ticks"),
    [("10.5", 1050), ("10.50", 1050), (10, 1000), ("1e3", 100_000), (Decimal("10.55"), 1055)],
)
def test_price_is_read_as_whole_ticks(number: int | str | Decimal, ticks: int) -> None:
    """M1."""
    assert AAPL.rule.price(number) == ticks


@pytest.mark.parametrize(
    "number",
    [
        "10.555",
        Decimal("0.001"),
        "10.0000000000000000000000000000000000001",  # more digits than Decimal keeps by default
        "1234567890.00000000000000000000000000001",
    ],
)
def test_price_between_two_ticks_is_an_error_and_never_rounded(number: str | Decimal) -> None:
    """M1: exactly or not at all."""
    with pytest.raises(NumberError, match=r"price .* is not a whole number of 0\.01"):
        AAPL.rule.price(number)


@pytest.mark.parametrize("number", [0, "0.00", "-0", "-10.5", -1, 10**11, "1e30", Decimal(-1)])
def test_price_is_above_zero_and_bounded(number: int | str | Decimal) -> None:
    """M1, faults 2.7: neither zero, negative nor huge."""
    with pytest.raises(NumberError, match=r"price .* is not above zero and up to 10000000000"):
        AAPL.rule.price(number)


@pytest.mark.parametrize("number", [0, -5, 10**13])
def test_quantity_is_above_zero_and_bounded(number: int) -> None:
    """M1, faults 2.7."""
    with pytest.raises(NumberError, match=r"quantity .* is not above zero"):
        AAPL.rule.quantity(number)


def test_bounds_themselves_are_inside() -> None:
    """M1."""
    assert AAPL.rule.price("0.01") == 1
    assert AAPL.rule.price(10**10) == PRICE_MAX
    assert AAPL.rule.quantity(QUANTITY_MAX) == QUANTITY_MAX


def test_fraction_of_a_lot_is_an_error() -> None:
    """M1."""
    with pytest.raises(NumberError, match=r"quantity 1\.5 is not a whole number of 1"):
        AAPL.rule.quantity("1.5")


@pytest.mark.parametrize(
    "number",
    [
        "",
        " 1",
        "1\n",
        "+1",
        ".5",
        "5.",
        "1_000",
        "0x10",
        "1,5",
        "NaN",
        "nan",
        "sNaN",
        "Infinity",
        "-inf",
        "1e999999",  # as an integer it would cost half a minute of CPU
        "1e999",
        "-1e-999",
        "1" * 41,
        "\u0661",  # a digit, but not an ASCII one
        10**4000,
        -(10**40),
        True,
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Decimal("1e999999"),
        Decimal("0e999999"),
        Decimal("1." + "1" * 50),
    ],
)
def test_what_is_no_number_of_reasonable_size_is_refused_at_once(
    number: int | str | Decimal,
) -> None:
    """Faults 2.7 and 3: bounded before it is converted."""
    with pytest.raises(NumberError):
        parse_decimal(number)


@given(st.integers(-(10**18), 10**18), st.sampled_from(["0.01", "0.25", "1", "5", "0.000125"]))
def test_count_is_written_in_the_shortest_form_and_read_back(count: int, unit: str) -> None:
    """M1: out and in again is the same integer."""
    scale = Scale.of(unit)
    text = scale.text(count)

    assert scale.count(text, "price") == count
    assert "." not in text or not text.endswith(("0", "."))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4), st.integers(1, 30))
def test_reading_is_exact_whatever_the_decimal_context_is(number: Decimal, digits: int) -> None:
    """M1, E5."""
    with localcontext(prec=digits):
        try:
            count = Scale.of("0.0001").count(number, "price")
        except NumberError:
            assert abs(number) > 10**35
        else:
            assert Fraction(count, 10**4) == Fraction(number)


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [(0, 2, "0"), (5, 2, "0.05"), (10050, 2, "100.5"), (-250, 2, "-2.5"), (7, 0, "7")],
)
def test_money_is_written_in_the_shortest_exact_form(units: int, decimals: int, text: str) -> None:
    """M1."""
    assert money(units, decimals) == text
    assert asset_scale(decimals).count(text, "amount") == units


@pytest.mark.parametrize("text", ["0", "-0.01", "0.0000000000001", "NaN", ""])
def test_unit_is_above_zero_with_a_bounded_number_of_decimals(text: str) -> None:
    """M2."""
    with pytest.raises(NumberError):
        Scale.of(text)


def test_plain_ticker_is_against_dollars_at_a_cent_and_one_share() -> None:
    """M2."""
    assert Instrument(Symbol("X"), Asset("X"), Asset("USD"), "0.01", "1", 0, 2) == plain_ticker("X")
    check_instrument(plain_ticker("X"))
    assert (plain_ticker("X").rule.tick_value, plain_ticker("X").rule.lot_value) == (1, 1)


@pytest.mark.parametrize(
    ("pair", "tick_value", "lot_value"),
    [
        (a_pair(), 1, 1),
        (a_pair(tick="0.25"), 25, 1),
        (a_pair(tick="0.5", lot="0.1", base=8), 5, 10_000_000),
        (a_pair(tick="1", lot="0.01", base=2), 1, 1),
        (a_pair(tick="100", lot="10"), 100_000, 10),
        (a_pair(tick="1e2", lot="1e1"), 100_000, 10),
    ],
)
def test_trade_moves_whole_units_of_both_assets(
    pair: Instrument, tick_value: int, lot_value: int
) -> None:
    """M2."""
    check_instrument(pair)

    assert (pair.rule.tick_value, pair.rule.lot_value) == (tick_value, lot_value)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (a_pair(tick="0.001"), "tick x lot is not whole in EUR units"),
        (a_pair(lot="0.1", base=1), "tick x lot is not whole in EUR units"),
        (a_pair(tick="0.1", lot="0.1"), "lot size 0.1 is not whole in BTC units"),
        (a_pair(tick="1e8"), "out of range"),
        (a_pair(lot="1e13", quote=0, tick="1"), "out of range"),
        (a_pair(base=-1), "decimals go from 0 to 12"),
        (a_pair(quote=13), "decimals go from 0 to 12"),
        (a_pair(tick="0"), "not a unit above zero"),
        (a_pair(tick="ten"), "not a decimal number"),
        (msgspec.structs.replace(a_pair(), quote=Asset("BTC")), "the same asset"),
        (msgspec.structs.replace(a_pair(), base=Asset("btc")), "capital letters"),
        (msgspec.structs.replace(a_pair(), symbol=Symbol("BTC\n")), "capital letters"),
    ],
)
def test_listing_that_could_not_settle_in_whole_units_is_refused(
    pair: Instrument, message: str
) -> None:
    """M2."""
    with pytest.raises(NumberError, match=message):
        check_instrument(pair)
