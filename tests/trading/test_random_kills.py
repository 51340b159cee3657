"""Nodes are killed at any instant, in any combination (faults 2.5); the seed says which."""

import os
from pathlib import Path
from random import Random

import pytest
import trio

from tests.trading.market import open_market, trade_round

IS_NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"  # as for the other campaigns
SEEDS = range(1, 31) if IS_NIGHTLY else [1]
KILLS = 7
ANSWERS_MAX = 6  # of the seven orders of a round


@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_is_lost_whatever_is_killed_when(seed: int, ram_path: Path) -> None:
    """E3, E4, S13, W4, faults 2.2, faults 2.5: one node, two, all of them, the coordinator."""
    chance = Random(seed)
    async with open_market(ram_path) as market:
        servers = [*market.local.nodes, market.local.coordinator]
        for _ in range(KILLS):
            victims = chance.sample(servers, chance.randint(1, len(servers)))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trade_round, market, chance.choice(market.node_ids))
                await market.wait_answers(chance.randint(1, ANSWERS_MAX))
                for server in victims:
                    server.kill()
                async with trio.open_nursery() as starts:
                    for server in victims:
                        starts.start_soon(server.start)
            await market.until_registered()
            await market.check()
        await market.check_answers(market.history)
