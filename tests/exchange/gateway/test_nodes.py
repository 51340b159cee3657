"""The gateway asks nodes as a client does, and hides that one of them restarts."""

from collections.abc import Callable

import msgspec
import pytest
import trio
from trio.testing import MockClock

from exchange.client.connection import Repeat, Request
from exchange.client.errors import OutcomeUnknown, Refused, Unreachable
from exchange.client.link import Answer
from exchange.gateway.nodes import LOOK_S, REQUEST_S, Nodes
from exchange.node.embedding import stream_pair
from exchange.process.logs import Event

Line = dict[str, object]
Script = Callable[[Line], object]


class FakeNode:
    """Answers lines by a function; every dial is a new connection."""

    def __init__(self, nursery: trio.Nursery, script: Script) -> None:
        self.nursery = nursery
        self.script = script
        self.lines: list[Line] = []
        self.dials = 0

    async def dial(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        self.dials += 1
        ours, theirs = stream_pair()
        self.nursery.start_soon(self._serve, theirs)
        return ours

    async def _serve(self, stream: trio.SocketStream) -> None:
        rest = b""
        async with stream:
            async for data in stream:
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    request = msgspec.json.decode(line)
                    self.lines.append(request)
                    answer = self.script(request)
                    if answer is None:
                        return
                    value = {"id": request["id"], **answer}  # type: ignore[dict-item]
                    await stream.send_all(msgspec.json.encode(value) + b"\n")


def an_order(name: str) -> Request:
    return Request("order.create", {"client_order_id": name}, Repeat.SAFE, "1-1.key", None, name)


def some_nodes(nursery: trio.Nursery, node: FakeNode) -> Nodes:
    nobody = "127.0.0.1:1"
    return Nodes(nursery, nobody, local_id=lambda: 1, dial_local=node.dial)


async def test_all_users_share_one_connection(nursery: trio.Nursery) -> None:
    """C7: one connection per node, the credentials with each request."""
    node = FakeNode(nursery, lambda line: {"type": "account", "value": line["auth"]})
    nodes = some_nodes(nursery, node)
    for key in ("1-1.a", "1-2.b"):
        answer = await nodes.ask(1, Request("account.get", {}, auth=key))
        assert msgspec.json.decode(answer.value) == key

    assert node.dials == 1


async def test_list_is_sent_again_where_the_connection_broke(
    nursery: trio.Nursery, autojump_clock: trio.abc.Clock
) -> None:
    """C7: a node that restarts between an order and its answer is asked again, by the same id."""
    seen: list[str] = []

    def script(line: Line) -> object:
        name = line["value"]["client_order_id"]  # type: ignore[index]
        seen.append(name)
        if name == "b" and seen.count("b") == 1:
            return None
        if name == "c":
            return {"type": "error", "value": {"code": "invalid_price", "detail": "no"}}
        return {"type": "order", "value": {"client_order_id": name}}

    nodes = some_nodes(nursery, FakeNode(nursery, script))
    answers = await nodes.ask_all(1, [an_order(name) for name in "abcd"], set())

    assert [type(answer) for answer in answers] == [Answer, Answer, Refused, Answer]
    assert seen.count("a") == 1


async def test_node_that_stays_away_is_told_apart_from_a_lost_answer(
    nursery: trio.Nursery, autojump_clock: trio.abc.Clock
) -> None:
    """C7; faults 2.15: never sent is 'not there', sent and unanswered is 'unknown'."""
    lost = some_nodes(nursery, FakeNode(nursery, lambda _line: None))
    (unknown,) = await lost.ask_all(1, [an_order("a")], set())

    async def refused() -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise ConnectionRefusedError

    away = Nodes(nursery, "127.0.0.1:1", local_id=lambda: 1, dial_local=refused)

    assert isinstance(unknown, OutcomeUnknown)
    with pytest.raises(Unreachable):
        await away.ask(1, Request("account.get", {}))


async def test_list_to_a_node_that_is_away_has_happened_in_no_part(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """C7: 503 for each order, after the time that a restart takes, and safe to send again."""

    async def nowhere() -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise ConnectionRefusedError(111, "refused")

    nodes = Nodes(nursery, "127.0.0.1:1", local_id=lambda: 1, dial_local=nowhere)
    begun = trio.current_time()  # noqa: TID251 - of the clock that jumps
    answers = await nodes.ask_all(1, [an_order("a"), an_order("b")], set())

    assert [type(answer) for answer in answers] == [Unreachable, Unreachable]
    assert trio.current_time() - begun < REQUEST_S  # noqa: TID251


async def test_made_up_node_is_not_dialed(
    nursery: trio.Nursery, autojump_clock: trio.abc.Clock
) -> None:
    """Faults 3: anyone can make a key up that names node 4711."""
    nodes = some_nodes(nursery, FakeNode(nursery, lambda _line: None))

    assert await nodes.is_known(1)
    assert not await nodes.is_known(4711)
    assert await nodes.node_ids() == [1]


async def test_coordinator_that_is_away_is_named(nursery: trio.Nursery) -> None:
    """Faults 2: what is missing is said; here it is no node."""
    nodes = Nodes(nursery, "127.0.0.1:1")

    with pytest.raises(Refused, match="the coordinator is not there just now"):
        await nodes.ask_coordinator(Request("instrument.list", {}))


async def test_coordinator_that_is_away_is_told_of_once(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A gateway alone knows no node without it; in a node, the node says so."""
    told: list[Event] = []
    nodes = Nodes(nursery, "127.0.0.1:1", tell=told.append)
    for _ in range(3):
        assert await nodes.node_ids() == []
        await trio.sleep(LOOK_S)

    assert [event.name for event in told] == ["coordinator_away"]
