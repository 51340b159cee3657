"""Orders do not outlive the program that watches over them."""

import trio.testing

from exchange.node.deadman import DeadMan
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
