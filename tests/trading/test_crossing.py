"""Two orders that cross, placed at the same instant on two nodes (S2, faults 2.1).

The same 1,000 times without sockets, in every order of arrival: tests/exchange/engine.
"""

from collections import defaultdict
from pathlib import Path

import trio

from exchange.client.account import AccountClient
from exchange.client.results import Order
from tests.trading.market import Market, open_market

TIMES = 200
PRICES = [("10.00", "10.00"), ("10.02", "10.00"), ("10.00", "9.97")]  # buy, sell


async def test_a_pair_placed_at_one_instant_costs_one_offer_and_no_decline(ram_path: Path) -> None:
    """S2, faults 2.1: only the owner of the younger order proposes."""
    async with open_market(ram_path, nodes=2, accounts=1) as market:
        pairs = [await _cross(market, number) for number in range(TIMES)]

        statuses = await market.quiet()
        assert sum(status.offers for status in statuses) == TIMES
        assert sum(status.declines for status in statuses) == 0
        assert sum(status.trades for status in statuses) == TIMES
        trades = await _trades(market)
        for buy, sell in pairs:
            assert trades[buy.order_id] == trades[sell.order_id] != []
        await market.check()


async def _cross(market: Market, number: int) -> tuple[Order, Order]:
    """Place both orders at once, each at its node; wait until the pair is done with."""
    sides = ("buy", "sell") if number % 2 else ("sell", "buy")  # of the first node and the second
    placed: dict[str, Order] = {}

    async def place(client: AccountClient, side: str) -> None:
        price = PRICES[number % len(PRICES)][side == "sell"]
        order = await market.place(client, side, price, 3)
        placed[side] = await market.until_filled(client, order)

    async with trio.open_nursery() as nursery:
        for client, side in zip(market.everyone, sides, strict=True):
            nursery.start_soon(place, client, side)
    return placed["buy"], placed["sell"]


async def _trades(market: Market) -> dict[str, list[str]]:
    """Return the trades of every order."""
    found: dict[str, list[str]] = defaultdict(list)
    for client in market.everyone:
        for fill in await client.all_fills():
            found[fill.order_id].append(fill.trade_id)
    return found
