"""One node of three is dead: the others trade on; it returns, and all doubt with it (B5, S4)."""

import signal
import time
from pathlib import Path

import trio

from tests.trading.market import open_market, peer_state

SUSPECTED_S = 3.0  # B5
TRADES = 60
DEAD = 3
PRICE = "10"


async def test_the_living_trade_at_full_speed_and_the_dead_comes_back(ram_path: Path) -> None:
    """B5, S4, faults 2.3, faults 2.4, faults 2.17."""
    async with open_market(ram_path) as market:
        one, two, three = (market.clients[node_id] for node_id in market.node_ids)
        server = market.local.nodes[DEAD - 1]

        # A trade is left in doubt: the decider holds the offer and has not read it.
        maker = await market.place(three[0], "sell", PRICE, 5)
        server.send_signal(signal.SIGSTOP)
        taken = await market.take(one[0], "buy", PRICE, 2)
        server.kill()

        assert (taken.in_doubt_quantity, taken.filled_quantity) == ("2", "0")
        for node_id in (1, 2):
            await market.until(node_id, lambda status: peer_state(status, DEAD) == "suspected")

        # Its orders are in no book, as nobody is matched with them.
        shown = (await market.cluster.book(2, "ACME")).asks
        assert PRICE not in [price for price, *_ in shown]
        missed = await market.take(two[0], "buy", PRICE, 1)
        assert missed.status == "canceled"

        # The others trade: were each order to wait for the dead, it would be 3 s an order.
        with trio.fail_after(SUSPECTED_S * TRADES / 3):
            for _ in range(TRADES):
                await market.place(one[1], "sell", "9.00", 1)
                fill = await market.take(two[1], "buy", "9.00", 1)
                assert fill.status == "filled"
        assert (await market.cluster.status(1)).offers_in_doubt == 1

        # It returns.
        server.launch()
        await market.until(1, lambda status: peer_state(status, DEAD) == "synced")
        synced = time.monotonic()
        await market.until(1, lambda status: not status.offers_in_doubt)
        assert time.monotonic() - synced < 1.0
        await server.wait_ready()

        # Its order has what the offer left of it, in every book, and is matched again.
        await market.quiet()
        now = (await one[0].order(taken.order_id)).order
        assert now.filled_quantity == "2"
        assert now.in_doubt_quantity == "0"
        for node_id in market.node_ids:
            assert (await market.cluster.book(node_id, "ACME")).asks[0][:2] == (PRICE, "3")
        rest = await market.take(two[0], "buy", PRICE, 3)
        assert rest.status == "filled"
        assert (await three[0].order(maker.order_id)).order.status == "filled"
        await market.check()
