"""Client lines as typed requests, literally as interfaces section 1 has them."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.wire import requests
from exchange.wire.errors import RequestError
from exchange.wire.requests import (
    PAGE_MAX,
    Bye,
    decode_request,
)
from tests.exchange.wire.forms import FORMS

ORDER = b'{"order_type":"buy","ticker":"AAPL","price":10.5,"quantity":100}'
LITERAL: dict[bytes, type] = {
    b'{"type":"R balance"}': requests.ReadBalance,
    b'{"type":"R balance","value":null}': requests.ReadBalance,
    b'{"type":"U balance","value":100}': requests.UpdateBalance,
    b'{"type":"R stock"}': requests.ReadStock,
    b'{"type":"C stock","value":{"ticker_id":"AAPL","quantity":100}}': requests.CreateStock,
    b'{"type":"R market"}': requests.ReadMarket,
    b'{"type":"C order","value":' + ORDER + b"}": requests.CreateOrder,
    b'{"type":"R order"}': requests.ReadOrders,
    b'{"type":"D order","value":' + ORDER + b"}": requests.DeleteOrder,
    b'{"type":"D account"}': requests.DeleteAccount,
    b'"bye"': Bye,
    b' "bye" \r': Bye,
    b' {"type":"R stock"} \r': requests.ReadStock,
    b'{"id":7,"type":"order.create","value":{"symbol":"AAPL","side":"buy","quantity":1}}': (
        requests.OrderCreate
    ),
    b'{"id":7,"type":"order.cancel","value":{"order_id":"3-9"}}': requests.OrderCancel,
    b'{"id":7,"type":"order.cancel","value":{"client_order_id":"a"}}': requests.OrderCancel,
    b'{"id":7,"type":"order.cancel_all","value":{"symbol":"AAPL"}}': requests.OrderCancelAll,
    b'{"id":7,"type":"order.cancel_all","value":{}}': requests.OrderCancelAll,
    b'{"id":7,"type":"order.amend","value":{"order_id":"3-9","price":1,"quantity":"2"}}': (
        requests.OrderAmend
    ),
    b'{"id":7,"type":"order.get","value":{"order_id":"3-9"}}': requests.OrderGet,
    b'{"id":7,"type":"orders.list","value":{"status":"open","symbol":"A","limit":5}}': (
        requests.OrdersList
    ),
    b'{"id":7,"type":"fills.list","value":{"from_seq":1,"limit":1000}}': requests.FillsList,
    b'{"id":7,"type":"account.get","value":{}}': requests.AccountGet,
    b'{"id":7,"type":"account.deposit","value":{"user_id":"3-1","asset":"USD","quantity":"9.5"}}': (
        requests.AccountDeposit
    ),
    b'{"id":7,"type":"account.withdraw","value":{"asset":"USD","quantity":1}}': (
        requests.AccountWithdraw
    ),
    b'{"id":7,"type":"account.close","value":{}}': requests.AccountClose,
    b'{"id":7,"type":"transfers.list","value":{}}': requests.TransfersList,
    b'{"id":7,"type":"book.get","value":{"symbol":"AAPL","depth":10}}': requests.BookGet,
    b'{"id":7,"type":"trades.list","value":{"symbol":"A","from_seq":1}}': requests.TradesList,
    b'{"id":7,"type":"candles.get","value":{"symbol":"A","interval":"1h","from":"2026-01-31",'
    b'"to":"2026-02-01"}}': requests.CandlesGet,
    b'{"id":7,"type":"node.status","value":{}}': requests.NodeStatus,
    b'{"id":7,"type":"node.status","auth":"key"}': requests.NodeStatus,
    b'{"type":"replica.list","value":{"node_id":1,"cursor":1000}}': requests.ReplicaList,
}


@pytest.mark.parametrize(("line", "kind"), LITERAL.items(), ids=lambda value: str(value)[:60])
def test_request_of_the_document_decodes(line: bytes, kind: type) -> None:
    """Interfaces section 1."""
    assert type(decode_request(line)) is kind


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'"hello"', "invalid_value"),
        (b'"\\ud800"', "malformed_json"),
        (b'{"type":"R balanced"}', "unknown_verb"),
        (b'{"type":"R balance","value":1}', "invalid_value"),
        (b'{"type":"R balance","id":1}', "unknown_field"),
        (b'{"type":"U balance"}', "missing_field"),
        (b'{"type":"C order","value":{"price":1,"quantity":1,"size":1}}', "unknown_field"),
        (b'{"type":"C order","value":{"quantity":1}}', "missing_field"),
        (b'{"type":"C order","value":{"side":"HOLD","price":1,"quantity":1}}', "invalid_value"),
        (b'{"type":"C order","value":{"price":NaN,"quantity":1}}', "malformed_json"),
        (b'{"type":"C order","value":{"price":Infinity,"quantity":1}}', "malformed_json"),
        (b'{"type":"order.create","value":{"symbol":"A","quantity":1}}', "missing_field"),
        (b'{"type":"U balance","value":' + b"[" * 60_000, "malformed_json"),
        (b'{"type":"fills.list","value":{"limit":1001}}', "invalid_value"),
        (b'{"type":"fills.list","value":{"limit":0}}', "invalid_value"),
        (b'{"type":"fills.list","value":{"from_seq":-1}}', "invalid_value"),
        (b'{"type":"fills.list","value":{"from_seq":1180591620717411303424}}', "invalid_value"),
        (b'{"type":"fills.list","value":{"from_seq":' + b"9" * 4_000 + b"}}", "invalid_value"),
        (b'{"type":"fills.list","value":{"from_seq":1e400}}', "invalid_value"),
        (b'{"type":"order.get","value":{"client_order_id":""}}', "invalid_value"),
        (b'{"type":"order.get","value":{"client_order_id":"' + b"x" * 65 + b'"}}', "invalid_value"),
        (b'{"type":"account.create"}', "unknown_verb"),
    ],
)
def test_bad_request_is_named(line: bytes, code: str) -> None:
    """Faults 3."""
    with pytest.raises(RequestError) as raised:
        decode_request(line)

    assert raised.value.code == code


def test_price_keeps_the_text_that_was_sent() -> None:
    """M1: a price never goes through a float."""
    request = decode_request(
        b'{"type":"C order","value":{"price":0.1000000000000000055,"quantity":"1e2"}}'
    )

    assert isinstance(request, requests.CreateOrder)
    assert bytes(request.value.price) == b"0.1000000000000000055"
    assert bytes(request.value.quantity) == b'"1e2"'


def test_page_is_bounded() -> None:
    """Interfaces section 1: at most 1,000."""
    assert PAGE_MAX == 1_000


@given(st.binary(max_size=200) | FORMS)
def test_arbitrary_lines_raise_nothing_but_request_errors(line: bytes) -> None:
    """Faults 3."""
    with suppress(RequestError):
        decode_request(line)


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\nb", "a\n", "\x00", "\x9b"])
def test_client_order_id_with_control_characters_is_refused(name: str) -> None:
    """Faults 3: a terminal that lists the order would obey them."""
    value = {"symbol": "AAPL", "side": "buy", "price": 1, "quantity": 1, "client_order_id": name}
    line = json.dumps({"id": 1, "type": "order.create", "value": value}).encode()

    with pytest.raises(RequestError):
        decode_request(line)
