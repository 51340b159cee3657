"""A graceful stop: everything is answered, nothing in doubt, the next start redoes nothing."""

import signal
from pathlib import Path

import trio

from recovery.inspection import inspect
from recovery.problems import exit_code
from tests.trading.market import Market, open_market, trade_round

VICTIM = 2


async def test_a_stop_during_trading_loses_nothing_and_leaves_nothing_to_redo(
    ram_path: Path,
) -> None:
    """C6, S4, W5, faults 2.13: exit 0, `endpoints.json` gone, a checkpoint at the end."""
    async with open_market(ram_path) as market:
        server = market.local.nodes[VICTIM - 1]
        endpoints = server.directory / "endpoints.json"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_trade_until_stopped, market)
            await market.take(market.clients[VICTIM][0], "buy", "5.00", 1)  # the round is on
            assert endpoints.exists()
            assert await server.stop() == 0
            assert not endpoints.exists()

            found = inspect([server.directory])
            assert exit_code(found.problems) == 0
            (node,) = found.directories
            assert node.checkpoint_lsn == node.last_lsn
            assert node.offers_in_doubt == 0
            before = node.epoch

            assert (await server.start()).epoch == before + 1
        await market.check()


async def test_a_whole_cluster_stops_and_comes_back(ram_path: Path) -> None:
    """C5, C6: all at once, in both directions."""
    async with open_market(ram_path) as market:
        await trade_round(market, 1)
        asked = list(market.asked)
        servers = [market.local.coordinator, *market.local.nodes]

        assert await market.local.stop() == [0, 0, 0, 0]
        for server in servers:
            assert not (server.directory / "endpoints.json").exists()
        market.check_directories()
        for server in servers:
            server.launch()
        async with trio.open_nursery() as nursery:
            for server in servers:
                nursery.start_soon(server.wait_ready)

        await market.check_answers(asked)
        await trade_round(market, 3)
        await market.check()


async def test_an_interrupt_is_a_graceful_stop_too(ram_path: Path) -> None:
    """Interfaces 4: ctrl-C of somebody who tries it out."""
    async with open_market(ram_path, nodes=2) as market:
        await trade_round(market, 2)
        for server in [*market.local.nodes, market.local.coordinator]:
            server.send_signal(signal.SIGINT)

            assert await server.wait_ended() == 0
        market.check_directories()


async def _trade_until_stopped(market: Market) -> None:
    """Trade on as long as the first life of the node lasts; clients ask again in the second."""
    server = market.local.nodes[VICTIM - 1]
    life = server.pid
    while server.pid == life:
        await trade_round(market, VICTIM)
