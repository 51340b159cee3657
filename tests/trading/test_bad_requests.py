"""Requests that make no sense, sent to a real node: each is told apart, and nothing happens.

Where a request names no id, or none can be read, its error has none.
"""

from pathlib import Path
from typing import Any

import msgspec
import trio

from tests.trading.market import PATIENCE_S, Market, open_market, order_in

LINE_BYTES_MAX = 65_536


def order(**changes: object) -> bytes:
    value = {"symbol": "ACME", "side": "buy", "price": "1", "quantity": "1", **changes}
    return msgspec.json.encode({"id": 1, "type": "order.create", "value": value})


def rich(verb: str, **value: object) -> bytes:
    return msgspec.json.encode({"id": 1, "type": verb, "value": value})


# A line, and the code of the error that answers it.
BAD_LINES = [
    # Not requests at all.
    (b"{", "malformed_json"),
    (b"[]", "invalid_value"),
    (b"17", "invalid_value"),
    (b'"bye-bye"', "invalid_value"),
    (b"[" * 60_000, "invalid_value"),
    (b'{"type":"U balance","value":' + b"[" * 60_000, "malformed_json"),
    (b'{"type":"nope"}', "unknown_verb"),
    (rich("order.shout"), "unknown_verb"),
    (rich("candles.get", symbol="NOPE"), "unknown_instrument"),
    # Fields.
    (order(colour="red"), "unknown_field"),
    (order(side="HOLD"), "invalid_value"),
    (order(client_order_id="x" * 65), "invalid_value"),
    (order(type="market"), "not_supported"),
    (order(time_in_force="fok"), "not_supported"),
    (b'{"type":"C order","value":{"ticker":"ACME","price":1,"quantity":1}}', "missing_field"),
    # Numbers.
    (order(price=0), "invalid_price"),
    (order(price="-1"), "invalid_price"),
    (order(price="1.005"), "invalid_price"),
    (order(price="1e400"), "invalid_price"),
    (order(price="NaN"), "invalid_price"),
    (order(price=10**20), "invalid_price"),
    (order(price=1).replace(b'"price":1', b'"price":NaN'), "malformed_json"),
    (order(price=1).replace(b'"price":1', b'"price":1e999999'), "invalid_price"),
    (order(quantity=0), "invalid_quantity"),
    (order(quantity=-5), "invalid_quantity"),
    (order(quantity="0.5"), "invalid_quantity"),
    (order(quantity="9" * 4000), "invalid_quantity"),
    (order(quantity=1).replace(b'"quantity":1', b'"quantity":%d' % 2**70), "invalid_quantity"),
    # Names of what is not there.
    (order(symbol="acme$"), "invalid_symbol"),
    (order(symbol="ACME\n"), "invalid_symbol"),
    (rich("book.get", symbol="NONE"), "unknown_instrument"),
    (rich("order.cancel", order_id="1-999"), "unknown_order"),
    (rich("order.cancel", order_id="../1"), "unknown_order"),
    (rich("order.cancel", client_order_id="never"), "unknown_order"),
    (rich("order.amend", order_id="1-999", quantity="5"), "unknown_order"),
    (rich("account.get", user_id="1-77"), "unknown_account"),
    # Not covered.
    (rich("account.withdraw", asset="USD", quantity="99999999999"), "insufficient_funds"),
    (rich("account.deposit", asset="USD", quantity="1e30"), "amount_out_of_range"),
]
BAD_HELLOS = [
    (b'"1-99"', "unknown_account"),
    (b'"9-1"', "unknown_account"),
    (b'"nobody"', "unknown_account"),
    (b"17", "invalid_value"),
    (b"\xff\xfe", "not_utf8"),
    (b"x" * (LINE_BYTES_MAX + 1), "line_too_long"),
]
# After these nobody knows where the next line begins.
FRAMING_LOST = [
    (b'{"type":"' + b"x" * LINE_BYTES_MAX + b'"}', "line_too_long"),
    (b'{"type":"\xff"}', "not_utf8"),
]
BALANCE = b'{"type":"R balance"}'


async def test_each_bad_request_is_told_apart_and_changes_nothing(ram_path: Path) -> None:
    """M1, E2, faults 2.7: one error line each, in order, on a connection that stays open."""
    async with open_market(ram_path, nodes=1) as market:
        lsn = (await market.cluster.status(1)).applied_lsn

        answers = await _say(market, [b'"1-1"', *(line for line, _ in BAD_LINES), BALANCE])
        codes = [_code(answer) for answer in answers[:-1]]

        expected = [code for _, code in BAD_LINES]
        assert dict(enumerate(codes)) == dict(enumerate(expected))
        assert all(answer["value"]["detail"] for answer in answers[:-1]), "what to do is said"
        assert isinstance(answers[-1], int | float)
        assert (await market.cluster.status(1)).applied_lsn == lsn
        await market.check()


async def test_who_cannot_be_told_apart_from_noise_is_told_and_let_go(ram_path: Path) -> None:
    """Interfaces 1: framing that is lost ends the connection after one error; others go on."""
    async with open_market(ram_path, nodes=1) as market:
        for hello, code in BAD_HELLOS:
            (answer,) = await _say(market, [hello, BALANCE])

            assert _code(answer) == code
        for line, code in FRAMING_LOST:
            balance, answer = await _say(market, [b'"1-1"', BALANCE, line, BALANCE])

            assert isinstance(balance, int | float)
            assert _code(answer) == code
        await market.check()


async def test_an_order_that_is_refused_stays_refused(ram_path: Path) -> None:
    """E2, M3, faults 2.6, faults 2.15: a rejection is an answer, and is kept like one."""
    async with open_market(ram_path, nodes=1) as market:
        client = market.clients[1][0]
        rejected = await market.place(client, "buy", "100000", 100_000)
        assert (rejected.status, rejected.reason) == ("rejected", "insufficient_funds")

        server = market.local.nodes[0]
        server.kill()
        await server.start()
        (asked,) = market.asked[-1:]
        same = await client.connection.call(asked.request, within=PATIENCE_S)
        name = asked.request.client_order_id
        other = order(client_order_id=name, price="2")
        answers = await _say(market, [b'"1-1"', other])

        assert bytes(same.value) == asked.value
        assert order_in(asked.value) == rejected
        assert [_code(answer) for answer in answers] == ["duplicate_client_order_id"]
        await market.check()


async def _say(market: Market, lines: list[bytes]) -> list[Any]:
    """Send lines, then the end; return what came until the node closed."""
    endpoints = market.local.nodes[0].endpoints
    assert endpoints is not None
    host, port = endpoints.tcp.split(":")
    received = b""
    with trio.fail_after(PATIENCE_S):
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(b"".join(line + b"\n" for line in lines))
            await stream.send_eof()
            async for data in stream:
                received += data
    return [msgspec.json.decode(line) for line in received.splitlines()]


def _code(answer: Any) -> str:  # noqa: ANN401 - any JSON
    return str(answer["value"]["code"]) if isinstance(answer, dict) else repr(answer)
