"""The structs of the HTTP surface and the verbs of a node say the same."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.instruments import NumberError, check_instrument, plain_ticker
from exchange.domain.names import SYMBOL_MAX, SYMBOL_PATTERN, is_client_order_id, is_symbol
from exchange.domain.units import Symbol
from exchange.gateway.resources import schema
from exchange.gateway.resources.openapi import make_document
from exchange.gateway.service import all_resources
from exchange.wire import requests
from exchange.wire.feeds import TRADES, Cursor, Topic, read_cursors, write_cursor
from exchange.wire.reading import RefusedError, read_symbol


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (schema.NewOrder, requests.NewOrder),
        (schema.Amendment, requests.Amendment),
        (schema.OrdersQuery, requests.OrdersFilter),
    ],
)
def test_what_is_described_is_what_the_node_takes(
    ours: type[msgspec.Struct], theirs: type[msgspec.Struct]
) -> None:
    """C7: the gateway hands values on; what it describes must be what is read."""
    assert {field.encode_name for field in msgspec.structs.fields(ours)} <= {
        field.encode_name for field in msgspec.structs.fields(theirs)
    }


@pytest.mark.parametrize("text", ["AAPL\n", "aapl", "", "A" * 33, "\uff21", "A/", "A//B", "A B"])
def test_symbol_is_whole_and_plain(text: str) -> None:
    """Faults 3: what the domain takes, and no other."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, schema.SymbolText)


@pytest.mark.parametrize("text", ["AAPL", "BRK.B", "EUR-USD", "BTC/USD"])
def test_symbols_of_the_domain_are_symbols_here(text: str) -> None:
    """Interfaces section 3: one grammar on every surface."""
    assert is_symbol(text)
    assert msgspec.convert(text, schema.SymbolText) == text


def test_patterns_of_the_document_compile_in_every_dialect() -> None:
    """RE2 knows no look-ahead and no back-reference, ECMA no anchors of Python's."""
    document = msgspec.json.encode(make_document(all_resources(lambda: 0))).decode()
    patterns = set(re.findall(r'"pattern":"((?:[^"\\]|\\.)*)"', document))

    assert len(patterns) > 3
    for pattern in patterns:
        assert not re.search(r"\\(\\A|\\Z|[1-9])|\(\?(?!:)", pattern), pattern


SYMBOL_LIKE = st.text("AZ09az./_-\n\u00c4 ", max_size=34) | st.from_regex(SYMBOL_PATTERN)
NAME_LIKE = st.text("a.\n\u2028\u202e\x1b/%\u00e4 ", max_size=66) | st.text(max_size=66)


def is_read(kind: object, text: str) -> bool:
    """Tell whether a struct's field of this type takes a text, over JSON as it is sent."""
    try:
        return bool(msgspec.json.decode(msgspec.json.encode(text), type=kind))
    except msgspec.ValidationError:
        return False


def is_symbol_of_a_line(text: str) -> bool:
    """Tell whether a node reads it in a line."""
    try:
        return bool(read_symbol(text))
    except RefusedError:
        return False


def is_symbol_of_a_cursor(text: str) -> bool:
    """Tell whether a cursor carries it there and back."""
    topic = Topic(TRADES, Symbol(text))
    return read_cursors(write_cursor(1, 2, 3, topic, 4)) == {(1, topic): Cursor(2, 3, 4)}


def is_symbol_of_a_listing(text: str) -> bool:
    """Tell whether a coordinator and a peer may list it."""
    try:
        check_instrument(msgspec.structs.replace(plain_ticker("X"), symbol=Symbol(text)))
    except NumberError:
        return False
    return True


@given(SYMBOL_LIKE)
def test_symbol_is_read_on_every_surface_or_on_none(text: str) -> None:
    """M2: what can be listed can be asked for everywhere."""
    answers = {
        "line": is_symbol_of_a_line(text),
        "listing": is_symbol_of_a_listing(text),
        "path and filter": is_read(schema.SymbolText, text),
    }
    if text:  # the cursor of an account's orders has no symbol
        answers["cursor"] = is_symbol_of_a_cursor(text) and len(text) <= SYMBOL_MAX

    assert set(answers.values()) == {is_symbol(text)}, answers


@given(NAME_LIKE)
def test_client_order_id_is_read_on_every_surface_or_on_none(text: str) -> None:
    """What names an order in a line names it in a path."""
    answers = {
        "line": is_read(requests.ClientOrderId, text),
        "path and body": is_read(schema.ClientOrderId, text),
    }

    assert set(answers.values()) == {is_client_order_id(text)}, answers
