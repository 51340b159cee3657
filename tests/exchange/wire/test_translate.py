"""Requests become engine inputs, or a refusal that says why (M1, M2)."""

import msgspec
import pytest
from hypothesis import given

from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Order, SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    AccountId,
    Asset,
    Lots,
    Micros,
    NodeId,
    OrderId,
    Seq,
    Stamp,
    Symbol,
    Ticks,
    Units,
    make_id,
)
from exchange.engine import inputs
from exchange.engine.effects import Refused
from exchange.engine.state import ClientKey, Listing, State
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
from exchange.wire.translate import NeedsListing, Translated, Translator
from tests.exchange.wire.forms import FORMS

ACCOUNT = AccountId(make_id(3, 17))
AAPL, BTC = Symbol("AAPL"), Symbol("BTC-USD")
PAIR = msgspec.structs.replace(
    plain_ticker("BTC-USD"), base=Asset("BTC"), lot_size="0.001", base_decimals=8, tick_size="10"
)
ORDER = OrderId(make_id(3, 9))


def a_state() -> State:
    """Return a node with AAPL and BTC-USD listed, and one order of the account."""
    state = State(node_id=NodeId(3), cluster="c", nonce=b"n")
    for instrument in (plain_ticker("AAPL"), PAIR):
        state.instruments.put(instrument.symbol, Listing(instrument))
        state.add_instrument(instrument)
    order = Order(
        order_id=ORDER,
        account=ACCOUNT,
        symbol=AAPL,
        side=Side.BUY,
        time_in_force=TimeInForce.GTC,
        self_trade=SelfTrade.CANCEL_NEWEST,
        price=Ticks(1050),
        quantity=Lots(100),
        total=Lots(100),
        stamp=Stamp(1),
        created=Micros(0),
        updated=Micros(0),
        client_order_id="mine",
    )
    state.orders.put(ORDER, order)
    key = ClientKey(
        ORDER,
        AAPL,
        Side.BUY,
        TimeInForce.GTC,
        SelfTrade.CANCEL_NEWEST,
        Ticks(1050),
        Lots(100),
    )
    state.client_keys.put((ACCOUNT, "mine"), key)
    return state


def a_key(account: AccountId) -> tuple[str, bytes]:
    return f"key of {account}", b"hash"


TRANSLATOR = Translator(a_state(), mint=a_key)


def translated(line: bytes) -> Translated:
    request = decode_request(line)
    assert not isinstance(request, Bye)
    return TRANSLATOR.translate(request, ACCOUNT, 5)


def value_of(verb: str, value: bytes) -> Translated:
    return translated(b'{"id":1,"type":"%b","value":%b}' % (verb.encode(), value))


def refusal(verb: str, value: bytes) -> tuple[str, str]:
    refused = (
        value_of(verb, value)
        if "." in verb
        else translated(b'{"type":"%b","value":%b}' % (verb.encode(), value))
    )
    assert isinstance(refused, Refused)
    return refused.code, refused.detail


BUY = inputs.PlaceOrder(5, ACCOUNT, AAPL, Side.BUY, Ticks(1050), Lots(100))


@pytest.mark.parametrize(
    "value",
    [
        b'{"order_type":"buy","ticker":"AAPL","price":10.5,"quantity":100}',
        b'{"side":"buy","ticker":"AAPL","price":10.5,"quantity":100}',
        b'{"type":"buy","ticker":"AAPL","price":"10.50","quantity":"100"}',
        b'{"order_type":"buy","side":"buy","ticker":"AAPL","price":10.5,"quantity":1e2}',
        b'{"order_type":"buy","ticker_id":"AAPL","price":10.5,"quantity":100}',
        b'{"order_type":"buy","ticker":"AAPL","ticker_id":"AAPL","price":10.5,"quantity":100}',
    ],
)
def test_plain_order_is_placed(value: bytes) -> None:
    """Interfaces section 1: `C order`, with its names for the side."""
    plain = msgspec.structs.replace(BUY, is_described=False)

    assert translated(b'{"type":"C order","value":%b}' % value) == plain


def test_plain_order_deletes_at_its_price() -> None:
    """Interfaces section 1: `D order`."""
    line = b"""{"type":"D order","value":
        {"order_type":"buy","ticker":"AAPL","price":10.5,"quantity":100}}"""

    wanted = inputs.CancelAtPrice(5, ACCOUNT, AAPL, Side.BUY, Ticks(1050), Lots(100))
    assert translated(line) == wanted


@pytest.mark.parametrize("verb", ["C order", "D order"])
def test_plain_order_without_a_side_misses_a_field(verb: str) -> None:
    """Interfaces section 1: `missing_field`."""
    value = b'{"ticker":"AAPL","price":10.5,"quantity":100}'

    assert refusal(verb, value)[0] == "missing_field"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b'{"order_type":"buy","price":10.5,"quantity":100}', "missing_field"),
        (
            b'{"order_type":"buy","side":"sell","ticker":"AAPL","price":1,"quantity":1}',
            "invalid_value",
        ),
        (
            b'{"order_type":"buy","ticker":"AAPL","ticker_id":"MSFT","price":1,"quantity":1}',
            "invalid_value",
        ),
        (b'{"order_type":"buy","ticker":"AAPL","price":10.555,"quantity":1}', "invalid_price"),
        (b'{"order_type":"buy","ticker":"AAPL","price":0,"quantity":1}', "invalid_price"),
        (b'{"order_type":"buy","ticker":"AAPL","price":1,"quantity":-1}', "invalid_quantity"),
        (b'{"order_type":"buy","ticker":"AAPL","price":1,"quantity":0.5}', "invalid_quantity"),
        (b'{"order_type":"buy","ticker":"aapl","price":1,"quantity":1}', "invalid_symbol"),
        (b'{"order_type":"buy","ticker":"USD","price":1,"quantity":1}', "invalid_symbol"),
        (b'{"order_type":"buy","ticker":"NEW","price":10.555,"quantity":1}', "invalid_price"),
        (b'{"order_type":"buy","ticker":"NEW","price":1,"quantity":0}', "invalid_quantity"),
    ],
)
def test_wrong_order_is_refused_before_anything_is_listed(value: bytes, code: str) -> None:
    """M1, M2, faults 2.7."""
    assert refusal("C order", value)[0] == code


def test_refused_price_names_the_tick_size() -> None:
    """M1: exactly or not at all."""
    value = b'{"symbol":"BTC-USD","side":"buy","price":"60005","quantity":"1"}'

    code, detail = refusal("order.create", value)

    assert code == "invalid_price"
    assert detail == ("price 60005 is not a whole number of 10; the tick size of BTC-USD is 10")


def test_rich_order_is_placed_with_all_it_says() -> None:
    """Interfaces section 2."""
    line = b"""{"id":7,"type":"order.create","wait":"done","value":{"symbol":"BTC-USD",
        "side":"sell","type":"limit","time_in_force":"ioc","price":"60000","quantity":"0.25",
        "client_order_id":"a-1","post_only":false,"self_trade_prevention":"cancel_both"}}"""

    assert translated(line) == inputs.PlaceOrder(
        5,
        ACCOUNT,
        BTC,
        Side.SELL,
        Ticks(6000),
        Lots(250),
        TimeInForce.IOC,
        SelfTrade.CANCEL_BOTH,
        "a-1",
        wait_done=True,
    )


def test_rich_order_has_defaults() -> None:
    """Interfaces section 2: limit, good till canceled, the newest is canceled."""
    value = b'{"symbol":"AAPL","side":"buy","price":10.5,"quantity":100}'

    assert value_of("order.create", value) == BUY


@pytest.mark.parametrize(
    ("member", "named"),
    [
        (b'"type":"market"', "type market"),
        (b'"type":"stop"', "type stop"),
        (b'"type":"stop_limit"', "type stop_limit"),
        (b'"time_in_force":"fok"', "time_in_force fok"),
        (b'"time_in_force":"day"', "time_in_force day"),
        (b'"time_in_force":"gtd"', "time_in_force gtd"),
        (b'"post_only":true', "post_only"),
        (b'"self_trade_prevention":"decrement"', "self_trade_prevention decrement"),
    ],
)
def test_value_that_is_not_built_is_refused(member: bytes, named: str) -> None:
    """Interfaces section 2: `not_supported`, never accepted silently."""
    value = b'{"symbol":"AAPL","side":"buy","price":1,"quantity":1,%b}' % member

    code, detail = refusal("order.create", value)

    assert code == "not_supported"
    assert detail.startswith(f"{named} is not built yet; there is ")


@pytest.mark.parametrize("price", [b"", b',"price":null'])
def test_limit_order_has_a_price(price: bytes) -> None:
    value = b'{"symbol":"AAPL","side":"buy","quantity":1%b}' % price

    assert refusal("order.create", value)[0] == "missing_field"


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"C order","value":{"side":"buy","ticker":"NEW","price":1,"quantity":1}}',
        b'{"type":"order.create","value":{"symbol":"NEW","side":"buy","price":1,"quantity":1}}',
        b'{"type":"C stock","value":{"ticker_id":"NEW","quantity":100}}',
        b'{"type":"account.deposit","value":{"asset":"NEW","quantity":1}}',
    ],
)
def test_unknown_ticker_is_to_be_listed_first(line: bytes) -> None:
    """M2, interfaces section 1: a first order or issue lists it with the defaults."""
    assert translated(line) == NeedsListing(Symbol("NEW"))


def test_listed_instrument_is_seen_by_the_next_translation() -> None:
    """M2."""
    state = a_state()
    translator = Translator(state, mint=a_key)
    line = b'{"type":"C order","value":{"side":"buy","ticker":"NEW","price":1,"quantity":1}}'
    request = decode_request(line)
    assert not isinstance(request, Bye)
    assert isinstance(translator.translate(request, ACCOUNT, 5), NeedsListing)
    state.instruments.put(Symbol("NEW"), Listing(plain_ticker("NEW")))

    assert isinstance(translator.translate(request, ACCOUNT, 5), inputs.PlaceOrder)


def test_deleting_at_an_unknown_ticker_lists_nothing() -> None:
    value = b'{"side":"buy","ticker":"NEW","price":1,"quantity":1}'

    assert refusal("D order", value)[0] == "unknown_instrument"


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


@pytest.mark.parametrize("name", [b'{"order_id":"3-9"}', b'{"client_order_id":"mine"}'])
def test_order_is_canceled_by_either_name(name: bytes) -> None:
    """Interfaces section 1."""
    assert value_of("order.cancel", name) == inputs.CancelOrder(5, ACCOUNT, ORDER)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (b"{}", "missing_field"),
        (b'{"order_id":"3-9","client_order_id":"mine"}', "missing_field"),
        (b'{"order_id":"nine"}', "unknown_order"),
        (b'{"client_order_id":"yours"}', "unknown_order"),
    ],
)
@pytest.mark.parametrize("verb", ["order.cancel", "order.amend"])
def test_order_that_is_not_named_is_not_found(verb: str, name: bytes, code: str) -> None:
    assert refusal(verb, name)[0] == code


def test_amendment_takes_price_or_quantity_or_both() -> None:
    """S9."""
    both = value_of("order.amend", b'{"order_id":"3-9","price":"10.6","quantity":50}')
    price = value_of("order.amend", b'{"client_order_id":"mine","price":10.6,"quantity":null}')

    assert both == inputs.AmendOrder(5, ACCOUNT, ORDER, Ticks(1060), Lots(50))
    assert price == inputs.AmendOrder(5, ACCOUNT, ORDER, Ticks(1060), None)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b'{"order_id":"3-9"}', "missing_field"),
        (b'{"order_id":"3-9","quantity":0}', "invalid_quantity"),
        (b'{"order_id":"3-9","price":0.001}', "invalid_price"),
        (b'{"order_id":"3-10","price":1}', "unknown_order"),
    ],
)
def test_wrong_amendment_is_refused(value: bytes, code: str) -> None:
    assert refusal("order.amend", value)[0] == code


def test_order_of_another_account_cannot_be_amended() -> None:
    """Faults 3: and it looks as if it did not exist."""
    line = b'{"type":"order.amend","value":{"order_id":"3-9","quantity":1}}'
    request = decode_request(line)
    assert not isinstance(request, Bye)

    refused = TRANSLATOR.translate(request, AccountId(make_id(3, 18)), 5)
    assert isinstance(refused, Refused)
    assert refused.code == "unknown_order"


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


def test_waiting_is_for_new_orders_only() -> None:
    """Interfaces section 2: never accepted silently."""
    refused = translated(b'{"type":"order.cancel","wait":"done","value":{"order_id":"3-9"}}')

    assert isinstance(refused, Refused)
    assert refused.code == "not_supported"


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
