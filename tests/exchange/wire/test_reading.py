"""Texts are read exactly or refused with a reason (M1, faults 3)."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.instruments import plain_ticker
from exchange.domain.units import AMOUNT_MAX, PRICE_MAX, AccountId, Symbol, make_id
from exchange.wire.reading import (
    RefusedError,
    is_cash,
    read_amount,
    read_lots,
    read_order_id,
    read_owner,
    read_symbol,
    read_ticks,
)

AAPL = Symbol("AAPL")
RULE = plain_ticker("AAPL").rule


@pytest.mark.parametrize(
    ("number", "ticks"),
    [
        (b"10.5", 1050),
        (b'"10.5"', 1050),
        (b"10", 1000),
        (b"1.05e1", 1050),
        (b'"10.50"', 1050),
        (b'"1\\u0030.5"', 1050),
        (b"0.01", 1),
        (b"10000000000", PRICE_MAX),
    ],
)
def test_price_may_be_an_integer_a_decimal_or_a_string(number: bytes, ticks: int) -> None:
    """M1, interfaces section 1."""
    assert read_ticks(RULE, AAPL, number) == ticks


@pytest.mark.parametrize(
    "number",
    [
        b"10.555",
        b"0",
        b"-1",
        b"-10.5",
        b"10000000000.01",
        b"1e400",
        b"1e999999",
        b"1180591620717411303424",
        b"9" * 4_000,
        b'"NaN"',
        b'"Infinity"',
        b'"0x10"',
        b'"1_000"',
        b'" 10"',
        b'"10\\n"',
        b'"\\u0661"',  # an Arabic one
        b'""',
        b'"\xff"',
        b"true",
        b"null",
        b"[10.5]",
        b'{"a":1}',
    ],
)
def test_price_that_is_none_is_refused_with_the_tick_size(number: bytes) -> None:
    """M1, faults 2.7: NaN, negative, huge or between two ticks."""
    with pytest.raises(RefusedError) as raised:
        read_ticks(RULE, AAPL, number)

    assert raised.value.refused.code == "invalid_price"
    assert "the tick size of AAPL is 0.01" in raised.value.refused.detail


@pytest.mark.parametrize("number", [b"0", b"-1", b"1.5", b"1e13", b'"x"'])
def test_quantity_that_is_none_is_refused_with_the_lot_size(number: bytes) -> None:
    """M1, faults 2.9: an order for zero shares."""
    with pytest.raises(RefusedError) as raised:
        read_lots(RULE, AAPL, number)

    assert raised.value.refused.code == "invalid_quantity"
    assert "the lot size of AAPL is 1" in raised.value.refused.detail


def test_amount_is_read_in_the_smallest_unit_and_bounded() -> None:
    """M1."""
    assert read_amount(b"100.5", "USD", 2, "value", minimum=None) == 10_050
    assert read_amount(b"-5", "USD", 2, "value", minimum=None) == -500
    assert read_amount(b"100000000000000", "USD", 2, "value", minimum=1) == AMOUNT_MAX


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (b"1.005", "invalid_quantity"),
        (b"0", "invalid_quantity"),
        (b"-1", "invalid_quantity"),
        (b"100000000000000.01", "amount_out_of_range"),
        (b"1e30", "amount_out_of_range"),
    ],
)
def test_amount_out_of_bounds_is_refused(number: bytes, code: str) -> None:
    """M1."""
    with pytest.raises(RefusedError) as raised:
        read_amount(number, "USD", 2, "quantity", minimum=1)

    assert raised.value.refused.code == code


@pytest.mark.parametrize(
    "text", ["", "aapl", "AAPL\n", "A" * 33, "Ä", "../A", "A/", "A;B", "A B", "\x00"]
)
def test_symbol_that_is_not_well_formed_is_refused(text: str) -> None:
    """Faults 3: anchored, ASCII only."""
    with pytest.raises(RefusedError):
        read_symbol(text)


def test_names_and_ids_are_read() -> None:
    """C1: an id carries its node."""
    own = AccountId(make_id(3, 17))

    assert read_symbol("BTC-USD") == "BTC-USD"
    assert read_owner(None, own) == own
    assert read_owner("1-2", own) == make_id(1, 2)
    assert read_order_id("3-9") == make_id(3, 9)
    assert is_cash("USD")
    assert not is_cash("AAPL")


@pytest.mark.parametrize("text", ["", "3", "3-", "03-1", "3-1\n", "9999-1", "3-99999999999999999"])
def test_id_that_is_none_names_nothing(text: str) -> None:
    """Faults 3."""
    with pytest.raises(RefusedError, match="unknown_account"):
        read_owner(text, AccountId(1))
    with pytest.raises(RefusedError, match="unknown_order"):
        read_order_id(text)


@given(st.binary(max_size=80) | st.decimals().map(lambda number: str(number).encode()))
def test_arbitrary_numbers_are_read_exactly_or_refused(number: bytes) -> None:
    """M1."""
    with suppress(RefusedError):
        ticks = read_ticks(RULE, AAPL, number)
        assert read_ticks(RULE, AAPL, RULE.tick.text(ticks).encode()) == ticks


@pytest.mark.parametrize("number", [b"-1", b"0", b"0.0001", b'"x"', b"9" * 30, b'""'])
def test_error_names_its_field_once(number: bytes) -> None:
    """Interfaces section 1: on every surface that hands the sentence on."""
    for read, name in ((read_ticks, "price"), (read_lots, "quantity")):
        with pytest.raises(RefusedError) as raised:
            read(RULE, AAPL, number)

        assert raised.value.refused.detail.count(name) == 1
