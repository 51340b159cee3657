"""Clients get every answer, in order, and cannot hurt anyone else."""

import pytest
import trio
import trio.testing

from exchange.domain.instruments import Instrument, plain_ticker
from exchange.engine.effects import Refused
from exchange.node import clients as module
from tests.exchange.node.shop import ALICE_KEY, OPERATOR_KEY, Shop, order, rich


async def test_requests_of_one_read_are_answered_in_order() -> None:
    """Interfaces section 1."""
    shop = Shop()
    async with shop.open() as nursery:
        client = await shop.enter(nursery)

        answers = await client.ask(
            order("sell", 10.5, 5),
            {"type": "R stock"},
            order("buy", 10.555, 1),
            {"type": "R balance"},
            {"type": "R order"},
        )

    assert answers[0] == "ok"
    assert answers[1] == {"AAPL": 1_000_000}
    assert isinstance(answers[2], dict)
    assert answers[2]["value"]["code"] == "invalid_price"
    assert answers[3] == 10_000
    assert answers[4] == {"AAPL": {"sell": [{"quantity": 5, "price": 10.5}], "buy": []}}


async def test_a_whole_read_is_one_turn_and_one_force() -> None:
    """E6."""
    shop = Shop()
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        await client.ask({"type": "R balance"})
        turns, frames = shop.hub.turns, len(shop.log.frames)

        await client.ask(*(order("sell", 10 + n, 1) for n in range(100)))

        assert shop.hub.turns - turns == 1
        assert len(shop.log.frames) - frames == 1


async def test_an_order_may_be_canceled_in_the_read_that_placed_it() -> None:
    """S9: requests of a connection take effect in their order."""
    shop = Shop()
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        placed = {"symbol": "AAPL", "side": "sell", "price": "10", "quantity": "3"}

        _, canceled = await client.ask(
            rich(1, "order.create", **placed, client_order_id="x"),
            rich(2, "order.cancel", client_order_id="x"),
        )

    assert isinstance(canceled, dict)
    assert canceled["id"] == 2
    assert canceled["value"]["canceled_quantity"] == "3"


async def test_unknown_symbol_is_listed_and_the_order_goes_on() -> None:
    """M2: and everything behind it waits."""
    asked: list[str] = []
    gate = trio.Event()

    async def list_symbol(symbol: str) -> Instrument | Refused:
        asked.append(symbol)
        await gate.wait()
        return plain_ticker(symbol)

    shop = Shop(list_symbol=list_symbol)
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        await client.send(order("buy", 5, 1, "MSFT"), {"type": "R order"})
        await trio.testing.wait_all_tasks_blocked()
        gate.set()

        assert await client.answer() == "ok"
        assert await client.answer() == {"MSFT": {"sell": [], "buy": [{"quantity": 1, "price": 5}]}}
        assert asked == ["MSFT"]


async def test_others_go_on_while_a_symbol_is_being_listed() -> None:
    """C1: only what needs the coordinator waits for it."""

    async def list_symbol(symbol: str) -> Instrument | Refused:
        await trio.sleep_forever()
        raise AssertionError

    shop = Shop(list_symbol=list_symbol)
    async with shop.open() as nursery:
        waiting = await shop.enter(nursery)
        await waiting.send(order("buy", 5, 1, "MSFT"))
        other = await shop.enter(nursery, "1-2")

        assert await other.ask(order("buy", 5, 1)) == ["ok"]


async def test_coordinator_away_refuses_the_listing_alone() -> None:
    """C1."""

    async def list_symbol(symbol: str) -> Instrument | Refused:
        return Refused("coordinator_unreachable", "try again")

    shop = Shop(list_symbol=list_symbol)
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        await client.send(order("buy", 5, 1, "MSFT"), order("buy", 5, 1))

        assert await client.code() == "coordinator_unreachable"
        assert await client.answer() == "ok"


async def test_strict_listing_refuses_an_unknown_symbol() -> None:
    """Interfaces section 1."""
    shop = Shop()
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        await client.send(order("buy", 5, 1, "MSFT"))

        assert await client.code() == "unknown_instrument"


async def test_malformed_request_gets_one_error_and_the_connection_goes_on() -> None:
    """Interfaces section 1."""
    shop = Shop()
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        await client.stream.send_all(b'{"type":\n[]\n{"type":"sing"}\n{"type":"R balance"}\n')

        codes = [await client.code() for _ in range(3)]
        assert codes == ["malformed_json", "invalid_value", "unknown_verb"]
        assert await client.answer() == 10_000


@pytest.mark.parametrize(
    ("junk", "code"),
    [(b"x" * (1 << 16) + b"xx", "line_too_long"), (b'"\xff"\n', "not_utf8")],
)
async def test_lost_framing_gets_one_error_then_the_end(
    junk: bytes, code: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Faults 3: limit before decoding; what came before is answered."""
    shop = Shop()
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        await client.stream.send_all(b'{"type":"R balance"}\n' + junk)

        assert await client.answer() == 10_000
        assert await client.code() == code
        assert await client.line() == b""


async def test_bye_closes_after_everything_is_answered() -> None:
    """Interfaces section 1."""
    shop = Shop()
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        await client.send(order("sell", 10, 1), "bye", order("sell", 10, 1))

        assert await client.answer() == "ok"
        assert await client.line() == b""


async def test_end_of_input_closes_after_everything_is_answered() -> None:
    """Interfaces section 1: `printf ... | nc` gets its answers."""
    shop = Shop()
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        await client.send(order("sell", 10, 1))
        await client.stream.send_stream.aclose()

        assert await client.answer() == "ok"
        assert await client.line() == b""


async def test_answers_for_a_client_that_left_are_dropped() -> None:
    """Faults 2.17: and nobody else waits for them."""
    shop = Shop()
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        await client.send(order("sell", 10, 7))
        await client.stream.aclose()
        other = await shop.enter(nursery, "1-2")

        assert await other.ask({"type": "R market"}) == [
            {"AAPL": {"sell": [{"quantity": 7, "price": 10}], "buy": []}}
        ]
        await trio.testing.wait_all_tasks_blocked()
        assert shop.clients.count == 1


async def test_long_answers_are_asked_for_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faults 3: a reader that never reads must not fill the memory with markets."""
    monkeypatch.setattr(module, "UNSENT_MAX", 0)
    shop = Shop()
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        turns = shop.hub.turns

        answers = await client.ask(*[{"type": "R market"}] * 50)

        assert answers == [{"AAPL": {"sell": [], "buy": []}}] * 50
        assert shop.hub.turns - turns >= 50 / module.LONG_MAX


async def test_status_says_what_only_the_shell_knows() -> None:
    """Interfaces section 1: `node.status`, without any hello."""
    shop = Shop()
    async with shop.open() as nursery:
        client = shop.connect(nursery)
        (status,) = await client.ask(rich(1, "node.status"))

    assert isinstance(status, dict)
    assert status["type"] == "status"
    assert status["value"]["node_id"] == 1
    assert status["value"]["forces"] == 3


async def test_public_requests_need_no_hello_and_private_ones_do() -> None:
    """Interfaces section 1."""
    shop = Shop()
    async with shop.open() as nursery:
        client = shop.connect(nursery)
        book, balance = await client.ask(rich(1, "book.get", symbol="AAPL"), {"type": "R balance"})

    assert isinstance(book, dict)
    assert book["type"] == "book"
    assert isinstance(balance, dict)
    assert balance["value"]["code"] == "no_account"


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        ("1-1", "unauthorized"),
        ({"user_id": "1-1", "api_key": "wrong"}, "unauthorized"),
        ({"user_id": "1-99", "api_key": ALICE_KEY}, "unauthorized"),
        ({"user_id": "2-1", "api_key": ALICE_KEY}, "unknown_account"),
        ("Alice", "unknown_account"),
        ({"user_id": "1-1", "api_key": ALICE_KEY, "admin": True}, "invalid_handshake"),
    ],
)
async def test_bad_handshake_is_told_and_ends(
    hello: object, code: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Faults 3: it fails closed."""
    shop = Shop(is_authenticated=True)
    async with shop.open() as nursery:
        client = shop.connect(nursery)
        await client.send(hello)

        assert await client.code() == code
        assert await client.line() == b""


async def test_account_key_trades_and_is_no_operator() -> None:
    """Interfaces section 1: `U balance` and `C stock` are operator powers."""
    shop = Shop(is_authenticated=True)
    async with shop.open() as nursery:
        client = shop.connect(nursery)
        await client.send({"user_id": "1-1", "api_key": ALICE_KEY})

        assert await client.ask(order("sell", 10, 1)) == ["ok"]
        await client.send({"type": "U balance", "value": 5})
        assert await client.code() == "forbidden"


async def test_operator_key_travels_with_a_request() -> None:
    """Interfaces section 1: `auth`."""
    shop = Shop(is_authenticated=True)
    async with shop.open() as nursery:
        client = shop.connect(nursery)
        deposit = rich(1, "account.deposit", user_id="1-2", asset="USD", quantity="5")

        (answer,) = await client.ask(deposit | {"auth": OPERATOR_KEY})
        await client.send(deposit | {"auth": "wrong"}, deposit | {"auth": ALICE_KEY}, deposit)

        assert isinstance(answer, dict)
        assert answer["type"] == "balance"
        codes = [await client.code() for _ in range(3)]
        assert codes == ["unauthorized", "forbidden", "forbidden"]


async def test_connection_without_a_first_line_is_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Faults 3: one byte a second."""
    shop = Shop()
    async with shop.open() as nursery:
        client = shop.connect(nursery)
        await client.stream.send_all(b'"1-')

        assert await client.code() == "too_slow"
        assert await client.line() == b""


async def test_many_clients_are_served_at_once() -> None:
    """E6: one turn serves all of them."""
    shop = Shop()
    async with shop.open() as nursery:
        clients = [await shop.enter(nursery, f"1-{1 + n % 2}") for n in range(50)]
        for client in clients:
            await client.send(order("sell", 10, 1), rich(1, "node.status"))

        answers = [(await client.answer(), await client.answer()) for client in clients]

    assert [first for first, _ in answers] == ["ok"] * 50
    assert shop.clients.is_flushed
