"""A request is paid for by who makes it; floods cost nobody else."""

from functools import partial

import msgspec
import trio
import trio.testing

from exchange.domain.instruments import Instrument, plain_ticker
from exchange.engine.effects import Refused
from exchange.engine.inputs import Ask
from exchange.node.access import Caller
from exchange.node.clients import PENALTY_S
from exchange.node.connection import Connection
from exchange.node.desk import Gathered
from exchange.node.hub import Later, Tell
from exchange.node.sockets import Wire
from exchange.process.limits import BURST_S, Guard, Limits
from exchange.wire.requests import Bye, decode_request
from tests.exchange.node.shop import ALICE, ALICE_KEY, OPERATOR_KEY, Client, Shop, order, rich


def a_shop(limits: Limits, *, is_authenticated: bool = False) -> Shop:
    shop = Shop(is_authenticated=is_authenticated)
    shop.desk.guard = Guard(limits, shop.clocks.mono_us)
    return shop


def connect(shop: Shop, nursery: trio.Nursery, address: str) -> Client:
    near, far = trio.testing.memory_stream_pair()
    nursery.start_soon(partial(serve, shop, Wire(near, address=address)))
    return Client(far)


async def serve(shop: Shop, wire: Wire) -> None:
    async with wire.stream:
        await shop.door.serve(wire)


async def test_flood_of_one_key_leaves_the_others_their_budget() -> None:
    """Issue 5: a flood from one key while another trades."""
    shop = a_shop(Limits(account_rate=1))
    async with shop.open() as nursery:
        flooder, trader = await shop.enter(nursery), await shop.enter(nursery, "1-2")
        asks = [order("buy", 1, 1)] * (BURST_S + 1)
        answers = await flooder.ask(*asks)

        assert answers[:-1] == ["ok"] * BURST_S
        assert "rate_limited" in str(answers[-1])
        assert await trader.ask(order("buy", 1, 1)) == ["ok"]


async def test_who_has_used_up_his_budget_can_still_cancel() -> None:
    """Issue 5."""
    shop = a_shop(Limits(account_rate=1))
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        *_, refused = await client.ask(*[order("buy", 1, 1)] * (BURST_S + 1))
        canceled = await client.ask(rich(1, "order.cancel_all"))

    assert "rate_limited" in str(refused)
    assert canceled == [{"id": 1, "type": "canceled", "value": {"orders": BURST_S}}]


async def test_bad_keys_use_the_budget_of_their_address() -> None:
    """Faults 3: guessing is slow, and takes nothing from the key that is guessed at."""
    shop = a_shop(Limits(account_rate=2, address_rate=3), is_authenticated=True)
    async with shop.open() as nursery:
        client = connect(shop, nursery, "192.0.2.7")
        bad = rich(1, "account.get") | {"auth": "1-1.guess"}
        await client.send(rich(0, "node.status"), bad, bad)
        await client.answer()
        codes = [await client.code() for _ in range(2)]
        honest = connect(shop, nursery, "192.0.2.8")
        await honest.send({"user_id": "1-1", "api_key": ALICE_KEY})
        answers = await honest.ask(rich(1, "account.get"))

    assert codes == ["unauthorized", "rate_limited"]
    assert "balances" in str(answers)


def test_what_each_request_becomes() -> None:
    """The table of `exchange.node.desk`."""
    shop = Shop(is_authenticated=True)
    near, _ = trio.testing.memory_stream_pair()
    caller = shop.desk.enter(Wire(near), None)
    assert isinstance(caller, Caller)
    connection = Connection(9, Wire(near), caller)

    def kind(**request: object) -> type:
        decoded = decode_request(msgspec.json.encode(request))
        assert not isinstance(decoded, Bye)
        return type(shop.desk.item(connection, decoded))

    assert kind(type="R market") is Gathered
    assert kind(type="node.status") is Ask
    assert kind(type="feed.subscribe", value={"channels": ["heartbeat"]}) is Later
    assert kind(type="R balance") is Tell, "nobody has said whose"


async def test_client_beyond_the_cap_is_told_and_closed() -> None:
    """Issue 5: connection caps."""
    shop = a_shop(Limits(connections_per_address=1))
    async with shop.open() as nursery:
        first = connect(shop, nursery, "192.0.2.7")
        await first.send("1-1")
        await first.ask({"type": "R balance"})
        second = connect(shop, nursery, "192.0.2.7")
        await second.send("1-1")

        assert await second.code() == "too_many_connections"
        assert await first.ask({"type": "R balance"})


async def test_idle_client_is_closed_and_a_busy_one_is_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Issue 5: idle peers have a deadline."""
    shop = a_shop(Limits(idle_s=60))
    async with shop.open() as nursery:
        nursery.start_soon(shop.clients.watch_idle)
        idle = connect(shop, nursery, "192.0.2.7")
        busy = connect(shop, nursery, "192.0.2.8")
        for client in (idle, busy):
            await client.send("1-1")
            await client.ask({"type": "R balance"})
        for _ in range(5):
            await trio.sleep(30)
            await busy.ask({"type": "R balance"})

        assert shop.clients.count == 1
        assert await idle.line() == b""


async def test_flood_beyond_its_budget_is_read_slowly(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Issue 5: refusing is work too; the flood waits in its own connection, and nobody else."""
    shop = a_shop(Limits(account_rate=1), is_authenticated=True)
    async with shop.open() as nursery:
        flooder = connect(shop, nursery, "192.0.2.7")
        await flooder.send({"user_id": "1-1", "api_key": ALICE_KEY})
        begun = trio.current_time()  # noqa: TID251 - the clock of the test
        for _ in range(3):
            await flooder.ask(*[order("buy", 1, 1)] * (BURST_S + 1))
        took = trio.current_time() - begun  # noqa: TID251

    assert took >= 2 * PENALTY_S


async def test_trader_who_mistypes_a_symbol_lists_nothing_and_is_told_what_was_meant() -> None:
    """M2: an instrument is for ever, so what a trader names does not become one."""
    asked: list[str] = []

    async def list_symbol(symbol: str) -> Instrument | Refused:
        asked.append(symbol)
        return plain_ticker(symbol)

    shop = Shop(is_authenticated=True, list_symbol=list_symbol)
    async with shop.open() as nursery:
        client = await shop.enter(nursery, key=ALICE_KEY)
        (refused,) = await client.ask(order("buy", 5, 1, "APAL"))

        assert "did you mean AAPL?" in str(refused)
        assert not asked


async def test_an_operators_deposit_of_a_ticker_lists_it() -> None:
    """M2: shares of a plain ticker need no listing step of their own."""

    async def list_symbol(symbol: str) -> Instrument | Refused:
        return plain_ticker(symbol)

    shop = Shop(is_authenticated=True, list_symbol=list_symbol)
    async with shop.open() as nursery:
        client = await shop.enter(nursery, key=OPERATOR_KEY)
        issue = {"type": "C stock", "value": {"ticker_id": "MSFT", "quantity": 5}}

        assert await client.ask(issue) == ["ok"]


async def test_another_key_of_the_account_is_no_other_budget() -> None:
    """Faults 3: 32 keys must not be 32 budgets."""
    shop = a_shop(Limits(account_rate=1), is_authenticated=True)
    async with shop.open() as nursery:
        client = await shop.enter(nursery, key=ALICE_KEY)
        scopes = {"scopes": ["read", "trade"]}
        (made,) = await client.ask(rich(1, "key.create", **scopes))
        assert isinstance(made, dict)
        other = await shop.enter(nursery, key=made["value"]["api_key"])

        assert "rate_limited" in str(await other.ask(rich(2, "account.get")))


async def test_long_answer_is_paid_by_its_size() -> None:
    """Faults 3: the whole market costs more than one balance."""
    shop = a_shop(Limits(account_rate=1_000))
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        await client.ask(*[order("sell", 5 + number, 1) for number in range(200)])
        before = shop.desk.guard.of_account(ALICE).left
        (answer,) = await client.ask({"type": "R market"})
        size = len(msgspec.json.encode(answer))

        assert before - shop.desk.guard.of_account(ALICE).left >= 10 + size // 1_024 > 12


async def test_cancels_have_an_end_too() -> None:
    """Faults 3: a flood of cancels of nothing is a flood."""
    shop = a_shop(Limits(account_rate=5))
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        asked = [rich(1, "order.cancel_all")] * 5
        answers = await client.ask(*asked)

        assert ["rate_limited" in str(answer) for answer in answers] == [False] * 2 + [True] * 3


async def test_lines_that_are_no_requests_use_the_budget_as_well() -> None:
    """Faults 3: an error line is work."""
    shop = a_shop(Limits(account_rate=2))
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        await client.stream.send_all(b"[]\n" * 10)
        for _ in range(10):
            await client.code()

        assert "rate_limited" in str(await client.ask(rich(1, "account.get")))
