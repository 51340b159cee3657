"""One account at its node, through real sockets."""

import pytest

from exchange.client.account import AccountClient, Credentials, order_name
from exchange.client.cluster import Cluster
from exchange.client.cluster_process import LocalCluster
from exchange.client.errors import Refused, UsageError


async def funded(cluster: Cluster, symbol: str) -> AccountClient:
    """Open an account with cash and shares."""
    opened = await cluster.open_account()
    client = cluster.account(opened.user_id, opened.api_key)
    await client.deposit("USD", "100000")
    await client.deposit(symbol, "1000")  # lists the ticker (M2)
    return client


async def test_order_lives_through_amendment_and_cancel(live: LocalCluster, symbol: str) -> None:
    """S9, B3: answered once durable and visible; a cancel says what it removed."""
    async with live.connect() as cluster:
        client = await funded(cluster, symbol)
        placed = await client.place(symbol, "buy", price="10", quantity="5")
        amended = await client.amend(placed.order.order_id, price="11", quantity="7")
        canceled = await client.cancel(placed.order.order_id)
        again = await client.cancel(placed.order.order_id)

    assert (placed.order.status, placed.visible) == ("open", 1)
    assert amended.lsn > placed.lsn
    assert (amended.order.price, amended.order.quantity) == ("11", "7")
    assert (canceled.order.status, canceled.canceled_quantity) == ("canceled", "7")
    assert again.canceled_quantity == "0"


async def test_same_client_order_id_is_the_same_order(live: LocalCluster, symbol: str) -> None:
    """Faults 2.15: a retry after a lost reply is not a second order."""
    async with live.connect() as cluster:
        client = await funded(cluster, symbol)
        first = await client.place(symbol, "buy", price="10", quantity="5", client_order_id="mine")
        second = await client.place(symbol, "buy", price="10", quantity="5", client_order_id="mine")
        found = await client.order(client_order_id="mine")
        with pytest.raises(Refused, match="duplicate_client_order_id"):
            await client.place(symbol, "buy", price="10", quantity="6", client_order_id="mine")

    assert first.order == second.order == found.order
    assert (first.is_replayed, second.is_replayed) == (False, True)


async def test_trade_is_seen_by_both_sides(live: LocalCluster, symbol: str) -> None:
    """S13: each half names the trade, the price and the quantity."""
    async with live.connect() as cluster:
        seller, buyer = await funded(cluster, symbol), await funded(cluster, symbol)
        await seller.place(symbol, "sell", price="10", quantity="5")
        bought = await buyer.place(
            symbol, "buy", price="10.50", quantity="3", time_in_force="ioc", is_done=True
        )
        (sold,), (taken,) = await seller.all_fills(), await buyer.all_fills()
        balances = (await buyer.get()).balances

    assert (bought.order.status, bought.order.average_price) == ("filled", "10")
    assert (sold.trade_id, sold.role, taken.role) == (taken.trade_id, "maker", "taker")
    assert balances[symbol].available == "1003"
    assert balances["USD"].available == "99970"


async def test_pages_of_orders_are_complete(live: LocalCluster, symbol: str) -> None:
    """Interfaces 1: pages are chained by a cursor."""
    async with live.connect() as cluster:
        client = await funded(cluster, symbol)
        placed = [
            (await client.place(symbol, "buy", price="1", quantity="1")).order.order_id
            for _ in range(5)
        ]
        page = await client.orders(status="open", limit=2)
        found = list(page.orders)
        while page.next_cursor is not None:
            page = await client.orders(status="open", cursor=page.next_cursor, limit=2)
            found.extend(page.orders)
        count = await client.cancel_all(symbol)

    assert [order.order_id for order in found] == placed
    assert count.orders == 5


async def test_account_is_closed_once_it_is_empty(live: LocalCluster) -> None:
    """Interfaces 1: `notEmpty`."""
    async with live.connect() as cluster:
        opened = await cluster.open_account()
        client = cluster.account(opened.user_id, opened.api_key)
        await client.deposit("USD", "5.25")
        with pytest.raises(Refused, match="not_empty"):
            await client.close()
        balance = await client.withdraw("USD", "5.25")
        await client.close()
        with pytest.raises(Refused):
            await client.get()

    assert balance.available == "0"


async def test_wrong_key_is_refused(live: LocalCluster) -> None:
    """Faults 3: naming another user's id."""
    async with live.connect() as cluster:
        opened = await cluster.open_account()
        with pytest.raises(Refused, match="unauthorized"):
            await cluster.account(opened.user_id, "not the key").get()


async def test_deposit_needs_the_operator(live: LocalCluster) -> None:
    """Interfaces 1: deposits are an operator's power."""
    async with live.connect() as cluster:
        opened = await cluster.open_account()
        cluster.operator_key = ""
        with pytest.raises(Refused, match="forbidden"):
            await cluster.account(opened.user_id, opened.api_key).deposit("USD", "1")


def test_user_id_names_its_node() -> None:
    """C1: a lookup is arithmetic."""
    assert Credentials("3-17").node_id == 3
    with pytest.raises(UsageError, match="no user id"):
        _ = Credentials("three").node_id


def test_hello_has_a_key_only_if_there_is_one() -> None:
    """Interfaces 1: the first line of a connection."""
    assert Credentials("3-17").hello() == b'"3-17"\n'
    assert Credentials("3-17", "k").hello() == b'{"user_id":"3-17","api_key":"k"}\n'


@pytest.mark.parametrize("names", [("", ""), ("1-1", "mine")])
def test_order_is_named_by_one_of_its_ids(names: tuple[str, str]) -> None:
    """Interfaces 1: `{order_id}` or `{client_order_id}`."""
    with pytest.raises(UsageError):
        order_name(*names)
