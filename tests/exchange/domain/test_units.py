"""Ids and stamps are arithmetic: packed, bounded, and readable as text (C1, S2, M1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.units import (
    AMOUNT_MAX,
    CLOCK_ZERO_US,
    NODE_MAX,
    NUMBER_MAX,
    PRICE_MAX,
    QUANTITY_MAX,
    Micros,
    clock_of,
    format_id,
    make_id,
    make_stamp,
    node_of,
    number_of,
    parse_id,
    wall_clock,
)

nodes = st.integers(1, NODE_MAX)
numbers = st.integers(0, NUMBER_MAX)


@given(nodes, numbers)
def test_id_carries_its_node_and_its_number(node: int, number: int) -> None:
    """C1: the owner of an account is arithmetic."""
    packed = make_id(node, number)

    assert (node, number) == (node_of(packed), number_of(packed))
    assert packed == parse_id(format_id(packed))


def test_id_is_shown_as_node_and_number() -> None:
    """C1."""
    assert format_id(make_id(3, 17)) == "3-17"


def test_every_id_fits_into_63_bits() -> None:
    """M1: 19**9 accounts and more, and still a signed 64-bit integer everywhere."""
    assert make_id(NODE_MAX, NUMBER_MAX) < 1 << 63
    assert NODE_MAX * NUMBER_MAX > 19**9


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "3-",
        "-17",
        "0-17",
        "03-17",
        "3-017",
        "3 -17",
        "3-17\n",
        "3-17-1",
        "+3-17",
        "3-1_7",
        "3-1e2",
        "\u0663-\u0661",  # digits, but not ASCII ones
        "8192-1",
        "3-1125899906842624",
        "3-" + "9" * 5000,
        "../3-17",
    ],
)
def test_text_that_is_not_an_id_is_none(text: str) -> None:
    """Faults 3: bounded before it is converted, ASCII only, anchored at both ends."""
    assert parse_id(text) is None


@pytest.mark.parametrize(("node", "number"), [(0, 1), (-1, 1), (NODE_MAX + 1, 1), (1, -1)])
def test_number_out_of_bounds_is_our_bug(node: int, number: int) -> None:
    """M1: Python integers do not wrap, so the bounds are explicit."""
    with pytest.raises(AssertionError, match="out of range"):
        make_id(node, number)


@given(st.lists(st.tuples(st.integers(0, 2**50 - 1), nodes), unique=True))
def test_stamps_are_unique_and_sort_by_clock_then_node(keys: list[tuple[int, int]]) -> None:
    """S2: unique and totally ordered, younger is greater."""
    stamps = {make_stamp(clock, node): (clock, node) for clock, node in keys}

    assert sorted(keys) == [stamps[stamp] for stamp in sorted(stamps)]
    assert all(clock_of(stamp) == clock for stamp, (clock, _) in stamps.items())


def test_clock_counts_from_2020_and_never_below() -> None:
    """S2."""
    assert wall_clock(Micros(CLOCK_ZERO_US + 5)) == 5
    assert wall_clock(Micros(0)) == 0


def test_money_that_can_enter_keeps_every_sum_in_63_bits() -> None:
    """M1: 500 nodes of the largest amount; prices and quantities alone fit as well."""
    assert 500 * AMOUNT_MAX < 1 << 63
    assert max(PRICE_MAX, QUANTITY_MAX) < 1 << 63
