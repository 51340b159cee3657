"""A cluster of real processes that is traded on, and what must be true of it afterwards.

Everything is done and seen from outside: sockets, data directories, `exchange-recover`.
Every answer to an order is kept, with the request that brought it:

    acknowledged    asked again, a client order id brings the same bytes, however often and
                    however the node died in between (faults 2.13, 2.15)
    both or neither each trade has its two halves, with the same terms (S13)
    conserved       the accounts hold what was deposited, to the last unit (S13, M3)
    not in doubt    `node.status` of every node says so
    equal           every node shows the same book, and it is what the owners say is open (B4)
    verified        `exchange-recover verify` finds nothing in any directory (W4, W5)
"""

import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

import msgspec
import trio

from exchange.client.account import AccountClient
from exchange.client.cluster import Cluster
from exchange.client.cluster_process import LocalCluster
from exchange.client.connection import Repeat, Request
from exchange.client.link import Answer, Outcome
from exchange.client.quiescence import LOOK_SECONDS, unequal_books, wait_quiescent
from exchange.client.results import Fill, NodeStatus, Order
from recovery.problems import exit_code
from recovery.verification import Verification, verify

SYMBOL = "ACME"
CASH, SHARES = 10_000_000, 1_000_000  # of each account, in dollars and pieces
DEEP_BID, DEEP_ASK = "1.00", "99.00"  # of orders that rest all the time
PAGE = 1000  # the longest there is
PATIENCE_S = 60.0  # for anything that must come at all: a busy machine is no reason to fail


class Asked(msgspec.Struct, frozen=True):
    """A request that was answered, and the answer."""

    user_id: str
    request: Request
    value: bytes


class Market:
    """The accounts of a cluster, and all that was answered to them."""

    def __init__(self, local: LocalCluster, cluster: Cluster) -> None:
        self.local = local
        self.cluster = cluster
        self.clients: dict[int, list[AccountClient]] = defaultdict(list)  # by node id
        self.asked: list[Asked] = []  # since the last check
        self.history: list[Asked] = []  # before it
        self.slowest_s = 0.0  # answer to an order
        self._answered = trio.Event()  # set at each answer, then another one
        self._numbers = count(1)
        self._fills: Counter[str] = Counter()  # already joined, by user id
        self._orders: Counter[str] = Counter()  # already compared with their fills

    @property
    def everyone(self) -> list[AccountClient]:
        """Return all accounts."""
        return [client for _, clients in sorted(self.clients.items()) for client in clients]

    @property
    def node_ids(self) -> list[int]:
        """Return the ids of the nodes that have accounts."""
        return sorted(self.clients)

    async def open_accounts(self, number: int) -> None:
        """Open and fund accounts, each with an order that rests; they are dealt out evenly."""
        for _ in range(number):
            account = await self.cluster.open_account()
            client = self.cluster.account(account.user_id, account.api_key)
            self.clients[client.credentials.node_id].append(client)
            await self.fund(client)
            is_first = len(self.clients[client.credentials.node_id]) == 1
            await self.place(client, *(("buy", DEEP_BID) if is_first else ("sell", DEEP_ASK)), 7)

    async def fund(self, client: AccountClient) -> None:
        """Give an account cash and shares."""
        stock = {"ticker_id": SYMBOL, "quantity": SHARES}
        for line in ({"type": "U balance", "value": CASH}, {"type": "C stock", "value": stock}):
            answer = await client.connection.call_bare(line, within=PATIENCE_S)
            assert bytes(answer.value) == b'"ok"'

    # Trading.

    def order(self, side: str, price: str, quantity: int, **more: object) -> Request:
        """Make the request for an order with a client order id of its own."""
        name = f"order-{next(self._numbers)}"
        value = {
            "symbol": SYMBOL,
            "side": side,
            "price": price,
            "quantity": str(quantity),
            "client_order_id": name,
            **more,
        }
        wait = "done" if more.get("time_in_force") == "ioc" else None
        return Request("order.create", value, Repeat.SAFE, None, wait, name)

    async def place(
        self, client: AccountClient, side: str, price: str, quantity: int, **more: object
    ) -> Order:
        """Place an order, through crashes too, and keep the answer."""
        request, begun = self.order(side, price, quantity, **more), time.monotonic()
        answer = await client.connection.call(request, within=PATIENCE_S)
        self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
        self.asked.append(Asked(client.credentials.user_id, request, bytes(answer.value)))
        self._answered.set()
        self._answered = trio.Event()
        return order_in(answer.value)

    async def wait_answers(self, number: int) -> None:
        """Wait until so many more orders are answered."""
        enough = len(self.asked) + number
        with trio.fail_after(PATIENCE_S):
            while len(self.asked) < enough:
                await self._answered.wait()

    async def place_many(
        self, client: AccountClient, requests: Sequence[Request], *, kept: int = 1
    ) -> int:
        """Place orders down the pipeline; keep every so many-th answer, return how many came."""
        answered, left, done = 0, len(requests), trio.Event()

        def on_outcome(request: Request, is_kept: bool, outcome: Outcome) -> None:
            nonlocal answered, left
            left -= 1
            if isinstance(outcome, Answer):
                answered += 1
                if is_kept:
                    user_id = client.credentials.user_id
                    self.asked.append(Asked(user_id, request, bytes(outcome.value)))
            if not left:
                done.set()

        await client.connection.connect()
        for place, request in enumerate(requests):
            client.connection.submit(request, partial(on_outcome, request, not place % kept))
        await done.wait()
        return answered

    async def take(self, client: AccountClient, side: str, price: str, quantity: int) -> Order:
        """Place an order that never rests; answered once nothing of it is in doubt."""
        return await self.place(client, side, price, quantity, time_in_force="ioc")

    async def until_filled(self, client: AccountClient, order: Order) -> Order:
        """Ask for an order until all of it is filled."""
        with trio.fail_after(PATIENCE_S):
            while True:
                now = (await client.order(order.order_id, within=PATIENCE_S)).order
                if now.status == "filled":
                    return now
                await trio.sleep(LOOK_SECONDS)

    async def cancel(self, client: AccountClient, order: Order) -> None:
        """Cancel an order."""
        await client.cancel(order.order_id, within=PATIENCE_S)

    # What must be true.

    async def quiet(self) -> tuple[NodeStatus, ...]:
        """Wait until nothing is under way."""
        return await wait_quiescent(self.cluster, self.node_ids, within=PATIENCE_S)

    async def until(self, node_id: int, is_so: Callable[[NodeStatus], bool]) -> NodeStatus:
        """Ask a node for its status until it says so."""
        with trio.fail_after(PATIENCE_S):
            while True:
                status = await self.cluster.status(node_id, within=PATIENCE_S)
                if is_so(status):
                    return status
                await trio.sleep(LOOK_SECONDS)

    async def until_registered(self) -> None:
        """Wait until every node has come back to the coordinator."""
        with trio.fail_after(PATIENCE_S):
            while True:
                info = await self.cluster.info(within=PATIENCE_S)
                if {node.node_id for node in info.nodes if node.is_connected} >= set(self.node_ids):
                    return
                await trio.sleep(LOOK_SECONDS)

    async def check(self) -> None:
        """Check everything that this module promises of all that was done since the last one."""
        statuses = await self.quiet()
        assert not any(status.offers_in_doubt for status in statuses)
        assert not unequal_books(statuses)
        await self._check_books()
        await self._check_trades()
        await self._check_balances()
        await self.check_answers(self.asked)
        self.history += self.asked
        self.asked = []
        await self.quiet()
        self.check_directories()

    async def check_answers(self, asked: Sequence[Asked]) -> None:
        """Ask every order again: the same bytes (faults 2.15)."""
        clients = {client.credentials.user_id: client for client in self.everyone}
        for one in asked:
            again = await clients[one.user_id].connection.call(one.request, within=PATIENCE_S)
            first, now = order_in(one.value), order_in(again.value)
            if one.request.wait and first.in_doubt_quantity != "0":  # its decider was suspected
                most = int(first.filled_quantity) + int(first.in_doubt_quantity)
                assert int(first.filled_quantity) <= int(now.filled_quantity) <= most
            else:
                assert one.value == bytes(again.value), f"{first} is now {now}"

    def check_directories(self) -> Verification:
        """Have every byte of every node verified, and the sums of all accounts."""
        found = verify([self.local.nodes[number - 1].directory for number in self.node_ids])
        assert not found.problems
        assert exit_code(found.problems) == 0
        clearing: Counter[str] = Counter()
        inside: Counter[str] = Counter()
        for node in found.directories:
            for row in node.ledger:
                assert row.total == 0, f"{row.asset} at node {node.node_id} is off by {row.total}"
                clearing[row.asset] += row.clearing
                inside[row.asset] += row.accounts + row.external
        assert not any(clearing.values()), "what nodes owe each other does not cancel out"
        assert not any(inside.values()), "accounts hold more or less than ever came in"
        return found

    async def _check_books(self) -> None:
        """Compare what every node shows with what the owners say is open."""
        expected: dict[str, Counter[str]] = {"buy": Counter(), "sell": Counter()}
        for client in self.everyone:
            for order in await _open_orders(client):
                expected[order.side][order.price] += int(order.remaining_quantity)
        for node_id in self.node_ids:
            book = await self.cluster.book(node_id, SYMBOL)
            assert {price: int(lots) for price, lots, _ in book.bids} == expected["buy"]
            assert {price: int(lots) for price, lots, _ in book.asks} == expected["sell"]

    async def _check_trades(self) -> None:
        """Join new fills to trades: both halves, or none, and none that no order knows (S13)."""
        halves: dict[str, list[Fill]] = defaultdict(list)
        filled: Counter[str] = Counter()
        for client in self.everyone:
            for fill in await self._new_fills(client):
                halves[fill.trade_id].append(fill)
                filled[fill.order_id] += int(fill.quantity)
        for trade_id, fills in halves.items():
            assert sorted(fill.role for fill in fills) == ["maker", "taker"], trade_id
            assert sorted(fill.side for fill in fills) == ["buy", "sell"], trade_id
            terms = {(fill.symbol, fill.price, fill.quantity) for fill in fills}
            assert len(terms) == 1, f"the halves of {trade_id} differ: {terms}"
        for client in self.everyone:
            for order in await self._new_orders(client):
                assert int(order.filled_quantity) == filled[order.order_id], order

    async def _new_fills(self, client: AccountClient) -> list[Fill]:
        name, found = client.credentials.user_id, list[Fill]()
        while page := (await client.fills(from_seq=self._fills[name] + 1)).fills:
            assert [fill.seq - self._fills[name] for fill in page] == [*range(1, len(page) + 1)]
            self._fills[name] += len(page)
            found += page
        return found

    async def _new_orders(self, client: AccountClient) -> list[Order]:
        name, found = client.credentials.user_id, list[Order]()
        while True:
            cursor = self._orders[name] + 1
            page = (await client.orders(status="all", cursor=cursor, limit=PAGE)).orders
            if not page:
                return found
            self._orders[name] += len(page)
            found += page

    async def _check_balances(self) -> None:
        """Compare what the accounts hold with what was deposited (S13)."""
        total: Counter[str] = Counter()
        for client in self.everyone:
            for asset, balance in (await client.get()).balances.items():
                held, available = _hundredths(balance.held), _hundredths(balance.available)
                assert held >= 0, f"{client.credentials.user_id} holds less than nothing"
                assert available >= 0, f"{client.credentials.user_id} owes {asset}"
                total[asset] += held + available
        accounts = len(self.everyone)
        assert total == {"USD": 100 * accounts * CASH, SYMBOL: 100 * accounts * SHARES}


@asynccontextmanager
async def open_market(
    directory: Path, *, nodes: int = 3, accounts: int = 2, arguments: Sequence[str] = ()
) -> AsyncIterator[Market]:
    """Start a cluster and open `accounts` at each node; all of it ends with the block."""
    async with (
        LocalCluster(directory, nodes=nodes, arguments=arguments) as local,
        local.connect() as cluster,
    ):
        market = Market(local, cluster)
        await market.open_accounts(nodes * accounts)
        await market.quiet()
        yield market


async def trade_round(market: Market, victim: int) -> None:
    """Trade between all nodes at once, so that `victim` proposes, decides, declines, cancels.

    Two takers of other nodes want the same shares of the victim: one of them is declined, or
    gets what the other leaves.
    """
    ours = market.clients[victim][:2]
    theirs = [client for client in market.everyone if client not in ours]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_decide, market, ours[0], (theirs[0], theirs[-1]))
        nursery.start_soon(_propose, market, ours[1], theirs[1])
        nursery.start_soon(_change_mind, market, ours[0])


async def _decide(market: Market, ours: AccountClient, theirs: Sequence[AccountClient]) -> None:
    maker = await market.place(ours, "sell", "10.00", 3)
    async with trio.open_nursery() as nursery:
        for client in theirs:
            nursery.start_soon(market.take, client, "buy", "10.00", 3)
    await market.cancel(ours, maker)


async def _propose(market: Market, ours: AccountClient, theirs: AccountClient) -> None:
    maker = await market.place(theirs, "buy", "9.50", 2)
    await market.take(ours, "sell", "9.50", 1)
    taker = await market.place(ours, "sell", "9.50", 2)
    await market.cancel(theirs, maker)
    await market.cancel(ours, taker)


async def _change_mind(market: Market, ours: AccountClient) -> None:
    order = await market.place(ours, "buy", "8.00", 5)
    await market.cancel(ours, order)


async def _open_orders(client: AccountClient) -> list[Order]:
    page = await client.orders(status="open", limit=PAGE)
    found = list(page.orders)
    while page.next_cursor is not None:
        page = await client.orders(status="open", cursor=page.next_cursor, limit=PAGE)
        found += page.orders
    return found


def peer_state(status: NodeStatus, peer: int) -> str:
    """Return what a node says of one of its peers."""
    return next(found.state for found in status.peers if found.node_id == peer)


def _hundredths(text: str) -> int:
    whole, _, rest = text.partition(".")
    return int(whole) * 100 + int(rest.ljust(2, "0"))


def order_in(value: bytes) -> Order:
    """Read the order of an answer."""
    return msgspec.json.decode(value, type=Order)
