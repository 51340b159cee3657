"""Orders, amendments and cancels become inputs of the engine, exactly or not at all."""

import msgspec
import pytest

from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    AccountId,
    Lots,
    Symbol,
    Ticks,
    make_id,
)
from exchange.engine import inputs
from exchange.engine.effects import Refused
from exchange.engine.state import Listing
from exchange.wire.requests import (
    Bye,
    decode_request,
)
from exchange.wire.translate import NeedsListing, Translator
from tests.exchange.wire.translating import (
    AAPL,
    ACCOUNT,
    BTC,
    ORDER,
    TRANSLATOR,
    a_key,
    a_state,
    refusal,
    translated,
    value_of,
)

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


def test_waiting_is_for_new_orders_only() -> None:
    """Interfaces section 2: never accepted silently."""
    refused = translated(b'{"type":"order.cancel","wait":"done","value":{"order_id":"3-9"}}')

    assert isinstance(refused, Refused)
    assert refused.code == "not_supported"
