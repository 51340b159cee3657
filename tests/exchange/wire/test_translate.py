"""Requests become engine inputs, or a refusal that says why (M1, M2).  Orders have a page."""

import pytest
from hypothesis import given

from exchange.domain.units import (
    AccountId,
    Asset,
    NodeId,
    Seq,
    Units,
    make_id,
)
from exchange.engine import inputs
from exchange.wire.errors import RequestError
from exchange.wire.feeds import FeedSubscribe, FeedUnsubscribe
from exchange.wire.requests import (
    Bye,
    CancelAfter,
    CancelOnDisconnect,
    CandlesGet,
    ReadMarket,
    ReadOrders,
    decode_request,
)
from exchange.wire.translate import Translated
from tests.exchange.wire.forms import FORMS
from tests.exchange.wire.translating import (
    AAPL,
    ACCOUNT,
    ORDER,
    TRANSLATOR,
    refusal,
    translated,
    value_of,
)


@pytest.mark.parametrize(
    ("value", "amount"), [(b"100", 10_000), (b"100.5", 10_050), (b'"0.01"', 1), (b"0", 0)]
)
def test_balance_is_set_in_cents(value: bytes, amount: int) -> None:
    """M1, interfaces section 1: `U balance`."""
    wanted = inputs.SetBalance(5, ACCOUNT, Asset("USD"), Units(amount))

    assert translated(b'{"type":"U balance","value":%b}' % value) == wanted


def test_balance_below_zero_is_left_to_the_engine_to_refuse() -> None:
    """Interfaces section 1: the answer is `notEnough`, not an error."""
    wanted = inputs.SetBalance(5, ACCOUNT, Asset("USD"), Units(-(10**22)))

    assert translated(b'{"type":"U balance","value":-1e20}') == wanted


@pytest.mark.parametrize("value", [b"1.005", b"1e20", b"true", b"null", b'"NaN"', b"[]"])
def test_balance_that_is_no_amount_is_refused(value: bytes) -> None:
    """M1."""
    assert refusal("U balance", value)[0] in ("invalid_value", "amount_out_of_range")


@pytest.mark.parametrize("name", [b"ticker_id", b"ticker"])
def test_stock_is_issued_in_the_units_of_its_asset(name: bytes) -> None:
    """M3, interfaces section 1: `C stock`; `ticker` is accepted as well."""
    line = b'{"type":"C stock","value":{"%b":"AAPL","quantity":100}}' % name

    assert translated(line) == inputs.MoveFunds(5, ACCOUNT, Asset("AAPL"), Units(100))


def test_stock_of_a_pair_is_its_base() -> None:
    """M2."""
    wanted = inputs.MoveFunds(5, ACCOUNT, Asset("BTC"), Units(50_000_000))

    for ticker in (b"BTC", b"BTC-USD"):
        line = b'{"type":"C stock","value":{"ticker_id":"%b","quantity":0.5}}' % ticker
        assert translated(line) == wanted


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b'{"quantity":1}', "missing_field"),
        (b'{"ticker":"USD","quantity":1}', "invalid_symbol"),
        (b'{"ticker":"AAPL","quantity":0}', "invalid_quantity"),
        (b'{"ticker":"AAPL","quantity":1.5}', "invalid_quantity"),
        (b'{"ticker":"AAPL","quantity":-1}', "invalid_quantity"),
        (b'{"ticker":"AAPL","quantity":1e17}', "amount_out_of_range"),
        (b'{"ticker":"NEW","quantity":1.5}', "invalid_quantity"),
        (b'{"ticker":"new","quantity":1}', "invalid_symbol"),
    ],
)
def test_wrong_issue_is_refused(value: bytes, code: str) -> None:
    """M1, M3."""
    assert refusal("C stock", value)[0] == code


def test_deposit_and_withdrawal_move_the_named_account() -> None:
    """M3."""
    value = b'{"user_id":"3-1","asset":"USD","quantity":"9.5"}'
    other = AccountId(make_id(3, 1))

    usd = Asset("USD")
    assert value_of("account.deposit", value) == inputs.MoveFunds(5, other, usd, Units(950))
    assert value_of("account.withdraw", value) == inputs.MoveFunds(5, other, usd, Units(-950))


ASKED: list[tuple[bytes, inputs.Query]] = [
    (b'{"type":"R balance"}', inputs.AccountQuery(ACCOUNT)),
    (b'{"type":"R stock"}', inputs.AccountQuery(ACCOUNT)),
    (b'{"type":"order.get","value":{"order_id":"3-9"}}', inputs.OrderQuery(ACCOUNT, ORDER)),
    (
        b'{"type":"order.get","value":{"client_order_id":"mine"}}',
        inputs.OrderQuery(ACCOUNT, None, "mine"),
    ),
    (
        b'{"type":"orders.list","value":{"status":"open","symbol":"AAPL","cursor":"7"}}',
        inputs.OrdersQuery(ACCOUNT, is_open=True, symbol=AAPL, cursor=Seq(7), limit=100),
    ),
    (
        b'{"type":"orders.list"}',
        inputs.OrdersQuery(ACCOUNT, is_open=None, symbol=None, cursor=Seq(0), limit=100),
    ),
    (b'{"type":"fills.list","value":{"limit":5}}', inputs.FillsQuery(ACCOUNT, Seq(1), 5)),
    (b'{"type":"account.get"}', inputs.AccountQuery(ACCOUNT)),
    (
        b'{"type":"transfers.list","value":{"user_id":"3-1","from_seq":2}}',
        inputs.TransfersQuery(AccountId(make_id(3, 1)), Seq(2), 100),
    ),
    (b'{"type":"book.get","value":{"symbol":"AAPL","depth":10}}', inputs.BookQuery(AAPL, 10)),
    (b'{"type":"trades.list","value":{"symbol":"AAPL"}}', inputs.TradesQuery(AAPL, Seq(1), 100)),
    (b'{"type":"node.status"}', inputs.StatusQuery()),
    (b'{"type":"replica.list","value":{"node_id":4}}', inputs.ReplicaQuery(NodeId(4), 0, 100)),
]


@pytest.mark.parametrize(("line", "query"), ASKED)
def test_question_is_asked_of_the_engine(line: bytes, query: inputs.Query) -> None:
    """E3: answered behind everything decided so far."""
    assert translated(line) == inputs.Ask(5, query)


@pytest.mark.parametrize(
    ("verb", "value", "code"),
    [
        ("orders.list", b'{"status":"expired"}', "not_supported"),
        ("orders.list", b'{"cursor":"x"}', "invalid_value"),
        ("orders.list", b'{"cursor":"99999999999999999999"}', "invalid_value"),
        ("orders.list", b'{"symbol":"aapl"}', "invalid_symbol"),
        ("book.get", b'{"symbol":"../x"}', "invalid_symbol"),
        ("order.get", b"{}", "missing_field"),
        ("order.get", b'{"order_id":"x"}', "unknown_order"),
        ("account.get", b'{"user_id":"x"}', "unknown_account"),
        ("account.close", b'{"user_id":""}', "unknown_account"),
        ("account.deposit", b'{"user_id":"3-1\\n","asset":"USD","quantity":1}', "unknown_account"),
    ],
)
def test_wrong_question_is_refused(verb: str, value: bytes, code: str) -> None:
    """Faults 3."""
    assert refusal(verb, value)[0] == code


def test_account_is_closed_and_orders_are_canceled() -> None:
    other = AccountId(make_id(3, 1))

    assert translated(b'{"type":"D account"}') == inputs.CloseAccount(5, ACCOUNT)
    assert value_of("account.close", b'{"user_id":"3-1"}') == inputs.CloseAccount(5, other)
    assert value_of("order.cancel_all", b"{}") == inputs.CancelAll(5, ACCOUNT, None)
    assert value_of("order.cancel_all", b'{"symbol":"AAPL"}') == inputs.CancelAll(5, ACCOUNT, AAPL)


OF_THE_SHELL = (
    *(Bye, ReadMarket, ReadOrders, CandlesGet),
    *(CancelAfter, CancelOnDisconnect, FeedSubscribe, FeedUnsubscribe),
)


@given(FORMS)
def test_arbitrary_requests_are_translated_or_refused(line: bytes) -> None:
    """Faults 3."""
    try:
        request = decode_request(line)
    except RequestError:
        return
    if isinstance(request, OF_THE_SHELL):
        return

    translation = TRANSLATOR.translate(request, ACCOUNT, 5)

    assert isinstance(translation, Translated)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            b'{"type":"key.create","value":{"scopes":["read"],"expires_in":60}}',
            inputs.CreateKey(5, ACCOUNT, f"key of {ACCOUNT}", b"hash", 1, 60),
        ),
        (
            b'{"type":"key.create","value":{"scopes":["trade","read"]}}',
            inputs.CreateKey(5, ACCOUNT, f"key of {ACCOUNT}", b"hash", 3, 0),
        ),
        (
            b'{"type":"key.rotate","value":{"key_id":"main"}}',
            inputs.RotateKey(5, ACCOUNT, "main", f"key of {ACCOUNT}", b"hash"),
        ),
        (
            b'{"type":"key.revoke","value":{"key_id":"main"}}',
            inputs.RevokeKey(5, ACCOUNT, "main"),
        ),
        (b'{"type":"key.list"}', inputs.Ask(5, inputs.KeysQuery(ACCOUNT))),
    ],
)
def test_verbs_about_keys(line: bytes, wanted: inputs.Input) -> None:
    """Interfaces section 1: scopes `read`, `trade`."""
    assert translated(line) == wanted
