"""A cluster is found from any of its servers, and its nodes wherever they are."""

import pytest
import trio

from exchange.client import results
from exchange.client.cluster import ANY_NODE, open_cluster
from exchange.client.cluster_process import LocalCluster
from exchange.client.errors import Refused, Unreachable, UsageError
from exchange.client.settings import Endpoint


def address_of(live: LocalCluster, place: int) -> str:
    """Return where a node listens."""
    endpoints = live.nodes[place].endpoints
    assert endpoints is not None, "it is ready"
    return endpoints.tcp


async def test_coordinator_tells_the_nodes(live: LocalCluster) -> None:
    """C1."""
    async with live.connect() as cluster:
        info = await cluster.info()

        assert await cluster.node_ids() == [1, 2]
    assert [node.tcp for node in info.nodes] == [address_of(live, 0), address_of(live, 1)]
    assert info.is_authenticated


async def test_server_of_either_kind_is_told_apart(live: LocalCluster) -> None:
    """Interfaces 4: `--url` may name a coordinator or a node."""
    async with open_cluster(Endpoint(either=live.endpoint.coordinator)) as cluster:
        from_coordinator = cluster.endpoint
        names = {await cluster.name()}
    async with open_cluster(Endpoint(either=address_of(live, 0))) as cluster:
        from_node = cluster.endpoint
        names.add(await cluster.name())

    assert from_coordinator == Endpoint(coordinator=live.endpoint.coordinator)
    assert from_node == Endpoint(node=address_of(live, 0))
    assert len(names) == 1


async def test_node_alone_leads_to_all_nodes(live: LocalCluster) -> None:
    """C1: the coordinator is not in the trade path."""
    async with open_cluster(Endpoint(node=address_of(live, 0))) as cluster:
        node_ids = await cluster.node_ids()
        status = await cluster.status(2)
        own = await cluster.status(ANY_NODE)

    assert node_ids == [1, 2]
    assert (status.node_id, own.node_id) == (2, 1)


async def test_node_is_found_through_another_one(live: LocalCluster) -> None:
    """C1: without asking for all nodes first."""
    async with open_cluster(Endpoint(node=address_of(live, 0))) as cluster:
        assert (await cluster.status(2)).node_id == 2


async def test_account_needs_the_coordinator(live: LocalCluster) -> None:
    """C1: new accounts wait for it."""
    async with open_cluster(Endpoint(node=address_of(live, 0))) as cluster:
        with pytest.raises(UsageError, match="coordinator"):
            await cluster.open_account()


async def test_listing_twice_does_no_harm(live: LocalCluster, symbol: str) -> None:
    """M2."""
    wanted = results.Instrument(symbol, symbol, "USD", "0.25", "1", 0, 2)
    async with live.connect() as cluster:
        await cluster.create_instrument(wanted)
        await cluster.create_instrument(wanted)
        other = results.Instrument(symbol, symbol, "USD", "0.5", "1", 0, 2)
        with pytest.raises(Refused, match="already_listed"):
            await cluster.create_instrument(other)

        assert wanted in await cluster.instruments()


async def test_book_and_trades_of_every_node_can_be_asked(live: LocalCluster, symbol: str) -> None:
    """Interfaces 1: they are public."""
    async with live.connect() as cluster:
        opened = await cluster.open_account()
        client = cluster.account(opened.user_id, opened.api_key)
        await client.deposit("USD", "100")
        await client.deposit(symbol, "1")
        await client.place(symbol, "buy", price="10", quantity="5")
        books = [await cluster.book(node_id, symbol, depth=3) for node_id in (1, 2)]
        trades = await cluster.trades(1, symbol)

    assert [book.bids for book in books] == [[("10", "5", 1)]] * 2
    assert trades.trades == []


async def test_nobody_there_is_an_error_and_not_a_group(autojump_clock: trio.abc.Clock) -> None:
    """Faults 2.17; exit code 3."""
    with pytest.raises(Unreachable, match="connection refused"):
        async with open_cluster(Endpoint(either="127.0.0.1:1")):
            pass


async def test_error_in_the_block_is_not_wrapped(live: LocalCluster) -> None:
    """Who uses the library catches what was raised."""
    with pytest.raises(KeyError):
        async with live.connect():
            raise KeyError


async def test_coordinator_that_is_away_is_not_needed_where_a_node_is_known(
    live: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1: a data directory names both; the node alone answers for the market."""
    monkeypatch.setattr("exchange.client.cluster.LOOKUP_SECONDS", 0.1)
    endpoint = Endpoint(coordinator="127.0.0.1:1", node=address_of(live, 0))
    async with open_cluster(endpoint) as cluster:
        assert await cluster.node_ids() == [1, 2]
        assert await cluster.info_if_there() is None
        assert (await cluster.status(2)).cluster == await cluster.name()
