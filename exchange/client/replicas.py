"""What a node shows of another one's open orders: for operators, and `recover-node` above all.

A page is a question of its own, so the owner must not go on while they are asked for: pages
that differ in anything but their orders are of different books.
"""

from functools import partial
from itertools import chain

import msgspec
import trio

from exchange.client.cluster import ANY_NODE, Cluster, open_cluster
from exchange.client.connection import Request
from exchange.client.errors import BadAnswer
from exchange.client.results import Decimal, decode
from exchange.client.settings import Endpoint, Settings
from exchange.client.sockets import believe

PAGE = 1_000  # the longest there is
ANSWER_SECONDS = 5.0  # a node that lives answers at once; one that does not is done without


class ReplicaOrder(msgspec.Struct, frozen=True):
    order_id: str
    user_id: str
    symbol: str
    side: str
    price: Decimal
    remaining_quantity: Decimal
    stamp: int
    version: int


class Replica(msgspec.Struct, frozen=True):
    """The open orders of one owner as one node shows them, and of when they are."""

    node_id: int  # the owner
    is_linked: bool  # it lives, and is linked to the node that was asked
    is_complete: bool  # shows all that the asked node's own log has heard of these orders
    epoch: int  # of the owner's stream, as far as it is applied
    seq: int
    seen_lsn: int  # of the owner's log
    count: int
    sum: str
    orders: list[ReplicaOrder]
    next_cursor: int | None = None


class Shown(msgspec.Struct, frozen=True):
    """A replica, and who shows it."""

    by: int
    cluster: str
    replica: Replica


def read_replica(settings: Settings, node_id: int) -> Shown:
    """Ask the server in the settings what it shows of a node; raises ClientError."""
    endpoint = settings.endpoint
    server = Endpoint(node=endpoint.node or endpoint.either)
    if settings.authority is not None:
        believe(settings.authority)
    return trio.run(partial(_read, server, settings.operator_key, node_id))


async def _read(server: Endpoint, operator_key: str, node_id: int) -> Shown:
    async with open_cluster(server, operator_key=operator_key) as cluster:
        status = await cluster.status(ANY_NODE, within=ANSWER_SECONDS)
        pages = [await _page(cluster, node_id, 0)]
        while (cursor := pages[-1].next_cursor) is not None:
            pages.append(await _page(cluster, node_id, cursor))
    bare = [msgspec.structs.replace(page, orders=[], next_cursor=None) for page in pages]
    if any(page != bare[0] for page in bare):
        raise BadAnswer(f"node {node_id} went on while its orders were asked for")
    orders = list(chain.from_iterable(page.orders for page in pages))
    replica = msgspec.structs.replace(pages[0], orders=orders, next_cursor=None)
    return Shown(status.node_id, status.cluster, replica)


async def _page(cluster: Cluster, node_id: int, cursor: int) -> Replica:
    value = {"node_id": node_id, "cursor": cursor, "limit": PAGE}
    request = Request("replica.list", value, auth=cluster.operator_key or None)
    answer = await cluster.node(ANY_NODE).call(request, within=ANSWER_SECONDS)
    return decode(answer, Replica)
