"""Orders that living nodes show are open again, against funds that were recovered (S1)."""

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from exchange.client.replicas import Shown
from exchange.domain.book import OrderEvent
from exchange.domain.orders import Order, Side
from exchange.domain.units import NodeId, OrderId, format_id, make_id
from exchange.engine import inputs
from exchange.engine.records import OrderAmended, OrderPlaced
from recovery.inspection import inspect
from recovery.knowledge import Rebuilt
from recovery.rebirth import accept
from recovery.rebuild import rebuild
from recovery.verification import verify
from tests.recovery.audit.test_reader import run_wild
from tests.recovery.cluster import WALL_ZERO_US, Cluster, Node, a_market, account_of
from tests.recovery.living import shown_by
from tests.recovery.logs import records_of
from tests.recovery.test_rebirth import identity_of
from tests.recovery.test_rebuild import clock, come_back

__all__ = ["clock"]  # a fixture: the tool lives in the time of the cluster


def orders_of(node: Node) -> dict[OrderId, Order]:
    assert node.engine is not None, "the node is up"
    return dict(node.engine.state.orders)


def back_up(cluster: Cluster, node_id: int, to: Path) -> Path:
    """Copy a node's directory, with the node stopped for it."""
    node = cluster.nodes[NodeId(node_id)]
    node.kill()
    shutil.copytree(node.path, to)
    node.start()
    cluster.link_all()
    cluster.settle()
    return to


def lose(cluster: Cluster, node_id: int) -> tuple[list[Path], list[Shown], dict[Any, OrderEvent]]:
    """Wipe a node's disk; return the other directories, what they show, and what was true."""
    node = cluster.nodes[NodeId(node_id)]
    assert node.engine is not None, "the node is up"
    true = dict(node.engine.soft.own.orders)
    node.kill()
    shutil.rmtree(node.path)
    others = [other.path for other in cluster.nodes.values() if other is not node]
    shown = shown_by(cluster, node_id)
    cluster.kill_all()
    return others, shown, true


def bring_back(cluster: Cluster, result: Rebuilt, others: list[Path]) -> Node:
    accept(Path(result.path), others)
    node = come_back(cluster, result.node, Path(result.path), result)
    assert not node.stopped
    assert cluster.alarms == []
    return node


def check(cluster: Cluster) -> None:
    cluster.kill_all()
    assert [found.code for found in verify(cluster.paths).problems] == []


def test_an_order_placed_after_the_copy_is_open_again(market: Cluster, tmp_path: Path) -> None:
    """Issue, item 7: with its id, price, stamp and what is left of it, held again."""
    backup = back_up(market, 1, tmp_path / "backup")
    market.place(account_of(1), Side.SELL, 10, 100)
    order_id = market.newest_order(1)
    market.settle()
    market.put(account_of(2), Side.BUY, 4, 100)
    others, shown, true = lose(market, 1)

    result = rebuild(1, others, tmp_path / "new", backup=backup, shown=shown)
    assert (result.restored, result.canceled) == ([format_id(order_id)], [])
    assert (result.booked, result.suspense, result.funded) == (["2-2"], [], [])
    node = bring_back(market, result, others)
    order = orders_of(node)[order_id]
    assert (order.filled, order.open, order.held) == (4, 6, 6)
    assert (order.account, order.stamp) == (account_of(1), true[order_id].stamp)
    assert node.engine is not None
    account = node.engine.state.accounts.find(account_of(1))
    assert account is not None
    assert account.held == {"ACME": 6}

    market.put(account_of(2), Side.BUY, 6, 100)
    assert order_id not in orders_of(node)
    check(market)
    rows = {row.asset: row for row in inspect(market.paths).directories[0].ledger}
    assert rows["ACME"].accounts == 20_000 - 10


def test_an_order_of_the_copy_has_what_is_left_of_it_now(market: Cluster, tmp_path: Path) -> None:
    """S9: amended and partly traded at home since; its old terms are not what it has."""
    market.place(account_of(1), Side.SELL, 10, 100)
    order_id = market.newest_order(1)
    market.place(account_of(1), Side.SELL, 5, 105)
    gone = market.newest_order(1)
    market.settle()
    backup = back_up(market, 1, tmp_path / "backup")
    market.place(account_of(1, 2), Side.BUY, 3, 100)
    amend = inputs.AmendOrder(market.ticket(), account_of(1), order_id, 102, 20)  # type: ignore[arg-type]
    cancel = inputs.CancelOrder(market.ticket(), account_of(1), gone)
    market.nodes[NodeId(1)].turn([amend, cancel])
    market.settle()
    others, shown, true = lose(market, 1)

    result = rebuild(1, others, tmp_path / "new", backup=backup, shown=shown)
    assert (result.restored, result.canceled) == ([format_id(order_id)], [format_id(gone)])
    node = bring_back(market, result, others)
    order = orders_of(node)[order_id]
    assert (order.price, order.open, order.stamp) == (102, 17, true[order_id].stamp)
    check(market)


def test_what_an_order_of_the_copy_held_covers_a_later_one(market: Cluster, tmp_path: Path) -> None:
    """S1: the order was canceled since, and its shares are free."""
    market.place(account_of(1), Side.SELL, 10_000, 100)
    gone = market.newest_order(1)
    market.settle()
    backup = back_up(market, 1, tmp_path / "backup")
    market.nodes[NodeId(1)].turn([inputs.CancelOrder(market.ticket(), account_of(1), gone)])
    market.place(account_of(1), Side.SELL, 9_000, 101)
    order_id = market.newest_order(1)
    market.settle()
    others, shown, _ = lose(market, 1)

    result = rebuild(1, others, tmp_path / "new", backup=backup, shown=shown)
    assert (result.restored, result.funded) == ([format_id(order_id)], [])


def test_an_order_that_grew_since_the_copy_outlives_its_trades(
    market: Cluster, tmp_path: Path
) -> None:
    """S9: the copy has 10 lots of it, 10 are traded, and 5 are still open."""
    market.place(account_of(1), Side.SELL, 10, 100)
    order_id = market.newest_order(1)
    market.settle()
    backup = back_up(market, 1, tmp_path / "backup")
    amend = inputs.AmendOrder(market.ticket(), account_of(1), order_id, None, 15)  # type: ignore[arg-type]
    market.nodes[NodeId(1)].turn([amend])
    market.settle()
    market.put(account_of(2), Side.BUY, 10, 100)
    others, shown, _ = lose(market, 1)

    result = rebuild(1, others, tmp_path / "new", backup=backup, shown=shown)
    assert result.restored == [format_id(order_id)]
    node = bring_back(market, result, others)
    order = orders_of(node)[order_id]
    assert (order.filled, order.open, order.total) == (10, 5, 15)
    check(market)


def test_without_a_copy_only_what_trades_have_brought_is_held_again(
    market: Cluster, tmp_path: Path
) -> None:
    """S1: what a replica shows is no money."""
    market.place(account_of(1), Side.BUY, 10, 100)
    bid = market.newest_order(1)
    market.settle()
    market.put(account_of(2), Side.SELL, 4, 100)
    market.place(account_of(1), Side.SELL, 3, 120)
    small = market.newest_order(1)
    market.place(account_of(1), Side.SELL, 2, 119)
    younger = market.newest_order(1)
    market.settle()
    others, shown, _ = lose(market, 1)

    result = rebuild(1, others, tmp_path / "new", shown=shown)
    assert result.restored == [format_id(small)]
    assert result.opened == ["1-1"]
    assert (result.booked, result.suspense, result.funded) == (["2-2"], [], ["1-1: 4 USD"])
    assert [line.partition(" ")[0] for line in result.not_restored] == [
        format_id(bid),
        format_id(younger),
    ]
    assert "needs 6 USD, has 0 USD" in result.not_restored[0]
    assert any("keys of 1 account that" in line for line in result.not_recovered)
    node = bring_back(market, result, others)
    assert set(orders_of(node)) == {small}
    check(market)


def test_what_was_lent_on_the_way_is_not_kept(market: Cluster, tmp_path: Path) -> None:
    """S13: an account is paid later than it pays; in the end it has what it had."""
    backup = back_up(market, 1, tmp_path / "backup")
    drained = inputs.MoveFunds(market.ticket(), account_of(1), "USD", -10_000_000)  # type: ignore[arg-type]
    market.nodes[NodeId(1)].turn([drained])
    market.put(account_of(1), Side.SELL, 9, 100)
    market.put(account_of(2), Side.BUY, 9, 100)
    market.place(account_of(1), Side.BUY, 9, 90)
    bid = market.newest_order(1)
    market.settle()
    others, shown, _ = lose(market, 1)

    result = rebuild(1, others, tmp_path / "new", backup=backup, shown=shown)
    assert (result.restored, result.funded) == ([format_id(bid)], [])
    bring_back(market, result, others)
    check(market)
    rows = {row.asset: row for row in inspect(market.paths).directories[0].ledger}
    assert rows["USD"].external == -20_000_000  # the withdrawal is known to nobody


def test_a_copy_that_is_newer_than_what_is_shown_restores_nothing(
    market: Cluster, tmp_path: Path
) -> None:
    """B2: nobody knows what became of an order after it was shown."""
    market.place(account_of(1), Side.SELL, 10, 100)
    order_id = market.newest_order(1)
    market.settle()
    shown = shown_by(market, 1)
    market.fund(account_of(1), USD=1)
    backup = back_up(market, 1, tmp_path / "backup")
    others, _, _ = lose(market, 1)
    stale = [_alone(one) for one in shown]

    result = rebuild(1, others, tmp_path / "new", backup=backup, shown=stale)
    assert (result.restored, result.canceled) == ([], [format_id(order_id)])
    assert any("replicas show it as at LSN" in line for line in result.not_recovered)


def _alone(shown: Shown) -> Shown:
    """Pretend that the owner had died right after this was shown."""
    from tests.recovery.test_replicas import changed

    return changed(shown, is_linked=False)[0]


def test_an_order_is_canceled_if_a_node_that_traded_with_it_was_not_asked(
    tmp_path: Path,
) -> None:
    """S3: that node may have heard of a trade that nobody who was asked has."""
    cluster = a_market(tmp_path / "market", nodes=3)
    cluster.place(account_of(1), Side.SELL, 10, 100)
    traded = cluster.newest_order(1)
    cluster.place(account_of(1), Side.SELL, 10, 110)
    other = cluster.newest_order(1)
    cluster.settle()
    backup = back_up(cluster, 1, tmp_path / "backup")
    cluster.place(account_of(2), Side.BUY, 4, 100)
    while cluster.deliver(2, 1) or cluster.deliver(1, 2):
        pass  # node 3 hears nothing of it
    node = cluster.nodes[NodeId(1)]
    node.kill()
    shown = shown_by(cluster, 1, by=[3])
    shutil.rmtree(node.path)
    cluster.kill_all()

    result = rebuild(1, cluster.paths[1:], tmp_path / "new", backup=backup, shown=shown)
    assert shown[0].replica.orders[0].remaining_quantity == "10"  # 4 of them are sold
    assert (result.restored, result.canceled) == ([format_id(other)], [format_id(traded)])
    assert "was not asked" in result.not_restored[0]
    bring_back(cluster, result, cluster.paths[1:])
    check(cluster)


def test_nothing_is_open_again_if_a_node_was_neither_asked_nor_given(tmp_path: Path) -> None:
    """S3: nobody knows what that node has bought."""
    cluster = a_market(tmp_path / "market", nodes=3)
    cluster.place(account_of(1), Side.SELL, 10, 100)
    order_id = cluster.newest_order(1)
    cluster.settle()
    backup = back_up(cluster, 1, tmp_path / "backup")
    others, shown, _ = lose(cluster, 1)

    for by, restored in (([2], []), ([2, 3], [format_id(order_id)])):
        told = [one for one in shown if one.by in by]
        to = tmp_path / f"new{len(by)}"
        result = rebuild(1, others[:1], to, backup=backup, shown=told)
        assert (result.restored, result.absent) == (restored, [3])


def test_no_number_is_given_out_twice(market: Cluster, tmp_path: Path) -> None:
    """E5: the lost node may have given out more than anybody has heard of."""
    market.put(account_of(1), Side.SELL, 10, 100)
    node = market.nodes[NodeId(1)]
    for _ in range(5):  # nobody hears of these: they are filled at home
        market.place(account_of(1, 2), Side.BUY, 1, 100)
    last = node.engine.state.scalars.number  # type: ignore[union-attr]
    others, shown, _ = lose(market, 1)

    result = rebuild(1, others, tmp_path / "new", shown=shown)
    node = bring_back(market, result, others)
    market.open_account(1, 9)
    market.fund(account_of(1, 9), ACME=1)
    market.place(account_of(1, 9), Side.SELL, 1, 200)
    assert market.newest_order(1) > make_id(1, last + 10**8)
    check(market)


def test_a_node_that_is_lost_twice_repeats_no_number_either(
    market: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E5: of its second life nobody may have heard a number."""
    others, _, _ = lose(market, 1)
    bring_back(market, rebuild(1, others, tmp_path / "second"), others)
    market.open_account(1, 9)
    market.fund(account_of(1, 9), ACME=1)
    market.place(account_of(1, 9), Side.SELL, 1, 200)
    unheard = market.newest_order(1)
    market.kill_all()
    shutil.rmtree(market.paths[0])

    monkeypatch.setattr("recovery.rebuild.now", lambda: WALL_ZERO_US + 120_000_000)
    node = bring_back(market, rebuild(1, others, tmp_path / "third"), others)
    assert node.engine is not None
    assert make_id(1, node.engine.state.scalars.number) > unheard


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("has_backup", [False, True])
def test_any_market_gets_back_no_more_than_it_had(
    tmp_path: Path, seed: int, has_backup: bool
) -> None:
    """S9, S13: lost at rest or in the middle of everything, with the others as far as they are."""
    cluster = a_market(tmp_path / "market", nodes=3)
    source, lost, is_at_rest = random.Random(seed), 1 + seed % 3, seed % 4 == 0
    run_wild(cluster, seed, 40)
    backup = back_up(cluster, lost, tmp_path / "backup") if has_backup else None
    run_wild(cluster, seed + 100, 40)
    for _ in range(source.randint(0, 12)):
        cluster.deliver(*source.choice(sorted(cluster.wire)))
    if is_at_rest:
        cluster.settle()
    most = largest(cluster.nodes[NodeId(lost)].path)
    others, shown, true = lose(cluster, lost)

    result = rebuild(lost, others, tmp_path / "new", backup=backup, shown=shown)
    refused = {line.partition(" ")[0].rstrip(":") for line in result.not_restored}
    assert not refused & set(result.restored)
    if is_at_rest:
        assert refused | set(result.restored) == {format_id(key) for key in true}
    accept(tmp_path / "new", others)
    node = cluster.nodes[NodeId(lost)]
    node.path, node.identity = tmp_path / "new", identity_of(tmp_path / "new")
    node.start()
    for order in orders_of(node).values():
        assert format_id(order.order_id) in result.restored or not order.open
        assert order.filled + order.open <= most.get(order.order_id, 0) or not order.open
        if is_at_rest and order.open:
            shown_now = true[order.order_id]
            now = (order.account, order.price, order.open, order.stamp)
            assert now == (shown_now.account, shown_now.price, shown_now.open, shown_now.stamp)
    node.kill()
    come_back(cluster, lost, tmp_path / "new", result)
    cluster.settle()
    check(cluster)


def largest(path: Path) -> dict[OrderId, int]:
    """Return the largest quantity that each order of a log ever had."""
    found: dict[OrderId, int] = {}
    for record in (*records_of(path, OrderPlaced), *records_of(path, OrderAmended)):
        assert isinstance(record, OrderPlaced | OrderAmended)
        found[record.order_id] = max(record.quantity, found.get(record.order_id, 0))
    return found
