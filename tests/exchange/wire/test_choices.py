"""Whoever sends a wrong value is told the right ones."""

import pytest

from exchange.wire.choices import NOT_BUILT, SHOWN_MAX
from exchange.wire.errors import RequestError
from exchange.wire.requests import decode_request

ORDER = b'"symbol":"AAPL","price":1,"quantity":1'


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        (
            b'{"type":"C order","value":{"side":"HOLD","price":1,"quantity":1}}',
            "'HOLD' is none of buy, sell - at `$.value.side`",
        ),
        (
            b'{"type":"order.create","value":{"side":"HOLD",%b}}' % ORDER,
            "'HOLD' is none of buy, sell - at `$.value.side`",
        ),
        (
            b'{"type":"order.create","value":{"side":"buy","type":"x",%b}}' % ORDER,
            "'x' is none of limit - at `$.value.type`",
        ),
        (
            b'{"type":"order.create","value":{"side":"buy","time_in_force":"x",%b}}' % ORDER,
            "'x' is none of gtc, ioc - at `$.value.time_in_force`",
        ),
        (
            b'{"type":"order.create","value":{"side":"buy","self_trade_prevention":"x",%b}}'
            % ORDER,
            "'x' is none of cancel_both, cancel_newest, cancel_oldest"
            " - at `$.value.self_trade_prevention`",
        ),
        (
            b'{"type":"orders.list","value":{"status":"x"}}',
            "'x' is none of all, done, open - at `$.value.status`",
        ),
        (
            b'{"type":"key.create","value":{"scopes":["x"]}}',
            "'x' is none of read, trade - at `$.value.scopes[0]`",
        ),
        (
            b'{"type":"candles.get","value":{"symbol":"A","interval":"2m"}}',
            "'2m' is none of 15m, 1d, 1h, 1m, 1s, 5m - at `$.value.interval`",
        ),
        (b'{"type":"node.status","wait":"x"}', "'x' is none of done - at `$.wait`"),
    ],
)
def test_wrong_value_is_told_with_the_right_ones(line: bytes, detail: str) -> None:
    """Interfaces sections 1 and 2; what is not built is not among them."""
    with pytest.raises(RequestError) as raised:
        decode_request(line)

    assert raised.value.code == "invalid_value"
    assert raised.value.detail == detail


def test_long_value_does_not_hide_the_right_ones() -> None:
    """Faults 3: an error does not echo a whole request."""
    line = b'{"type":"order.create","value":{"side":"%b",%b}}' % (b"x" * 1000, ORDER)
    with pytest.raises(RequestError) as raised:
        decode_request(line)

    assert len(raised.value.detail) < 2 * SHOWN_MAX
    assert raised.value.detail.endswith("is none of buy, sell - at `$.value.side`")


def test_what_cannot_be_sent_is_not_offered() -> None:
    """Interfaces section 2."""
    assert not NOT_BUILT & {"limit", "gtc", "ioc", "open", "done", "all", "buy", "sell"}
