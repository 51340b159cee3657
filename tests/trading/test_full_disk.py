"""The disk of a node is full: what it owes still goes on, and nothing is lost (W7, faults 1)."""

import signal
from pathlib import Path

import pytest
import trio

from exchange.client.account import AccountClient
from exchange.client.errors import Refused
from exchange.client.results import Order
from tests.trading.conftest import Mount
from tests.trading.market import PATIENCE_S, Market, open_market, trade_round
from tests.trading.matrix import armed

SIZE_MIB = 100
SPARE = 20 << 20  # bytes left to cancels and settlements; below the node's reserve
NODE = 2
RESTING = 400  # orders that are there to be canceled


async def test_a_full_disk_refuses_orders_before_it_loses_any(ram_path: Path, mount: Mount) -> None:
    """W7, S4: cancels and settlements go on; even a killed node comes back on a full disk."""
    disk = mount(ram_path / f"node-{NODE}", SIZE_MIB)
    async with open_market(ram_path, nodes=2) as market:
        ours, theirs = market.clients[NODE][0], market.clients[1][0]
        server = market.local.nodes[NODE - 1]
        resting = await _rest(market)
        await market.place(ours, "sell", "10.00", 100_000)

        # Nearly full: refused in time.
        disk.fill(but=SPARE)
        await market.until(NODE, lambda status: status.is_storage_full)
        with pytest.raises(Refused, match="storage_full"):
            await market.place(ours, "buy", "1.00", 1)
        with pytest.raises(Refused, match="storage_full"):
            await ours.deposit("USD", "1")
        await market.cancel(ours, resting.pop())
        assert (await market.take(theirs, "buy", "10.00", 2)).status == "filled"

        # Full to the last byte, and killed at the very moment it gives up its ballast.
        server.kill()
        await server.start(environment=armed("ballast_released"))
        disk.fill()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel, market, ours, resting)
            assert await server.wait_ended(PATIENCE_S) == -signal.SIGKILL
            assert not (server.directory / "ballast").exists()

            # It comes back all the same, goes on with the cancels, and refuses orders.
            await server.start()
        await market.until(NODE, lambda status: status.is_storage_full)
        assert (await market.take(theirs, "buy", "10.00", 2)).status == "filled"
        with pytest.raises(Refused, match="storage_full"):
            await market.place(ours, "buy", "1.00", 1)
        await market.check()

        # Not a byte left, and no ballast: it ends and says why, and does not go in circles.
        disk.fill()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_take_until_dead, market, theirs)
            assert await server.wait_ended(PATIENCE_S) == 1
            assert "make room on the disk" in server.last_words()

            # There is room again: nothing was lost.
            disk.empty()
            await server.start()
        await market.until(NODE, lambda status: not status.is_storage_full)
        await trade_round(market, NODE)
        await market.check()
        assert (server.directory / "ballast").exists()


async def _rest(market: Market) -> list[Order]:
    """Place orders that nobody wants, one by one known."""
    client = market.clients[NODE][0]
    return [await market.place(client, "buy", "2.00", 1) for _ in range(RESTING)]


async def _cancel(market: Market, client: AccountClient, orders: list[Order]) -> None:
    """Cancel orders one after another, through crashes too."""
    for order in orders:
        await market.cancel(client, order)


async def _take_until_dead(market: Market, client: AccountClient) -> None:
    """Have the node settle trade after trade."""
    server = market.local.nodes[NODE - 1]
    life = server.pid
    while server.pid == life:
        await market.take(client, "buy", "10.00", 1)
