"""A lost node is rebuilt from what the others know, as a new incarnation (C3, S13)."""

import random
import shutil
from pathlib import Path

import pytest

from exchange.domain.orders import Side
from exchange.domain.units import NodeId, format_id
from exchange.store.directory import UNACCEPTED, Directory
from exchange.store.errors import DirectoryUnusable
from exchange.store.frames import Identity
from exchange.store.store import Limits, Store
from recovery.directory import marked
from recovery.inspection import inspect
from recovery.knowledge import Rebuilt
from recovery.rebirth import accept
from recovery.rebuild import rebuild
from recovery.replay import CannotReplay
from recovery.verification import verify
from tests.recovery.audit.test_reader import run_wild
from tests.recovery.cluster import WALL_ZERO_US, Cluster, Node, a_market, account_of


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tool live in the time of the cluster: stamps too far ahead are refused (S2)."""
    monkeypatch.setattr("recovery.rebuild.now", lambda: WALL_ZERO_US + 60_000_000)


def lose(cluster: Cluster, node_id: int) -> list[Path]:
    """Wipe a node's disk; return the directories of the others."""
    cluster.kill_all()
    node = cluster.nodes[NodeId(node_id)]
    shutil.rmtree(node.path)
    return [other.path for other in cluster.nodes.values() if other is not node]


def come_back(cluster: Cluster, node_id: int, path: Path, result: Rebuilt) -> Node:
    """Put the rebuilt directory in place of the old one, and start everybody."""
    node = cluster.nodes[NodeId(node_id)]
    node.path = path
    node.identity = marked(node.path) or node.identity
    cluster.start()
    for _ in range(5):  # a link that was closed for a fault is dialed again
        cluster.link_all()
        cluster.settle()
    return node


def codes(cluster: Cluster) -> list[str]:
    return [found.code for found in verify(cluster.paths).problems]


def test_a_wiped_node_comes_back_with_all_its_trades(market: Cluster, tmp_path: Path) -> None:
    """Issue, item 7: its trades from the counterparties' halves, its deposits from nowhere."""
    market.put(account_of(1), Side.SELL, 10, 100)
    market.put(account_of(2), Side.BUY, 4, 101)
    market.put(account_of(1, 2), Side.BUY, 3, 90)
    market.put(account_of(2, 2), Side.SELL, 2, 80)
    others = lose(market, 1)

    result = rebuild(1, others, tmp_path / "new")
    assert result.trades == 2
    assert len(result.suspense) == 2
    assert any("deposits" in line for line in result.not_recovered)
    market.nodes[NodeId(1)].path = tmp_path / "new"
    with pytest.raises(DirectoryUnusable):
        market.nodes[NodeId(1)].start()
    market.nodes[NodeId(1)].kill()

    accept(tmp_path / "new", others)
    node = come_back(market, 1, tmp_path / "new", result)
    assert not node.stopped
    assert market.alarms == []
    market.open_account(1, 1)
    market.fund(account_of(1), ACME=10)
    market.put(account_of(1), Side.SELL, 5, 100)
    market.put(account_of(2), Side.BUY, 5, 100)
    market.kill_all()

    assert codes(market) == []
    rows = {row.asset: row for row in inspect(market.paths).directories[0].ledger}
    assert rows["ACME"].clearing == 4 - 2 + 5


def test_an_old_copy_is_brought_forward(market: Cluster, tmp_path: Path) -> None:
    """Issue, item 7: trades go to the accounts of orders that the copy knows."""
    market.place(account_of(1), Side.SELL, 10, 100)
    known = market.newest_order(1)
    market.settle()
    market.nodes[NodeId(1)].kill()
    shutil.copytree(market.nodes[NodeId(1)].path, tmp_path / "backup")
    market.nodes[NodeId(1)].start()
    market.link_all()
    market.settle()
    market.put(account_of(2), Side.BUY, 4, 101)
    others = lose(market, 1)

    result = rebuild(1, others, tmp_path / "new", backup=tmp_path / "backup")
    assert len(result.booked) == 1
    assert result.suspense == []
    assert result.canceled == [format_id(known)]
    accept(tmp_path / "new", others)
    come_back(market, 1, tmp_path / "new", result)
    market.kill_all()

    assert codes(market) == []
    rows = {row.asset: row for row in inspect(market.paths).directories[0].ledger}
    assert rows["ACME"].accounts == 20_000 - 4
    assert rows["USD"].accounts == 20_000_000 + 400


def test_an_offer_whose_answer_is_lost_is_declined(doubtful: Cluster, tmp_path: Path) -> None:
    """S5: on both sides alike."""
    others = lose(doubtful, 1)

    result = rebuild(1, others, tmp_path / "new")
    assert result.declined_now == ["2-2"]
    accept(tmp_path / "new", others)
    come_back(doubtful, 1, tmp_path / "new", result)
    doubtful.kill_all()
    assert codes(doubtful) == []


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("has_backup", [False, True])
def test_any_market_survives_the_loss_of_a_disk(
    tmp_path: Path, seed: int, has_backup: bool
) -> None:
    """S13: after it both halves of every trade agree, and the auditor has nothing to say."""
    cluster = a_market(tmp_path / "market", nodes=3)
    run_wild(cluster, seed, 60)
    lost = 1 + seed % 3
    if has_backup:
        cluster.nodes[NodeId(lost)].kill()
        shutil.copytree(cluster.nodes[NodeId(lost)].path, tmp_path / "backup")
        cluster.nodes[NodeId(lost)].start()
        cluster.link_all()
    run_wild(cluster, seed + 100, 60)
    others = lose(cluster, lost)

    backup = tmp_path / "backup" if has_backup else None
    result = rebuild(lost, others, tmp_path / "new", backup=backup)
    accept(tmp_path / "new", others)
    node = come_back(cluster, lost, tmp_path / "new", result)
    assert not node.stopped
    assert [alarm.code for alarm in cluster.alarms] == []
    cluster.settle()
    random.seed(seed)
    for other in cluster.nodes:
        if other != lost:
            cluster.place(account_of(other), Side.BUY, 1, 100)
    cluster.settle()
    cluster.kill_all()
    assert codes(cluster) == []


def test_what_does_not_fit_is_refused(traded: Cluster, tmp_path: Path) -> None:
    """Bad input."""
    with pytest.raises(CannotReplay):
        rebuild(1, traded.paths, tmp_path / "new")
    with pytest.raises(CannotReplay):
        rebuild(1, [tmp_path / "nowhere"], tmp_path / "new")
    with pytest.raises(CannotReplay, match="is of node 2"):
        rebuild(1, traded.paths[1:], tmp_path / "new", backup=traded.paths[1])
    with pytest.raises(CannotReplay, match="not made by"):
        accept(traded.paths[0], [])
    assert not (tmp_path / "new").exists()
    rebuild(1, traded.paths[1:], tmp_path / "new")
    assert (tmp_path / "new" / UNACCEPTED).exists()


def test_nodes_of_two_clusters_are_not_mixed(traded: Cluster, tmp_path: Path) -> None:
    """Bad input: their accounts and trades mean different things."""
    other = a_market(tmp_path / "other", nodes=3)
    other.kill_all()
    stranger = other.nodes[NodeId(3)]
    rename(stranger, "another")
    rename(other.nodes[NodeId(1)], "another")

    with pytest.raises(CannotReplay, match="cluster another, not test"):
        rebuild(1, [traded.paths[1], stranger.path], tmp_path / "new")
    with pytest.raises(CannotReplay, match="node 1 of cluster another; give a copy"):
        rebuild(1, traded.paths[1:], tmp_path / "new", backup=other.paths[0])
    assert not (tmp_path / "new").exists()


def rename(node: Node, cluster: str) -> None:
    """Make a node anew that is alone in another cluster."""
    shutil.rmtree(node.path)
    identity = Identity(cluster, node.node_id, node.identity.nonce)
    with Directory.lock(node.path) as directory:
        directory.create(identity)
        store = Store.open(directory.open(), identity, Limits())
        store.boot(boot_id=b"boot", ts=WALL_ZERO_US)  # type: ignore[arg-type]
        store.disk.close()


def test_a_node_that_nobody_has_met_is_not_made_up(traded: Cluster, tmp_path: Path) -> None:
    """Bad input: a wrong --node."""
    with pytest.raises(CannotReplay, match="none of these has ever met a node 7"):
        rebuild(7, traded.paths[1:], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_whose_logs_were_not_given_is_said(tmp_path: Path) -> None:
    """Issue, item 7: what could not be recovered is listed."""
    cluster = a_market(tmp_path / "market", nodes=3)
    one, two, three = cluster.paths
    cluster.kill_all()
    shutil.rmtree(one)

    asked = rebuild(1, [two, three], tmp_path / "new")
    assert asked.absent == []
    half = rebuild(1, [two], tmp_path / "half")
    assert half.absent == [3]
    assert any(line.startswith("trades with node 3") for line in half.not_recovered)
