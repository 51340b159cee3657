"""The coordinator's end of a node's connection asks in order and gives up on the silent."""

import json

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from exchange.coordinator import node_link
from exchange.coordinator.connection import Connection
from exchange.coordinator.node_link import NodeLink
from exchange.domain.instruments import Instrument, plain_ticker
from exchange.domain.units import AccountId, NodeId, make_id
from exchange.engine.effects import Refused
from exchange.wire.coordinator_lines import Joined
from tests.exchange.coordinator.house import Client, pass_time

ACCOUNT = AccountId(make_id(1, 7))


async def ensure(symbol: str) -> Instrument | Refused:
    await trio.lowlevel.checkpoint()
    return plain_ticker(symbol) if symbol == "AAPL" else Refused("invalid_symbol", "no")


def a_link() -> tuple[NodeLink, Client]:
    ours, theirs = memory_stream_pair()
    return NodeLink(Connection(ours, line_bytes_max=1 << 16), NodeId(1)), Client(theirs)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b'"1-7"\n', None),
        (b'{"type":"error","value":{"code":"c","title":"","detail":"d"}}\n', Refused("c", "d")),
        (b'"1-8"\n', Refused("node_lost", "the node went away; ask again")),
        (b"?\n", Refused("node_lost", "the node went away; ask again")),
        (b"", Refused("node_lost", "the node went away; ask again")),
    ],
)
async def test_account_is_opened_as_the_node_says(
    autojump_clock: MockClock, answer: bytes, outcome: Refused | None
) -> None:
    """C1: a silent node has not opened it."""
    link, node = a_link()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run, ensure)
        asked = link.ask_account(ACCOUNT, b"hash")
        request = await node.read()
        if answer:
            await node.stream.send_all(answer)

        assert request["type"] == "C account"
        assert request["user_id"] == "1-7"
        assert await link.answer(asked) == outcome
        link.check()
        link.close()


async def test_answers_are_told_apart_by_their_order(autojump_clock: MockClock) -> None:
    """C1: "ok" to a joined, then the account."""
    link, node = a_link()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run, ensure)
        link.push(Joined(2, "127.0.0.1:7002"))
        asked = link.ask_account(ACCOUNT, b"")
        kinds = [(await node.read())["type"], (await node.read())["type"]]
        await node.stream.send_all(b'"ok"\n"1-7"\n')

        assert kinds == ["joined", "C account"]
        assert await link.answer(asked) is None
        link.close()


async def test_node_asks_for_listings_on_the_same_connection(autojump_clock: MockClock) -> None:
    """M2."""
    link, node = a_link()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run, ensure)
        listed, refused = await node.ask(
            {"type": "instrument.ensure", "id": 1, "value": {"symbol": "AAPL"}},
            {"type": "instrument.ensure", "id": 2, "value": {"symbol": "?"}},
        )

        assert (listed["id"], listed["value"]["symbol"]) == (1, "AAPL")
        assert (refused["id"], refused["value"]["code"]) == (2, "invalid_symbol")
        link.close()


async def test_heartbeats_keep_a_link_that_answers(autojump_clock: MockClock) -> None:
    """C1."""
    link, node = a_link()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run, ensure)
        for _ in range(10):
            assert await node.read() == {"type": "heartbeat"}
            await node.stream.send_all(json.dumps("ok").encode() + b"\n")
        await wait_all_tasks_blocked()
        was_closed = link.is_closed
        await pass_time(node_link.HEARTBEAT_S + node_link.ANSWER_S_MAX + 1)

        assert not was_closed
        assert link.is_closed


async def test_link_that_has_ended_answers_at_once(autojump_clock: MockClock) -> None:
    """C1."""
    link, node = a_link()
    await node.stream.aclose()
    await link.run(ensure)
    asked = link.ask_account(ACCOUNT, b"")

    assert link.is_closed
    assert isinstance(await link.answer(asked), Refused)


async def test_node_that_is_asked_without_end_is_dropped(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1: every queue has a size."""
    monkeypatch.setattr(node_link, "UNANSWERED_MAX", 3)
    link, _ = a_link()
    for node in range(2, 7):
        link.push(Joined(node, ""))
        link.check()

    assert link.is_closed
