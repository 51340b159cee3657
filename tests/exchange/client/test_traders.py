"""Accounts are opened, funded and counted again."""

from collections import Counter
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from exchange.client.cluster import Cluster
from exchange.client.cluster_process import LocalCluster
from exchange.client.errors import Unreachable
from exchange.client.flow import Aggress, Flow, Place
from exchange.client.results import NodeStatus
from exchange.client.traders import (
    FundingError,
    Traders,
    balances,
    lost_or_made,
    open_traders,
    wait_listed,
)
from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import Asset, Lots, Ticks


def a_flow(symbol: str) -> Flow:
    """Make a flow of a bid and two sells."""
    instrument = plain_ticker(symbol)
    name = instrument.symbol
    return Flow(
        (instrument,),
        4,
        [
            Place(1, name, "a", 0, Side.BUY, Ticks(100), Lots(5)),
            Place(2, name, "b", 1, Side.SELL, Ticks(110), Lots(5)),
            Aggress(3, name, "t", 2, Side.SELL, Ticks(100), Lots(5)),
        ],
    )


async def test_accounts_are_spread_and_hold_what_was_deposited(
    live: LocalCluster, symbol: str
) -> None:
    """S13, C1: exactly, and over all nodes."""
    async with live.connect() as cluster:
        traders = await open_traders(cluster, a_flow(symbol), lambda *_: None)
        total = await balances(traders)

    assert traders.node_ids == [1, 2]
    assert total == traders.deposited
    assert set(total) == {"USD", symbol}
    assert lost_or_made(traders, total) == []


async def test_refused_deposit_stops_the_run(live: LocalCluster, symbol: str) -> None:
    """Nothing is compared that was not funded."""
    whole = a_flow(symbol)
    flow = Flow(whole.instruments, 1, whole.actions[:1])
    async with live.connect() as cluster:
        original = cluster.account

        def keyless(user_id: str, api_key: str = "") -> object:
            cluster.operator_key = ""
            return original(user_id, api_key)

        cluster.account = keyless  # type: ignore[method-assign, assignment]
        with pytest.raises(FundingError, match="forbidden"):
            await open_traders(cluster, flow, lambda *_: None)


class Deaf(Cluster):
    """A node that has heard of no listing, or does not answer at all."""

    def __init__(self, told: NodeStatus | None) -> None:
        self._told = told

    async def status(self, node_id: int, *, within: float = 1.0) -> NodeStatus:
        """Answer at once, or not in time."""
        await trio.sleep(0 if self._told else within)
        if self._told is None:
            raise Unreachable(f"node {node_id} does not answer")
        return self._told


async def test_node_that_was_not_told_is_told_from_one_that_does_not_answer(
    autojump_clock: MockClock, statuses: Callable[..., list[NodeStatus]]
) -> None:
    """C1: a listing that was lost, and a node that is away, are looked for elsewhere."""
    (told,) = statuses(1, instruments=1)

    with pytest.raises(FundingError, match="node 1 has heard of 1 of 2 listings"):
        await wait_listed(Deaf(told), 1, 2)
    with pytest.raises(Unreachable):
        await wait_listed(Deaf(None), 1, 2)


def test_what_is_lost_or_made_is_named_in_decimals() -> None:
    """S13: to the last unit."""
    traders = Traders(
        None,  # type: ignore[arg-type]  # never asked
        {plain_ticker("X").symbol: plain_ticker("X")},
        [],
        Counter({Asset("USD"): 1000, Asset("X"): 5}),
    )

    assert lost_or_made(traders, Counter({Asset("USD"): 999, Asset("X"): 7})) == [
        "0.01 USD lost",
        "2 X made",
    ]
