"""A node's end of its connection: it answers in order, comes back, and goes on without."""

import json

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from exchange.coordinator.core import KnownNode
from exchange.coordinator.errors import CoordinatorUnreachable, RegistrationRefused
from exchange.coordinator.member import ENSURE_S_MAX, Membership, register_new
from exchange.domain.instruments import Instrument, plain_ticker
from exchange.domain.units import NodeId
from exchange.engine.effects import Refused
from exchange.process.errors import BadAddress
from tests.exchange.coordinator.house import Client, FakeNode, a_house, join, pass_time

REGISTERED: dict[str, object] = {"id": None, "others": [], "cluster": "c"}


class FakeCoordinator:
    """Takes one connection after another, by hand."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Client](10)

    async def dial(self) -> trio.abc.Stream:
        ours, theirs = memory_stream_pair()
        await self._send.send(Client(theirs))
        return ours

    async def accept(self) -> Client:
        """Take the next connection, registered and answered."""
        client = await self._receive.receive()
        await client.read()
        await client.stream.send_all(_line(REGISTERED))
        assert await client.read() == "ok"
        return client


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def account(number: int) -> dict[str, object]:
    return {"type": "C account", "user_id": f"1-{number}", "key_hash": ""}


async def refuse_connection() -> trio.abc.Stream:
    await trio.lowlevel.checkpoint()
    raise OSError(111, "Connection refused")


async def test_new_node_without_a_coordinator_is_told_what_to_do(
    autojump_clock: MockClock,
) -> None:
    """C1, interfaces section 4: exit code 3."""
    with pytest.raises(CoordinatorUnreachable) as error:
        await register_new("127.0.0.1:7401", bytes(16), "127.0.0.1:1", dial=refuse_connection)

    assert error.value.exit_code == 3
    assert "Connection refused" in str(error.value)
    assert "exchange-coordinator --data-dir PATH" in str(error.value)


async def test_refused_connection_is_told_as_one() -> None:
    """C1, interfaces section 4: over a real socket."""
    listener, *_ = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()

    with pytest.raises(CoordinatorUnreachable, match="Connection refused"):
        await register_new(f"127.0.0.1:{port}", bytes(16), "127.0.0.1:1", patience_s=0.5)


async def test_new_node_is_patient_while_its_coordinator_starts(
    autojump_clock: MockClock,
) -> None:
    """C1: both may be starting at once."""
    async with a_house() as house:
        await house.kill()
        async with trio.open_nursery() as nursery:

            async def start_later() -> None:
                await pass_time(1)
                house.start()

            nursery.start_soon(start_later)
            told = await register_new("", bytes(16), "127.0.0.1:1", dial=house.dial)

        assert told.node_id == 1


async def test_refused_new_node_does_not_ask_again(autojump_clock: MockClock) -> None:
    """C2."""
    async with a_house() as house:
        with pytest.raises(RegistrationRefused, match="host:port"):
            await register_new("", bytes(16), "nowhere", dial=house.dial)


async def test_coordinator_that_is_no_address_is_a_usage_error() -> None:
    """C5: before anything is dialed."""
    with pytest.raises(BadAddress):
        Membership("nowhere", FakeNode(1))


async def test_answers_keep_their_order(autojump_clock: MockClock) -> None:
    """C1: an "ok" does not overtake an account that is being opened."""
    coordinator, node = FakeCoordinator(), FakeNode(1, node_id=1)
    membership = Membership("", node, dial=coordinator.dial)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(membership.run)
        client = await coordinator.accept()
        node.may_answer = trio.Event()
        joined = {"type": "joined", "id": 2, "addr": "127.0.0.1:2", "nonce": ""}
        await client.stream.send_all(_line(account(1)) + _line(joined))
        await wait_all_tasks_blocked()
        heard = dict(node.known)
        node.may_answer.set()

        assert heard == {2: KnownNode(NodeId(2), b"", "127.0.0.1:2")}
        assert [await client.read(), await client.read()] == ["1-1", "ok"]
        nursery.cancel_scope.cancel()


async def test_refused_account_is_an_error(autojump_clock: MockClock) -> None:
    """C1."""
    coordinator, node = FakeCoordinator(), FakeNode(1, node_id=1)
    membership = Membership("", node, dial=coordinator.dial)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(membership.run)
        client = await coordinator.accept()
        node.refusal = Refused("draining", "the node is being stopped")
        (answer,) = await client.ask(account(1))

        assert answer["value"]["code"] == "draining"
        assert "id" not in answer
        nursery.cancel_scope.cancel()


async def test_account_that_was_asked_for_is_told_at_the_next_registration(
    autojump_clock: MockClock,
) -> None:
    """C2: opened yet or not, an empty coordinator must not give it out again."""
    async with a_house() as house:
        node = FakeNode(1, node_id=1)
        await join(house, node)
        node.may_answer = trio.Event()
        client = Client(await house.dial())
        await client.stream.send_all(b'"C account"\n')
        await wait_all_tasks_blocked()
        await house.kill()
        house.disk.tables.clear()
        house.start()
        await pass_time(5)
        node.may_answer.set()

        assert await Client(await house.dial()).ask("C account") == ["1-2"]


async def test_listing_waits_for_the_coordinator_to_come_back(autojump_clock: MockClock) -> None:
    """C1: only new listings wait."""
    async with a_house() as house:
        membership = await join(house, FakeNode(1, node_id=1))
        await house.kill()
        answers: list[Instrument | Refused] = []

        async def ensure() -> None:
            answers.append(await membership.ensure_instrument("AAPL"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ensure)
            await pass_time(1)
            house.start()

        assert answers == [plain_ticker("AAPL")]


async def test_listing_gives_up_on_a_coordinator_that_stays_away(
    autojump_clock: MockClock,
) -> None:
    """C1: an order of an unlisted symbol is refused, not stuck."""
    async with a_house() as house:
        membership = await join(house, FakeNode(1, node_id=1))
        await house.kill()
        with trio.fail_after(ENSURE_S_MAX + 1):
            answer = await membership.ensure_instrument("AAPL")

        assert isinstance(answer, Refused)
        assert answer.code == "coordinator_unreachable"
        assert not membership.is_connected


async def test_lost_answer_is_asked_for_again(autojump_clock: MockClock) -> None:
    """M2: on the next connection; listing is idempotent."""
    coordinator, node = FakeCoordinator(), FakeNode(1, node_id=1)
    membership = Membership("", node, dial=coordinator.dial)
    answers: list[Instrument | Refused] = []

    async def ensure() -> None:
        answers.append(await membership.ensure_instrument("AAPL"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(membership.run)
        first = await coordinator.accept()
        nursery.start_soon(ensure)
        await first.read()
        await first.stream.aclose()
        second = await coordinator.accept()
        request = await second.read()
        error = {"code": "unknown_instrument", "title": "", "detail": "no"}
        await second.stream.send_all(_line({"type": "error", "id": request["id"], "value": error}))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert answers == [Refused("unknown_instrument", "no")]


async def test_start_goes_on_without_a_coordinator(autojump_clock: MockClock) -> None:
    """C1, C5: it is told once, and tried again for ever."""
    said: list[str] = []
    membership = Membership("127.0.0.1:1", FakeNode(1), dial=refuse_connection, say=said.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(membership.run)
        await membership.wait_tried()
        await pass_time(600)
        nursery.cancel_scope.cancel()

    assert said == ["the coordinator at 127.0.0.1:1 is away: Connection refused"]


async def test_node_of_another_cluster_trades_on_and_tries_again(
    autojump_clock: MockClock,
) -> None:
    """C1: what an operator may repair does not stop a node."""
    async with a_house() as house:
        await join(house, FakeNode(1, node_id=1))
        stranger = FakeNode(2, node_id=2)
        stranger.cluster = "elsewhere"
        membership = await join(house, stranger)
        await pass_time(60)

        assert not membership.is_connected
        (told,) = [sentence for sentence in house.said if "other_cluster" in sentence]
        assert "refused this node" in told
        assert "cluster elsewhere" in told
        assert "away" not in told


@pytest.mark.parametrize(
    "line",
    [
        b"?\n",
        b'{"type":"error","value":{"code":"c","title":"","detail":""}}\n',
        b'{"type":"C account","user_id":"nobody"}\n',
        b'{"type":"listed","value":{"symbol":"x","base":"","quote":"","tick_size":"0",'
        b'"lot_size":"0","base_decimals":0,"quote_decimals":0}}\n',
    ],
)
async def test_coordinator_that_breaks_the_protocol_is_left_and_dialed_again(
    autojump_clock: MockClock, line: bytes
) -> None:
    """C1: never crashes a node."""
    coordinator, node = FakeCoordinator(), FakeNode(1, node_id=1)
    membership = Membership("", node, dial=coordinator.dial)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(membership.run)
        client = await coordinator.accept()
        await client.stream.send_all(line)
        assert await client.read() is None
        await coordinator.accept()
        nursery.cancel_scope.cancel()

    assert node.registrations == 2


async def test_silent_coordinator_is_left(autojump_clock: MockClock) -> None:
    """C1: its machine is gone; no packet says so."""
    coordinator, node = FakeCoordinator(), FakeNode(1, node_id=1)
    membership = Membership("", node, dial=coordinator.dial)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(membership.run)
        await coordinator.accept()
        await coordinator.accept()
        nursery.cancel_scope.cancel()

    assert node.registrations == 2


async def test_node_that_was_away_registers_anew_at_once(autojump_clock: MockClock) -> None:
    """B5, C3: the coordinator says whether another process has taken its place."""
    coordinator, node = FakeCoordinator(), FakeNode(1, node_id=1)
    said: list[str] = []
    membership = Membership("", node, dial=coordinator.dial, say=said.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(membership.run)
        await coordinator.accept()
        membership.come_again()
        with trio.fail_after(1):  # a silent coordinator is left much later
            await coordinator.accept()
        nursery.cancel_scope.cancel()

    assert node.registrations == 2
    assert said == []  # the coordinator is not away
