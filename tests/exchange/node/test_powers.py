"""What each request needs is said for every one of them."""

from typing import get_args

import pytest

from exchange.node.powers import POWERS, Power, power_of, user_id_of
from exchange.wire.feeds import FeedSubscribe, FeedUnsubscribe
from exchange.wire.requests import Bye, Request, decode_request

ORDER = b'{"order_type":"buy","ticker":"AAPL","price":10.5,"quantity":100}'


def test_no_request_is_forgotten() -> None:
    """Faults 3: a new verb is nobody's until somebody says whose."""
    assert set(POWERS) | {FeedSubscribe, FeedUnsubscribe} == set(get_args(Request))


@pytest.mark.parametrize(
    ("line", "power"),
    [
        (b'{"type":"R market"}', Power.PUBLIC),
        (b'{"type":"node.status"}', Power.PUBLIC),
        (b'{"type":"R balance"}', Power.READ),
        (b'{"type":"transfers.list"}', Power.READ),
        (b'{"type":"C order","value":' + ORDER + b"}", Power.TRADE),
        (b'{"type":"order.cancel_all"}', Power.TRADE),
        (b'{"type":"D account"}', Power.TRADE),
        (b'{"type":"key.list"}', Power.KEYS),
        (b'{"type":"key.revoke","value":{"key_id":"main"}}', Power.KEYS),
        (b'{"type":"U balance","value":1}', Power.OPERATOR),
        (b'{"type":"C stock","value":{"ticker":"A","quantity":1}}', Power.OPERATOR),
        (b'{"type":"account.deposit","value":{"asset":"USD","quantity":1}}', Power.OPERATOR),
        (b'{"type":"replica.list","value":{"node_id":1}}', Power.OPERATOR),
    ],
)
def test_request_says_what_its_caller_must_be_allowed(line: bytes, power: Power) -> None:
    """Interfaces section 1: `U balance` and `C stock` are operator powers."""
    request = decode_request(line)

    assert not isinstance(request, Bye)
    assert power_of(request) is power


def test_request_names_the_account_it_is_about() -> None:
    """Faults 3: naming another user id is found by the shell."""
    own = decode_request(b'{"type":"account.get"}')
    other = decode_request(b'{"type":"account.get","value":{"user_id":"3-1"}}')

    assert not isinstance(own, Bye)
    assert not isinstance(other, Bye)
    assert user_id_of(own) is None
    assert user_id_of(other) == "3-1"


@pytest.mark.parametrize(("channel", "power"), [(b"trades", Power.PUBLIC), (b"orders", Power.READ)])
def test_own_orders_are_the_private_channel(channel: bytes, power: Power) -> None:
    """Interfaces section 3."""
    line = b'{"type":"feed.subscribe","value":{"channels":["%b"],"symbols":["A"]}}' % channel
    request = decode_request(line)

    assert not isinstance(request, Bye)
    assert power_of(request) is power
