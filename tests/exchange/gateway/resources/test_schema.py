"""The structs of the HTTP surface and the verbs of a node say the same."""

import re

import msgspec
import pytest

from exchange.domain.names import is_symbol
from exchange.gateway.resources import schema
from exchange.gateway.resources.openapi import make_document
from exchange.gateway.service import all_resources
from exchange.wire import requests


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
