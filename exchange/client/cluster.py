"""A cluster as its clients see it: accounts are located, nodes reached, requests repeated.

Theory of operation
===================
An account id contains its node (C1), so the coordinator is asked once per node, and again
each time a connection has to be made anew: a node that comes back may be elsewhere.  There
is one connection per node and user.  Requests that a second sending does not change are
repeated until their deadline, over as many connections as it takes:

    reads, cancels          the second does nothing more
    amendments              they name the new price and total, not a difference
    order.create            it carries a client order id, made here if the caller has none
    deposits, withdrawals   are never repeated: OutcomeUnknown, `transfers.list` tells
    account.create          is never repeated: a lost answer leaves an unused account

With a node's address alone, without a coordinator, everything goes to that node.
"""

import math
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from exchange.client import results
from exchange.client.account import AccountClient, Credentials
from exchange.client.connection import REQUEST_SECONDS, Connection, Repeat, Request
from exchange.client.errors import Refused, Unreachable, UsageError
from exchange.client.identity import check_node
from exchange.client.settings import Endpoint
from exchange.client.sockets import is_secured, open_stream
from exchange.process.errors import BadAddress
from exchange.process.tls import COORDINATOR, node_name

CLIENT_ORDER_ID_BYTES = 9  # 72 random bits: no two in the life of an account
FIRST_SECONDS = 3.0  # to reach the server at all: people wait for the error
LOOKUP_SECONDS = 1.0  # a coordinator that is there answers at once; below the time to connect
ANY_NODE = 0  # whichever node the endpoint is


class Cluster:
    """Use `open_cluster`; lives as long as its nursery."""

    def __init__(
        self,
        nursery: trio.Nursery,
        endpoint: Endpoint,
        *,
        operator_key: str = "",
        new_client_order_id: Callable[[], str] | None = None,
        reach: float = math.inf,
    ) -> None:
        self.endpoint = endpoint
        self._reach = reach
        self.operator_key = operator_key
        self._new_client_order_id = new_client_order_id or _random_client_order_id
        self._nursery = nursery
        self._connections: dict[tuple[int, str, str], Connection] = {}
        self._addresses: dict[int, str] = {}  # as last heard; asked again before each dial
        self._coordinator: Connection | None = None
        address = endpoint.coordinator or endpoint.either  # until it says that it is none
        if address:
            self._coordinator = self._connection_to(
                address, name=COORDINATOR if endpoint.coordinator else ""
            )

    def close(self) -> None:
        """End all connections."""
        for connection in self._connections.values():
            connection.close()
        if self._coordinator is not None:
            self._coordinator.close()

    def account(self, user_id: str, api_key: str = "") -> AccountClient:
        """Return a client for one account."""
        user = Credentials(user_id, api_key)
        return AccountClient(
            self.node(user.node_id, user),
            user,
            operator_key=self.operator_key,
            new_client_order_id=self._new_client_order_id,
        )

    def node(self, node_id: int, user: Credentials | None = None) -> Connection:
        """Return the connection to a node, as a user or as nobody in particular."""
        key = (node_id, user.user_id if user else "", user.api_key if user else "")
        connection = self._connections.get(key)
        if connection is None:
            connection = Connection(
                self._nursery,
                lambda: self.dial_node(node_id, is_named=user is not None),
                name=self.endpoint.node if node_id == ANY_NODE else f"node {node_id}",
                hello=user.hello() if user else b"",
                reach=self._reach,
            )
            self._connections[key] = connection
        return connection

    async def settle_endpoint(self, *, within: float = REQUEST_SECONDS) -> None:
        """Ask a server of either kind which it is; a node does not know `cluster.get`."""
        if self.endpoint.either:
            try:
                await self.info(within=within)
            except Refused:
                self.endpoint = Endpoint(node=self.endpoint.either)
                self._coordinator = None
            else:
                self.endpoint = Endpoint(coordinator=self.endpoint.either)
                if is_secured():  # it says that it is the coordinator: now it must show it
                    self.coordinator.close()
                    address = self.endpoint.coordinator
                    self._coordinator = self._connection_to(address, name=COORDINATOR)

    async def info(self, *, within: float = REQUEST_SECONDS) -> results.ClusterInfo:
        """Return the nodes of the cluster as the coordinator knows them."""
        answer = await self.coordinator.call(Request("cluster.get", {}), within=within)
        info = results.decode(answer, results.ClusterInfo)
        self._addresses.update((node.node_id, node.tcp) for node in info.nodes)
        return info

    async def name(self) -> str:
        """Return the id of the cluster, from the coordinator or, without one, from the node."""
        info = await self.info_if_there()
        return info.cluster if info else (await self.status(ANY_NODE)).cluster

    async def info_if_there(self, *, within: float = REQUEST_SECONDS) -> results.ClusterInfo | None:
        """Return what the coordinator knows; None if we know a node and can do without it (C1)."""
        if self._coordinator is None:
            return None
        try:
            return await self.info(within=LOOKUP_SECONDS if self.endpoint.node else within)
        except Unreachable:
            if not self.endpoint.node:
                raise
            return None

    @property
    def coordinator(self) -> Connection:
        """Return the connection to the coordinator; UsageError if none is known."""
        if self._coordinator is None:
            raise UsageError(
                f"{self.endpoint} is a node; this needs the coordinator: give its address as --url"
            )
        return self._coordinator

    async def open_account(self, *, within: float = REQUEST_SECONDS) -> results.NewAccount:
        """Open an account at the node that has the fewest; an operator's power."""
        if self.operator_key:
            request = Request("account.create", {}, Repeat.NEVER, auth=self.operator_key)
            answer = await self.coordinator.call(request, within=within)
            return results.decode(answer, results.NewAccount)
        answer = await self.coordinator.call_bare("C account", within=within)
        return results.NewAccount(results.decode(answer, str))

    async def instruments(self, *, within: float = REQUEST_SECONDS) -> list[results.Instrument]:
        """Return what is listed."""
        answer = await self.coordinator.call(Request("instrument.list", {}), within=within)
        return results.decode(answer, results.Instruments).instruments

    async def create_instrument(
        self, instrument: results.Instrument, *, within: float = REQUEST_SECONDS
    ) -> results.Instrument:
        """List an instrument; the same listing again is fine."""
        value = results.plain(instrument)
        request = Request("instrument.create", value, Repeat.SAFE, auth=self.operator_key or None)
        answer = await self.coordinator.call(request, within=within)
        return results.decode(answer, results.Instrument)

    async def status(self, node_id: int, *, within: float = REQUEST_SECONDS) -> results.NodeStatus:
        """Return what a node says of itself."""
        request = Request("node.status", {}, auth=self.operator_key or None)
        return results.decode(
            await self.node(node_id).call(request, within=within), results.NodeStatus
        )

    async def book(
        self,
        node_id: int,
        symbol: str,
        *,
        depth: int | None = None,
        within: float = REQUEST_SECONDS,
    ) -> results.Book:
        """Return the market's book of a symbol as one node sees it."""
        value = {"symbol": symbol} if depth is None else {"symbol": symbol, "depth": depth}
        answer = await self.node(node_id).call(Request("book.get", value), within=within)
        return results.decode(answer, results.Book)

    async def trades(
        self,
        node_id: int,
        symbol: str,
        *,
        from_seq: int = 1,
        limit: int = 100,
        within: float = REQUEST_SECONDS,
    ) -> results.Trades:
        """Return trades of a symbol that one node decided."""
        value = {"symbol": symbol, "from_seq": from_seq, "limit": limit}
        answer = await self.node(node_id).call(Request("trades.list", value), within=within)
        return results.decode(answer, results.Trades)

    async def node_ids(self, *, within: float = REQUEST_SECONDS) -> list[int]:
        """Return the ids of all nodes, from the coordinator or from the one node we know."""
        info = await self.info_if_there(within=within)
        if info is not None:
            return sorted(node.node_id for node in info.nodes)
        status = await self.status(ANY_NODE, within=within)
        self._addresses.update((peer.node_id, peer.address) for peer in status.peers)
        self._addresses[status.node_id] = self.endpoint.node
        return sorted([status.node_id, *(peer.node_id for peer in status.peers)])

    def addresses(self) -> dict[int, str]:
        """Return where nodes were when they were last heard of."""
        return dict(self._addresses)

    async def locate(self, node_id: int) -> str:
        """Return where a node is, asking the coordinator if it can be reached."""
        if self._coordinator is not None:
            try:
                user_id = f"{node_id}-1"
                answer = await self._coordinator.call_bare(user_id, within=LOOKUP_SECONDS)
                self._addresses[node_id] = results.decode(answer, str)
            except Unreachable:
                pass  # trading goes on without it (C1): the last known address must do
            except Refused:
                await self.info(within=LOOKUP_SECONDS)  # the node has no account yet
        elif node_id != ANY_NODE and node_id not in self._addresses:
            await self.node_ids(within=LOOKUP_SECONDS)
        address = self._addresses.get(node_id) or self.endpoint.node
        if not address:
            raise OSError(f"the address of node {node_id} is not known")
        return address

    async def dial_node(self, node_id: int, *, is_named: bool = False) -> trio.abc.Stream:
        """Connect to a node, and to nobody else; raises OSError.

        A connection whose first line will name an account needs no question: its node alone
        lets it in.
        """
        try:
            name = "" if node_id == ANY_NODE else node_name(node_id)
            stream = await open_stream(await self.locate(node_id), name=name)
        except (Refused, Unreachable, BadAddress) as error:  # what the coordinator told
            raise OSError(str(error)) from error
        if node_id != ANY_NODE and not is_named and not is_secured():
            await check_node(stream, node_id)
        return stream

    def _connection_to(self, address: str, *, name: str) -> Connection:
        dial = partial(open_stream, address, name=name)
        return Connection(self._nursery, dial, name=address, reach=self._reach)


@asynccontextmanager
async def open_cluster(
    endpoint: Endpoint,
    *,
    operator_key: str = "",
    new_client_order_id: Callable[[], str] | None = None,
    reach: float = math.inf,
) -> AsyncIterator[Cluster]:
    """Open a client of a cluster; all its connections end with the block.

    `reach` is for how long a server that is away is dialed before a request is given up.
    """
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        cluster = Cluster(
            nursery,
            endpoint,
            operator_key=operator_key,
            new_client_order_id=new_client_order_id,
            reach=reach,
        )
        try:
            await cluster.settle_endpoint(within=FIRST_SECONDS)
            yield cluster
        except Exception as error:
            failure = error  # raised again below: out of the nursery it would be a group
        finally:
            cluster.close()
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _random_client_order_id() -> str:
    return secrets.token_urlsafe(CLIENT_ORDER_ID_BYTES)
