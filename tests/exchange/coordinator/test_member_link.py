"""Answers to the coordinator leave in order; its own answers reach whoever asked."""

import trio
import trio.testing

from exchange.coordinator.connection import Connection
from exchange.coordinator.member_link import Link
from exchange.domain.instruments import Instrument, plain_ticker
from exchange.engine.effects import Refused
from exchange.wire.coordinator_lines import ANSWER_BYTES_MAX


def a_link() -> tuple[Link, trio.abc.Stream]:
    near, far = trio.testing.memory_stream_pair()
    return Link(Connection(near, line_bytes_max=ANSWER_BYTES_MAX)), far


async def test_answer_waits_for_those_before_it(nursery: trio.Nursery) -> None:
    """C1: the coordinator tells answers apart by their order alone."""
    link, coordinator = a_link()
    nursery.start_soon(link.write)
    first = link.promise()
    link.promise(b"second\n")
    await trio.testing.wait_all_tasks_blocked()
    link.fulfil(first, b"first\n")

    assert await coordinator.receive_some() == b"first\nsecond\n"
    nursery.cancel_scope.cancel()


async def test_whoever_asked_for_a_listing_hears_of_it(nursery: trio.Nursery) -> None:
    """M2."""
    link, coordinator = a_link()
    nursery.start_soon(link.write)
    heard: list[Instrument | Refused | None] = []

    async def ask() -> None:
        heard.append(await link.ensure(7, "AAPL"))

    nursery.start_soon(ask)
    assert b'"instrument.ensure"' in await coordinator.receive_some()
    link.answered(8, Refused("other", "of nobody"))
    link.answered(7, plain_ticker("AAPL"))
    await trio.testing.wait_all_tasks_blocked()

    assert heard == [plain_ticker("AAPL")]
    nursery.cancel_scope.cancel()


async def test_link_that_ends_leaves_nobody_waiting(nursery: trio.Nursery) -> None:
    """C1: without the coordinator a node goes on."""
    link, _ = a_link()
    heard: list[Instrument | Refused | None] = []

    async def ask() -> None:
        heard.append(await link.ensure(1, "AAPL"))

    nursery.start_soon(ask)
    await trio.testing.wait_all_tasks_blocked()
    link.end()
    await trio.testing.wait_all_tasks_blocked()

    assert heard == [None]
    nursery.cancel_scope.cancel()
