"""When a cluster is at rest."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio

from exchange.client.cluster import Cluster
from exchange.client.cluster_process import LocalCluster
from exchange.client.errors import Unreachable
from exchange.client.quiescence import (
    NotQuietError,
    restless,
    unequal_books,
    wait_quiescent,
)
from exchange.client.results import NodeStatus, PeerStatus

Statuses = Callable[..., list[NodeStatus]]


class Scripted(Cluster):
    """Says what a test wants every node to say, round after round; the last one for ever."""

    def __init__(self, rounds: list[list[NodeStatus] | Unreachable]) -> None:
        self.rounds = rounds

    async def status(self, node_id: int, *, within: float = 1.0) -> NodeStatus:
        """Answer as the node of this round."""
        await trio.lowlevel.checkpoint()
        found = self.rounds[0]
        if isinstance(found, Unreachable):
            self.rounds.pop(0)
            raise found
        if node_id == found[-1].node_id and len(self.rounds) > 1:
            self.rounds.pop(0)
        return found[node_id - 1]


def test_nodes_at_rest_have_nothing_under_way(statuses: Statuses) -> None:
    """Interfaces 1: no offers in doubt, sent = acknowledged everywhere."""
    assert restless(statuses(3)) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"is_ready": False}, "not ready"),
        ({"offers_in_doubt": 2}, "2 offers in doubt"),
        ({"waiting": 1}, "holds back 1"),
        ({"stream_seq": 6}, "2 events on the way"),
        ({"epoch": 2}, "not yet received"),
        ({"peers": []}, "unknown to each other"),
    ],
)
def test_what_is_under_way_is_named(statuses: Statuses, changes: dict[str, Any], told: str) -> None:
    """Interfaces 1: each of these ends quiescence."""
    assert any(told in line for line in restless(statuses(3, **changes)))


@pytest.mark.parametrize("state", ["syncing", "suspected", "quarantined"])
def test_peer_that_is_not_synced_is_named(statuses: Statuses, state: str) -> None:
    """B5."""
    first, *others = statuses(2)
    peers = [msgspec.structs.replace(first.peers[0], state=state)]
    first = msgspec.structs.replace(first, peers=peers)

    assert restless([first, *others]) == [f"node 1 and node 2: {state}"]


def test_replica_that_differs_is_named(statuses: Statuses) -> None:
    """B4: count and additive hash."""
    peer = PeerStatus(2, "", "synced", 4, 4, 1, 4, 0, "f", 0)

    assert unequal_books(statuses(2)) == []
    assert len(unequal_books(statuses(2, peers=[peer]))) == 1
    assert len(unequal_books(statuses(2, open_orders=1))) == 1


async def test_quiet_once_is_not_enough(statuses: Statuses, autojump_clock: object) -> None:
    """While the second node is asked the first may have heard from a third."""
    quiet, moved = statuses(2), statuses(2, applied_lsn=10)
    cluster = Scripted([quiet, moved, quiet, Unreachable("gone"), quiet, moved, moved])

    found = await wait_quiescent(cluster, [1, 2])

    assert list(found) == moved
    assert cluster.rounds == [moved]


async def test_what_never_rests_is_told(statuses: Statuses, autojump_clock: object) -> None:
    """Interfaces 4: exit code 6."""
    looks: list[object] = []
    cluster = Scripted([statuses(2, offers_in_doubt=1)])

    with pytest.raises(NotQuietError, match="node 1 has 1 offer in doubt") as caught:
        await wait_quiescent(cluster, [1, 2], within=5, on_look=looks.append)

    assert caught.value.exit_code == 6
    assert looks


async def test_real_cluster_comes_to_rest(live: LocalCluster) -> None:
    """Interfaces 1: quiescence is read from `node.status`, never slept for."""
    async with live.connect() as cluster:
        found = await wait_quiescent(cluster, [1, 2])

    assert unequal_books(found) == []
