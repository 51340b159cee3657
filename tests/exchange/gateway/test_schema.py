"""The structs of the HTTP surface and the verbs of a node say the same."""

import msgspec
import pytest

from exchange.gateway import schema
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


@pytest.mark.parametrize("text", ["AAPL\n", "aapl", "", "A" * 33, "\uff21"])
def test_symbol_is_whole_and_plain(text: str) -> None:
    """Faults 3: `$` in Python forgives a line feed."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, schema.SymbolText)
