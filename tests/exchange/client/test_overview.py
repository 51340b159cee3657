"""The cluster at one glance, whatever of it can be reached."""

from collections.abc import Callable
from typing import Any

from exchange.client.cluster_process import LocalCluster
from exchange.client.overview import Overview, overview

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

    assert quiet.verdict() == "cluster abc: at rest, all books are equal"
    assert "1 offers in doubt" in busy.verdict()
    assert "shows 0 orders" in unequal.verdict()


async def test_unreachable_node_is_a_row(statuses: Statuses) -> None:
    """B5: one dead node must never stop two live ones."""
    found = Overview("abc", {2: "b:2"}, statuses(1), {2: "no answer"})

    assert found.rows()[1] == {"node": 2, "address": "b:2", "state": "unreachable"}
    assert "node 2 cannot be reached" in found.verdict()
    assert found.plain()["unreachable"] == {"2": "no answer"}


async def test_state_is_told_in_words(statuses: Statuses) -> None:
    """W7, C6."""
    told = [
        Overview("", {}, statuses(1, **more), {}).rows()[0]["state"]
        for more in ({}, {"is_ready": False}, {"is_draining": True}, {"is_storage_full": True})
    ]

    assert told == ["ready", "starting", "stopping", "storage full"]
