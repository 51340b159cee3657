"""Orders do not outlive the program that watches over them."""

from collections.abc import Sequence

import pytest
import trio.testing

from exchange.domain.units import Micros
from exchange.engine.inputs import CancelAll
from exchange.engine.state import Switch
from exchange.node.deadman import DeadMan
from exchange.node.hub import Item
from tests.exchange.node.fakes import Clocks
from tests.exchange.node.shop import ALICE, BOB, Shop, order, rich

SECOND_US = 1_000_000


def test_account_is_due_once_unless_it_is_armed_again() -> None:
    """Interfaces section 1: `session.cancel_after`."""
    clocks = Clocks()
    deadman = DeadMan(clocks.mono_us)
    deadman.arm(ALICE, 2)
    deadman.arm(BOB, 1)
    clocks.now_us += SECOND_US
    deadman.arm(ALICE, 2)
    assert deadman.due() == [BOB]
    clocks.now_us += SECOND_US
    assert deadman.due() == []
    clocks.now_us += SECOND_US

    assert deadman.due() == [ALICE]
    assert deadman.due() == []


def test_zero_disarms() -> None:
    """Interfaces section 1."""
    clocks = Clocks()
    deadman = DeadMan(clocks.mono_us)
    deadman.arm(ALICE, 1)
    deadman.arm(ALICE, 0)
    clocks.now_us += 2 * SECOND_US

    assert deadman.due() == []


async def test_orders_of_a_silent_account_are_canceled() -> None:
    """Issue 5: the dead-man switch."""
    shop = Shop()
    async with shop.open() as nursery:
        alice, bob = await shop.enter(nursery), await shop.enter(nursery, "1-2")
        await bob.ask(order("buy", 1, 1))
        armed = await alice.ask(order("buy", 1, 1), rich(1, "session.cancel_after", seconds=5))
        shop.clients.cancel_silent()
        assert await alice.ask({"type": "R order"}) != [{}]
        shop.clocks.now_us += 5 * SECOND_US
        shop.clients.cancel_silent()

        assert armed == ["ok", {"id": 1, "type": "ok", "value": {}}]
        assert await alice.ask({"type": "R order"}) == [{}]
        assert await bob.ask({"type": "R order"}) != [{}]


async def test_orders_are_canceled_on_disconnect_if_that_was_asked_for() -> None:
    """Interfaces section 1: `session.cancel_on_disconnect`."""
    shop = Shop()
    async with shop.open() as nursery:
        alice, bob = await shop.enter(nursery), await shop.enter(nursery, "1-2")
        verb = "session.cancel_on_disconnect"
        await alice.ask(order("buy", 1, 1), rich(1, verb))
        await bob.ask(order("buy", 1, 1), rich(1, verb), rich(2, verb, enabled=False))
        await alice.stream.aclose()
        await bob.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        alice, bob = await shop.enter(nursery), await shop.enter(nursery, "1-2")

        assert await alice.ask({"type": "R order"}) == [{}]
        assert await bob.ask({"type": "R order"}) != [{}]


def restarted(clocks: Clocks, *switches: Switch) -> DeadMan:
    """Return the switches of a node that starts now."""
    return DeadMan(clocks.mono_us, switches=switches, wall_us=lambda: clocks.now_us)


def test_deadline_goes_on_over_a_restart() -> None:
    """S9: what came due while the node was down is due at once, the rest when it comes."""
    clocks = Clocks()
    clocks.now_us = 100 * SECOND_US
    early = Switch(ALICE, 5, False, Micros(90 * SECOND_US))
    late = Switch(BOB, 20, False, Micros(90 * SECOND_US))
    deadman = restarted(clocks, early, late)

    assert deadman.due() == [ALICE]
    clocks.now_us += 9 * SECOND_US
    assert deadman.due() == []
    clocks.now_us += 1 * SECOND_US
    assert deadman.due() == [BOB]


def test_wall_clock_that_went_back_puts_no_deadline_off_for_long() -> None:
    """S9: never later than the seconds that were asked for."""
    clocks = Clocks()
    clocks.now_us = 10 * SECOND_US
    deadman = restarted(clocks, Switch(ALICE, 5, False, Micros(90 * SECOND_US)))
    clocks.now_us += 5 * SECOND_US

    assert deadman.due() == [ALICE]


def test_account_is_watched_until_its_last_connection_that_asked_for_it() -> None:
    """S9: the switch that is logged belongs to the account."""
    deadman = DeadMan(Clocks().mono_us)
    deadman.watch(ALICE, is_on=True)
    deadman.watch(ALICE, is_on=True)

    assert deadman.watch(ALICE, is_on=False)
    assert not deadman.watch(ALICE, is_on=False)


async def test_switches_are_logged_before_they_are_answered_and_disarmed_when_done() -> None:
    """S9: no acknowledged answer is lost."""
    shop = Shop()
    async with shop.open() as nursery:
        alice = await shop.enter(nursery)
        await alice.ask(
            rich(1, "session.cancel_after", seconds=5), rich(2, "session.cancel_on_disconnect")
        )
        armed = shop.engine.state.switches[ALICE]
        shop.clocks.now_us += 5 * SECOND_US
        shop.clients.cancel_silent()
        await alice.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()

        assert (armed.cancel_after, armed.is_watched) == (5, True)
        assert ALICE not in shop.engine.state.switches


async def test_orders_of_those_who_were_connected_when_the_node_died_are_canceled() -> None:
    """S9: at the start, before anybody is served; nobody is connected any more."""
    shop = Shop()
    async with shop.open() as nursery:
        alice = await shop.enter(nursery)
        await alice.ask(order("buy", 1, 1))
        shop.desk.deadman.orphans.append(ALICE)
        shop.clients.cancel_orphaned()

        assert await alice.ask({"type": "R order"}) == [{}]
        assert shop.desk.deadman.orphans == []


async def test_cancel_on_disconnect_comes_behind_what_its_connection_has_placed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S9: else an order that was placed before would outlive it."""
    shop = Shop()
    fed: list[tuple[object, int]] = []
    feed = shop.hub.feed

    def spy(items: Sequence[Item], source: int = 0) -> None:
        fed.extend((item, source) for item in items)
        feed(items, source)

    async with shop.open() as nursery:
        alice = await shop.enter(nursery)
        await alice.ask(rich(1, "session.cancel_on_disconnect"))
        monkeypatch.setattr(shop.hub, "feed", spy)
        await alice.ask(order("buy", 1, 1))
        await alice.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()

        (placed, source), (canceled, behind), _ = fed
        assert isinstance(canceled, CancelAll), placed
        assert source == behind
