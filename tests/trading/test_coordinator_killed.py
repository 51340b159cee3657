"""The coordinator dies during trading: nobody notices (C1, C5)."""

from pathlib import Path

import pytest
import trio

from exchange.client.errors import ClientError
from tests.trading.market import open_market, trade_round

ROUNDS = 5
VICTIM = 2


async def test_trading_and_restarts_go_on_without_a_coordinator(ram_path: Path) -> None:
    """C1, C2, C5, faults 2.3: only new nodes, new accounts and new listings wait."""
    async with open_market(ram_path) as market:
        coordinator, victim = market.local.coordinator, market.local.nodes[VICTIM - 1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trade_round, market, VICTIM)
            coordinator.kill()
        for _ in range(ROUNDS):
            await trade_round(market, VICTIM)
        await market.check()

        # A node restarts meanwhile.  Clients cannot ask where it is, so it comes back there;
        # its peers know it from their own logs.
        assert victim.endpoints is not None
        victim.listen = victim.endpoints.tcp
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trade_round, market, VICTIM)
            victim.kill()
            await victim.start()
        await trade_round(market, VICTIM)
        await market.check()

        # What needs the coordinator says so, and works again once it is back.
        with pytest.raises(ClientError, match=r"no answer|refused|broke"):
            await market.cluster.open_account(within=0.5)
        await coordinator.start()
        await market.until_registered()
        await market.open_accounts(3)
        await trade_round(market, VICTIM)
        await market.check()
