"""Which of what living nodes show is believed (B1, B4)."""

from pathlib import Path

import msgspec
import pytest

from exchange.client.replicas import Replica, Shown
from exchange.coordinator.registry_store import RegistryStore
from exchange.domain.book import OrderEvent
from exchange.domain.orders import Side
from exchange.domain.units import AccountId, Lots, NodeId, OrderId, Stamp, Symbol, Ticks, make_id
from exchange.engine.state import State
from exchange.store.directory import Directory
from recovery import replicas
from recovery.problems import EXIT_DAMAGED, EXIT_IN_USE, EXIT_USAGE
from recovery.replay import CannotReplay
from recovery.replicas import Replicas, ask, read
from tests.recovery.cluster import Cluster, a_market, account_of
from tests.recovery.living import shown_by

ORDER = OrderId(make_id(1, 7))


def an_order(*, quantity: int = 5, account: int = 1) -> OrderEvent:
    return OrderEvent(
        ORDER,
        Symbol("ACME"),
        Side.SELL,
        Ticks(100),
        Lots(quantity),
        Stamp(1 << 40),
        1,
        AccountId(make_id(1, account)),
    )


def a_replica(by: int, seq: int, *orders: OrderEvent, is_complete: bool = True) -> replicas.Replica:
    rows = {order.order_id: order for order in orders}
    return replicas.Replica(NodeId(by), (1, seq), seq, is_complete, rows)


def test_the_furthest_says_what_is_open() -> None:
    """B1: it has heard all that the others have."""
    found = Replicas([a_replica(2, 5, an_order(quantity=9)), a_replica(3, 6, an_order())])
    gone = Replicas([a_replica(2, 5, an_order()), a_replica(3, 6)])

    assert found.orders == {ORDER: an_order()}
    assert found.complete == frozenset([NodeId(2), NodeId(3)])
    assert found.seen_lsn == 6
    assert gone.orders == {}


def test_where_the_furthest_disagree_nobody_is_believed() -> None:
    """B4: one of them is wrong."""
    found = Replicas([a_replica(2, 6, an_order(quantity=9)), a_replica(3, 6, an_order())])
    missing = Replicas([a_replica(2, 6), a_replica(3, 6, an_order())])

    assert (found.orders, found.disputed) == ({}, {ORDER})
    assert (missing.orders, missing.disputed) == ({}, {ORDER})


def test_one_that_is_not_complete_only_says_whose_an_order_is() -> None:
    """B7: quarantined, or in the middle of a snapshot."""
    found = Replicas([a_replica(2, 9, an_order(), is_complete=False)])
    torn = Replicas([a_replica(2, 1, an_order()), a_replica(3, 1, an_order(account=2))])

    assert (found.orders, found.complete) == ({}, frozenset())
    assert found.account_of(ORDER) == account_of(1)
    assert torn.account_of(ORDER) is None
    assert found.account_of(ORDER + 1) is None


@pytest.fixture
def bereaved(market: Cluster) -> Cluster:
    """Return a running cluster whose node 1 has died with an order of 10 lots."""
    market.put(account_of(1), Side.SELL, 10, 100)
    market.nodes[NodeId(1)].kill()
    return market


def state_of(cluster: Cluster, node_id: int) -> State:
    engine = cluster.nodes[NodeId(node_id)].engine
    assert engine is not None, "the node is up"
    return engine.state


def changed(shown: Shown, **changes: object) -> list[Shown]:
    return [msgspec.structs.replace(shown, replica=replaced(shown.replica, **changes))]


def replaced(replica: Replica, **changes: object) -> Replica:
    return msgspec.structs.replace(replica, **changes)


def test_what_is_shown_becomes_orders(bereaved: Cluster) -> None:
    """Issue, item 7."""
    found = read(shown_by(bereaved, 1), 1, "test", state_of(bereaved, 2).instruments)
    (order,) = found.orders.values()

    assert (order.account, order.side, order.price, order.open) == (
        account_of(1),
        Side.SELL,
        100,
        10,
    )
    assert str(found.all[0]).startswith("node 2: 1 open order at 1.")


def test_a_node_that_lives_is_not_rebuilt(market: Cluster) -> None:
    """C3: there would be two of it."""
    with pytest.raises(CannotReplay, match="node 1 lives") as refused:
        read(shown_by(market, 1), 1, "test", state_of(market, 2).instruments)
    assert refused.value.exit_code == EXIT_IN_USE


@pytest.mark.parametrize(
    "fault",
    [
        {"sum": "0" * 32},
        {"count": 2},
        {"orders": []},
        {"order_id": "2-7"},
        {"user_id": "2-1"},
        {"order_id": "x"},
        {"symbol": "GHOST"},
        {"side": "?"},
        {"price": "0.001"},
        {"remaining_quantity": "11"},
        {"stamp": -1},
    ],
    ids=str,
)
def test_what_does_not_add_up_is_refused(bereaved: Cluster, fault: dict[str, object]) -> None:
    """B4, B7: what came over a wire is not believed unseen."""
    (shown,) = shown_by(bereaved, 1)
    name = next(iter(fault))
    if hasattr(shown.replica, name):
        bad = changed(shown, **fault)
    else:
        bad = changed(shown, orders=[msgspec.structs.replace(shown.replica.orders[0], **fault)])

    with pytest.raises(CannotReplay) as refused:
        read(bad, 1, "test", state_of(bereaved, 2).instruments)
    assert refused.value.exit_code == EXIT_DAMAGED


def test_a_node_of_another_cluster_is_refused(bereaved: Cluster) -> None:
    """C3."""
    with pytest.raises(CannotReplay, match="of cluster test") as refused:
        read(shown_by(bereaved, 1), 1, "another", state_of(bereaved, 2).instruments)
    assert refused.value.exit_code == EXIT_USAGE


def test_who_does_not_run_is_not_asked_and_who_cannot_be_asked_is_named(
    tmp_path: Path, traded: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only memory holds is not given up in silence."""
    monkeypatch.setenv("EXCHANGE_CONFIG", str(tmp_path / "none.toml"))
    assert ask(traded.paths[1:], [], 1) == []

    with pytest.raises(CannotReplay, match="is no server"):
        ask([], ["somewhere"], 1)
    running = a_market(tmp_path / "running").paths[1]  # by this process, without an address
    with pytest.raises(CannotReplay, match="--without-replicas"):
        ask([running], [], 1)


def test_who_has_no_replica_of_it_is_not_asked(tmp_path: Path, traded: Cluster) -> None:
    """Bad input: a coordinator, or the lost node itself."""
    with Directory.lock(tmp_path / "coordinator") as directory:
        RegistryStore.open(directory, nonce=bytes(16)).close()

    with pytest.raises(CannotReplay, match="of a coordinator"):
        ask([tmp_path / "coordinator"], [], 1)
    with pytest.raises(CannotReplay, match="of node 1 itself"):
        ask(traded.paths, [], 1)
