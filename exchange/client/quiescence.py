"""Quiescence, read from `node.status` of every node; never slept for.

A cluster is quiet when twice in a row every node says the same and nothing is under way:
no offer in doubt, no answer waiting, everything sent is acknowledged, every stream received
as far as its owner has got.  Once is not enough: while the second node is asked the first
may have heard from a third.
"""

from collections.abc import Callable, Sequence

import msgspec
import trio

from exchange.client.cluster import Cluster
from exchange.client.errors import ClientError, Unreachable
from exchange.client.output import counted
from exchange.client.results import NodeStatus, PeerStatus

QUIET_SECONDS_MAX = 30.0
LOOK_SECONDS = 0.02
ASK_SECONDS = 2.0  # a node that is restarting is asked again


class NotQuietError(ClientError):
    """The cluster did not come to rest; the message says what is still under way."""

    exit_code = 6


class Look(msgspec.Struct, frozen=True):
    """One round of questions."""

    statuses: tuple[NodeStatus, ...]
    restless: tuple[str, ...]  # what is under way, a sentence each

    @property
    def mark(self) -> tuple[tuple[int, int, int, int], ...]:
        """Return what must not change between two looks."""
        return tuple(
            (one.node_id, one.epoch, one.stream_seq, one.applied_lsn) for one in self.statuses
        )


async def wait_quiescent(
    cluster: Cluster,
    node_ids: Sequence[int],
    *,
    within: float = QUIET_SECONDS_MAX,
    on_look: Callable[[Look], None] | None = None,
) -> tuple[NodeStatus, ...]:
    """Wait until the nodes are at rest among each other; raises NotQuietError."""
    last: Look | None = None
    trouble: Sequence[str] = ["no node has answered"]
    with trio.move_on_after(within):
        while True:
            try:
                look = await take_look(cluster, node_ids)
            except Unreachable as error:
                last, trouble = None, [str(error)]
            else:
                if on_look is not None:
                    on_look(look)
                if not look.restless and last is not None and last.mark == look.mark:
                    return look.statuses
                last = None if look.restless else look
                trouble = look.restless or trouble
            await trio.sleep(LOOK_SECONDS)
    shown = "; ".join(trouble[:5])
    raise NotQuietError(f"still not at rest after {within:g} s: {shown}")


async def take_look(cluster: Cluster, node_ids: Sequence[int]) -> Look:
    """Ask every node once."""
    statuses = [await cluster.status(node_id, within=ASK_SECONDS) for node_id in node_ids]
    return Look(tuple(statuses), tuple(restless(statuses)))


def restless(statuses: Sequence[NodeStatus]) -> list[str]:
    """Name what is still under way among these nodes."""
    by_id = {status.node_id: status for status in statuses}
    found: list[str] = []
    for status in statuses:
        name = f"node {status.node_id}"
        if not status.is_ready:
            found.append(f"{name} is not ready")
        if status.offers_in_doubt:
            found.append(f"{name} has {counted(status.offers_in_doubt, 'offer')} in doubt")
        if status.waiting:
            found.append(f"{name} holds back {counted(status.waiting, 'answer')}")
        peers = {peer.node_id: peer for peer in status.peers}
        for other_id, other in by_id.items():
            if other_id != status.node_id:
                found.extend(_between(status, peers.get(other_id), other))
    return found


def _between(status: NodeStatus, peer: PeerStatus | None, other: NodeStatus) -> list[str]:
    pair = f"node {status.node_id} and node {other.node_id}"
    if peer is None or peer.state != "synced":
        return [f"{pair}: {peer.state if peer else 'unknown to each other'}"]
    if peer.sent_seq != status.stream_seq or peer.acknowledged_seq != status.stream_seq:
        count = status.stream_seq - peer.acknowledged_seq
        return [f"{pair}: {counted(count, 'event')} on the way"]
    if (peer.received_epoch, peer.received_seq) != (other.epoch, other.stream_seq):
        return [f"{pair}: events not yet received"]
    return []


def unequal_books(statuses: Sequence[NodeStatus]) -> list[str]:
    """Name every replica that differs from its owner's open orders (B4)."""
    by_id = {status.node_id: status for status in statuses}
    return [
        f"node {status.node_id} shows {counted(peer.orders, 'order')} of node {peer.node_id}, "
        f"which has {by_id[peer.node_id].open_orders}"
        for status in statuses
        for peer in status.peers
        if peer.node_id in by_id
        and (peer.orders, peer.sum) != (by_id[peer.node_id].open_orders, by_id[peer.node_id].sum)
    ]
