"""Integers to text: shortest and exact (M1)."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.instruments import Scale, parse_decimal
from exchange.domain.units import PRICE_MAX, QUANTITY_MAX
from exchange.wire.numbers import AVERAGE_DECIMALS, average_text, number_text, time_text

CENT = Scale(1, 2)
SCALES = st.builds(Scale, st.sampled_from([1, 5, 25]), st.integers(0, 8))


@pytest.mark.parametrize(
    ("count", "text"), [(1050, "10.5"), (10_000, "100"), (1, "0.01"), (0, "0"), (-150, "-1.5")]
)
def test_number_is_written_in_the_shortest_exact_form(count: int, text: str) -> None:
    """Interfaces section 1."""
    assert number_text(CENT, count) == text


@given(SCALES, st.integers(0, PRICE_MAX))
def test_number_reads_back_as_it_was(scale: Scale, count: int) -> None:
    """M1."""
    assert scale.count(number_text(scale, count), "number") == count


def test_average_price_is_exact_where_it_ends() -> None:
    assert average_text(CENT, cost=1050 * 1 + 1051 * 1, filled=2) == "10.505"
    assert average_text(CENT, cost=1050 * 7, filled=7) == "10.5"


def test_average_price_without_an_end_is_rounded_half_to_even() -> None:
    assert average_text(CENT, cost=100 * 2 + 101, filled=3) == "1.0033333333"
    assert average_text(CENT, cost=200 * 2 + 199, filled=3) == "1.9966666667"
    assert average_text(Scale(1, 0), cost=1, filled=2 * 10**AVERAGE_DECIMALS) == "0"
    assert average_text(Scale(1, 0), cost=3, filled=2 * 10**AVERAGE_DECIMALS) == "0.00000002"


@given(SCALES, st.integers(1, PRICE_MAX * QUANTITY_MAX), st.integers(1, QUANTITY_MAX))
def test_average_price_is_off_by_half_a_digit_at_most(tick: Scale, cost: int, filled: int) -> None:
    text = Decimal(average_text(tick, cost=cost, filled=filled))

    numerator, denominator = parse_decimal(tick.text(1)).as_integer_ratio()
    off = abs(
        Decimal(text).as_integer_ratio()[0] * filled * denominator
        - cost * numerator * text.as_integer_ratio()[1]
    )
    unit = filled * denominator * text.as_integer_ratio()[1]
    assert 2 * off * 10 ** (tick.decimals + AVERAGE_DECIMALS) <= unit


def test_time_is_rfc_3339_utc_with_microseconds() -> None:
    """Interfaces section 2."""
    assert time_text(1_700_000_000_000_042) == "2023-11-14T22:13:20.000042Z"
    assert time_text(0) == "1970-01-01T00:00:00.000000Z"
