"""What tells how the exchange is doing: for people, load balancers and Prometheus."""

from collections.abc import Callable, Sequence

import msgspec
import trio
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from exchange.client import results
from exchange.client.connection import Request
from exchange.client.errors import ClientError
from exchange.gateway.http.messages import Reply
from exchange.gateway.http.problems import refuse
from exchange.gateway.metrics import exposition
from exchange.gateway.nodes import Nodes
from exchange.gateway.resources import schema
from exchange.gateway.resources.resource import Call, Handler, Resource
from exchange.wire.metrics import Family, NodeMetrics
from exchange.wire.numbers import time_text

LOOK_S = 1.0  # a node that does not say within this how it is, is not well
_ENCODE = msgspec.json.Encoder().encode


async def health(_call: Call) -> Reply:
    """Say that this process serves."""
    await trio.lowlevel.checkpoint()
    return Reply(_ENCODE(schema.Health("ok")))


async def ready(call: Call) -> Reply:
    """Say whether orders are taken: the node in this process, else any node, is ready."""
    summaries = await look(call.nodes)
    wanted = call.nodes.local_id
    ready = [each.node_id for each in summaries if each.is_ready]
    full = [each.node_id for each in summaries if each.is_storage_full]
    if (wanted and wanted not in ready) or not ready:
        if full and (not wanted or wanted in full):
            told = f"the disk of node {', '.join(map(str, full))} is full: make room there"
            raise refuse(503, "storage_full", told)
        raise refuse(503, "not_ready", "no node takes orders just now")
    frozen = sum(each.frozen for each in summaries)
    return Reply(_ENCODE(schema.Ready("ready", ready, frozen)))


async def status(call: Call) -> Reply:
    """Say how each node is."""
    summaries = await look(call.nodes)
    return Reply(_ENCODE(schema.Status(call.nodes.cluster_id, summaries)))


def metrics(own: Callable[[], list[Family]]) -> Handler:
    """Return the handler that says what Prometheus asks for.

    It tells of this process, of its node or else of all nodes, and of the gateway itself.
    """

    async def metrics(call: Call) -> Reply:
        nodes = call.nodes
        ids = [nodes.local_id] if nodes.local_id else await nodes.node_ids()
        text = generate_latest() + exposition(await _measured(nodes, ids), own())
        return Reply(text, content_type=CONTENT_TYPE_LATEST)

    return metrics


async def _measured(nodes: Nodes, ids: Sequence[int]) -> dict[int, NodeMetrics | None]:
    """Ask nodes for their figures; None of those that do not answer at once."""
    found: dict[int, NodeMetrics | None] = dict.fromkeys(ids)

    async def ask(node_id: int) -> None:
        try:
            answer = await nodes.ask(node_id, Request("node.metrics", {}), within=LOOK_S)
            found[node_id] = results.decode(answer, NodeMetrics)
        except ClientError:
            return

    async with trio.open_nursery() as nursery:
        for node_id in ids:
            nursery.start_soon(ask, node_id)
    return found


def clock(wall_us: Callable[[], int]) -> Handler:
    """Return the handler that tells the time."""

    async def time(_call: Call) -> Reply:
        await trio.lowlevel.checkpoint()
        return Reply(_ENCODE(schema.Time(time_text(wall_us()))))

    return time


async def look(nodes: Nodes) -> list[schema.NodeSummary]:
    """Ask every node how it is; those that do not answer at once are not reachable."""
    found: dict[int, schema.NodeSummary] = {}

    async def ask(node_id: int) -> None:
        found[node_id] = schema.NodeSummary(node_id, is_reachable=False)
        try:
            answer = await nodes.ask(node_id, Request("node.status", {}), within=LOOK_S)
            told = results.decode(answer, results.NodeStatus)
        except ClientError:
            return
        found[node_id] = schema.NodeSummary(
            node_id,
            True,
            told.is_ready and not told.is_draining and not told.is_storage_full,
            told.epoch,
            told.open_orders,
            told.offers_in_doubt,
            told.trades,
            told.is_storage_full,
            told.frozen,
        )

    ids = await nodes.node_ids()
    async with trio.open_nursery() as nursery:
        for node_id in ids:
            nursery.start_soon(ask, node_id)
    return [found[node_id] for node_id in ids]


def resources(wall_us: Callable[[], int], own: Callable[[], list[Family]]) -> list[Resource]:
    """Return the resources of this module."""
    return [
        Resource("GET", "/time", clock(wall_us), "Tell the time.", schema.Time),
        Resource("GET", "/status", status, "Say how each node is.", schema.Status),
        Resource("GET", "/healthz", health, "Say that it serves.", schema.Health, is_at_root=True),
        Resource(
            "GET", "/readyz", ready, "Say whether orders are taken.", schema.Ready, is_at_root=True
        ),
        Resource("GET", "/metrics", metrics(own), "For Prometheus.", None, is_at_root=True),
    ]
