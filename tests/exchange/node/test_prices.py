"""Every request has a price, and the document has it too."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from exchange.node.prices import CANCELS, FILTERED, LONG, PRICES, answer_price, price_of
from exchange.wire.requests import Bye, Request, decode_request

DOCUMENT = Path(__file__).parents[3] / "docs" / "limits.md"


def tag_of(kind: type) -> str:
    found = msgspec.inspect.type_info(kind)
    assert isinstance(found, msgspec.inspect.StructType)
    return str(found.tag)


def priced(text: str) -> int:
    request = decode_request(text.encode())
    assert not isinstance(request, Bye)
    return price_of(request)


def test_every_request_has_a_price() -> None:
    """Faults 3: nothing that can be asked is free."""
    assert set(PRICES) == set(get_args(Request))
    assert all(price >= 1 for price in PRICES.values())
    assert set(PRICES) >= LONG | CANCELS


def test_the_document_has_the_prices() -> None:
    """What people plan with is what is charged."""
    rows = re.findall(r"^\| `([^`]+)` \| (\d+) \|", DOCUMENT.read_text(), re.MULTILINE)

    tags = {tag_of(kind): price for kind, price in PRICES.items()}
    assert {name: int(units) for name, units in rows} == tags


def test_orders_of_one_symbol_cost_what_is_passed_over() -> None:
    """A filter is work for what it leaves out."""
    assert priced('{"type":"orders.list","value":{"symbol":"AAPL"}}') == FILTERED
    assert priced('{"type":"orders.list","value":{}}') == 5


@pytest.mark.parametrize(("size", "units"), [(0, 0), (1_023, 0), (1_024, 1), (1 << 20, 1_024)])
def test_long_answer_is_paid_by_its_size(size: int, units: int) -> None:
    """A question of 40 bytes may have an answer of a megabyte."""
    assert answer_price(size) == units
