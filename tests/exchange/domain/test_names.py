"""One grammar of names, read in one place (M2)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.names import (
    CLIENT_ORDER_ID_PATTERN,
    SYMBOL_PATTERN,
    is_client_order_id,
    is_symbol,
    published,
)

SYMBOLS = ["A", "7", "AAPL", "7203", "1INCH/USDT", "BTC/USD", "BRK.B", "ES_F", "EUR-USD", "0700.HK"]


@pytest.mark.parametrize(
    "text", [*SYMBOLS, "BTC/USD-PERP", "AAPL240119C00190000", "A.B/C_D-E", "A" * 32]
)
def test_symbol_is_capital_letters_and_digits_in_parts(text: str) -> None:
    """M2: what markets call their instruments."""
    assert is_symbol(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "aapl", "AAPL\n", "\nAAPL", "A" * 33, "A B", "A\0", "$A", "A%2FB", "A+B", "A:B"),
        *(".", "..", "../A", "A/..", "A/./B", "A//B", "A/", "/A", "-A", "A_", "A.-B"),
        *("\u00c4", "\uff21APL", "A\u0661"),  # a full-width letter, a digit that is not ASCII
    ],
)
def test_symbol_is_ascii_anchored_at_both_ends_and_never_a_path(text: str) -> None:
    """Faults 3: `AAPL` with a line break passes `^[A-Z]+$`."""
    assert not is_symbol(text)


@pytest.mark.parametrize(
    "text", ["x", "bot/17", "a b", "x" * 64, ".hidden", "a..", "\u00e4\u4e2d", "%2F", "?#&=", "'\""]
)
def test_client_order_id_is_nearly_any_text(text: str) -> None:
    """It is the client's own word; whatever a client can keep it may use."""
    assert is_client_order_id(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "x" * 65, "a\n", "\na", "a\0", "\x1b[2J", "\x7f", "\x85"),
        *(".", "..", "..."),  # every path normalises the first two away
        *("a\u2028b", "a\u202eb", "\u2066a", "\ufeffa", "\u200e"),
    ],
)
def test_client_order_id_obeys_neither_terminal_nor_path(text: str) -> None:
    """Faults 3: it is shown on terminals, and is the end of a path over HTTP."""
    assert not is_client_order_id(text)


@pytest.mark.parametrize("pattern", [SYMBOL_PATTERN, CLIENT_ORDER_ID_PATTERN])
def test_published_pattern_has_no_look_around_and_no_anchor_that_json_schema_lacks(
    pattern: str,
) -> None:
    """RE2 has neither look-ahead nor look-behind, and JSON Schema neither start nor end by name."""
    shown = published(pattern)

    assert not re.search(r"\(\?(?!:)", shown)
    assert "\\A" not in shown
    assert "\\Z" not in shown


@given(st.text(max_size=40) | st.from_regex(SYMBOL_PATTERN) | st.from_regex(r"\A[A-Z./_-]+\Z"))
def test_published_pattern_says_the_same_as_the_reader(text: str) -> None:
    """What a generated client sends is read; only a final line feed is Python's own affair."""
    says = re.search(published(SYMBOL_PATTERN), text) is not None and len(text) <= 32

    assert says == is_symbol(text) or text.endswith("\n")
