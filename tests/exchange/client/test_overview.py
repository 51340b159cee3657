"""The cluster at one glance, whatever of it can be reached."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from exchange.client.cluster import Cluster
from exchange.client.cluster_process import LocalCluster
from exchange.client.overview import Overview, overview, rested
from exchange.client.results import NodeStatus

Statuses = Callable[..., list[Any]]


async def test_whole_cluster_is_shown(live: LocalCluster) -> None:
    """Interfaces 4: `status` is of the whole cluster."""
    async with live.connect() as cluster:
        found = await overview(cluster)

    assert [row["node"] for row in found.rows()] == [1, 2]
    assert all(row["peers"] == "1 of 1 synced" for row in found.rows())


async def test_rest_is_told_as_rest(statuses: Statuses) -> None:
    """Interfaces 1: quiescence is read from `node.status`."""
    quiet = Overview("abc", {1: "a:1"}, statuses(2), {})
    busy = Overview("abc", {}, statuses(2, offers_in_doubt=1), {})
    unequal = Overview("abc", {}, statuses(2, open_orders=3), {})

    told = "cluster abc: at rest, all books are equal; 0 trades, 0 open orders, none in doubt"
    assert quiet.verdict() == told
    assert "1 offer in doubt" in busy.verdict()
    assert "shows 0 orders" in unequal.verdict()


async def test_unreachable_node_is_a_row(statuses: Statuses) -> None:
    """B5: one dead node must never stop two live ones."""
    found = Overview("abc", {2: "b:2"}, statuses(1), {2: "no answer"})

    assert found.rows()[1] == {"node": 2, "address": "b:2", "state": "unreachable"}
    assert "node 2 cannot be reached" in found.verdict()
    assert found.plain()["unreachable"] == {"2": "no answer"}


async def test_node_at_the_address_of_another_does_not_stand_for_it(statuses: Statuses) -> None:
    """C3: a node whose disk was lost comes back as a new one, at the old address."""

    class Answering(Cluster):
        def __init__(self) -> None:
            """Nothing is dialed."""

        async def node_ids(self, *, within: float = 0) -> list[int]:
            return [1, 2]

        async def status(self, node_id: int, *, within: float = 0) -> NodeStatus:
            answer: NodeStatus = statuses(1)[0]
            return answer

        async def name(self) -> str:
            return "abc"

        def addresses(self) -> dict[int, str]:
            return {1: "a:1", 2: "a:1"}

    found = await overview(Answering())

    assert found.unreachable == {2: "node 1 is where it was"}
    assert [row["state"] for row in found.rows()] == ["ready", "unreachable"]


async def test_doubt_lag_and_room_are_shown(statuses: Statuses) -> None:
    """S4, issue, item 5: how much is in doubt and for how long, how far peers are behind."""
    changes = {
        "offers_in_doubt": 2,
        "oldest_in_doubt_s": 61.26,
        "stream_seq": 9,
        "durable_lsn": 70,
        "map_used": 3 << 20,
    }
    slow = statuses(3)
    peer = msgspec.structs.replace(slow[0].peers[0], sent_seq=9, acknowledged_seq=4)
    gone = msgspec.structs.replace(slow[0].peers[1], state="suspected", acknowledged_seq=0)
    slow[0] = msgspec.structs.replace(slow[0], peers=[peer, gone], **changes)
    found = Overview("abc", {}, slow, {})

    shown = ("durable_lsn", "lag", "in_doubt", "oldest_s", "map", "peers")
    row = found.rows()[0]
    assert [row[name] for name in shown] == [70, 5, 2, 61.3, "3072 KiB", "1 of 2 synced"]
    assert found.verdict().endswith("2 in doubt, the oldest for 61.3 s")


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({}, 0, "at rest"),
        ({"is_storage_full": True}, 1, "the disk of node 1 is full"),
        ({"frozen": 1}, 6, "1 trade of node 1 frozen"),
        ({"offers_in_doubt": 1, "oldest_in_doubt_s": 61.0}, 6, "waited 61 s for an answer"),
        ({"offers_in_doubt": 1, "oldest_in_doubt_s": 0.2}, 0, "at work"),
    ],
)
async def test_what_an_operator_must_look_after_is_said_and_ends_with_a_code(
    statuses: Statuses, changes: dict[str, object], code: int, told: str
) -> None:
    """S4, W7: a frozen trade and a full disk are no calm."""
    found = Overview("abc", {}, statuses(2, **changes), {})

    assert told in found.verdict()
    assert found.exit_code == code


async def test_unreachable_node_counts_before_all_else(statuses: Statuses) -> None:
    """B5."""
    found = Overview("abc", {}, statuses(1, is_storage_full=True, frozen=2), {2: "no answer"})

    assert found.exit_code == 3
    assert [text in found.verdict() for text in ("node 2", "is full", "2 trades")] == [True] * 3


async def test_rest_is_waited_for(live: LocalCluster) -> None:
    """Interfaces 1: quiescence is read from `node.status`."""
    async with live.connect() as cluster:
        found = await rested(cluster, within=30)

    assert "at rest" in found.verdict()


async def test_state_is_told_in_words(statuses: Statuses) -> None:
    """W7, C6."""
    told = [
        Overview("", {}, statuses(1, **more), {}).rows()[0]["state"]
        for more in ({}, {"is_ready": False}, {"is_draining": True}, {"is_storage_full": True})
    ]

    assert told == ["ready", "starting", "stopping", "storage full"]


async def test_wrong_clock_is_told_and_is_no_failure(statuses: Statuses) -> None:
    """S2: the node trades on; somebody should set its clock right."""
    found = Overview("abc", {}, statuses(2, clock_apart_us=3_600_000_000), {})

    assert "the clock of node 1 is 3600 s ahead of those of all its peers" in found.verdict()
    assert found.exit_code == 0
