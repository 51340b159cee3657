"""A node joins while the others trade: nobody pauses, all books are equal (B2, C1)."""

from pathlib import Path

import trio

from exchange.client.quiescence import unequal_books
from tests.trading.market import Market, open_market, trade_round

RESTING = 1_200  # orders at each node: a snapshot of several chunks from each
ROUNDS = 3  # of trading before, and again afterwards
PAUSE_S_MAX = 2.5  # less than the 3 s that are waited for a peer that says nothing (B5)


async def test_a_fourth_node_joins_under_load_and_nobody_pauses(ram_path: Path) -> None:
    """B2, B3, B4, C1, C6: it has every book before it takes an order."""
    async with open_market(ram_path) as market:
        for node_id in market.node_ids:
            await _fill_book(market, node_id)
        load = Load(market)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            await load.wait_rounds(ROUNDS)
            market.slowest_s = 0.0
            await market.local.add_node()
            status = await market.cluster.status(4)
            await load.wait_rounds(ROUNDS)
            load.is_over = True

        assert {peer.state for peer in status.peers} == {"synced"}
        assert min(peer.orders for peer in status.peers) >= RESTING
        assert market.slowest_s < PAUSE_S_MAX
        await market.open_accounts(2)
        assert market.node_ids == [1, 2, 3, 4]
        assert not unequal_books(await market.quiet())
        await trade_round(market, 4)
        await market.check()


async def _fill_book(market: Market, node_id: int) -> None:
    requests = [
        market.order("buy", f"{2 + place % 300 / 100:.2f}", 1 + place % 7)
        for place in range(RESTING)
    ]
    assert await market.place_many(market.clients[node_id][0], requests, kept=97) == RESTING


class Load:
    """Trades round after round, at each node in turn."""

    def __init__(self, market: Market) -> None:
        self.is_over = False
        self._market = market
        self._rounds = 0
        self._turned = trio.Event()

    async def run(self) -> None:
        """Trade until it is over."""
        node_ids = self._market.node_ids
        while not self.is_over:
            await trade_round(self._market, node_ids[self._rounds % len(node_ids)])
            self._rounds += 1
            self._turned.set()
            self._turned = trio.Event()

    async def wait_rounds(self, number: int) -> None:
        """Wait for so many rounds more."""
        for _ in range(number):
            await self._turned.wait()
