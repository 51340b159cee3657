"""A node's translator, and short ways to ask it."""

import msgspec

from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Order, SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    AccountId,
    Asset,
    Lots,
    Micros,
    NodeId,
    OrderId,
    Stamp,
    Symbol,
    Ticks,
    make_id,
)
from exchange.engine.effects import Refused
from exchange.engine.state import ClientKey, Listing, State
from exchange.wire.requests import (
    Bye,
    decode_request,
)
from exchange.wire.translate import Translated, Translator

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
