"""What is booked where when a node is rebuilt (S13)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from exchange.domain.orders import Side
from exchange.domain.units import NodeId, make_id
from exchange.engine.records import OrderPlaced, TradeAccepted, TradeOffered, Transferred
from exchange.store.directory import UNACCEPTED
from recovery.knowledge import SUSPENSE
from recovery.rebuild import rebuild
from tests.recovery.cluster import Cluster, account_of
from tests.recovery.logs import records_of

SUSPENSE_ACCOUNT = make_id(1, SUSPENSE)


def records(path: Path, kind: type) -> Sequence[Any]:
    (path / UNACCEPTED).rename(path / "store")
    found: list[Any] = list(records_of(path, kind))
    (path / "store").rename(path / UNACCEPTED)
    return found


@pytest.fixture
def lost(market: Cluster) -> Cluster:
    """Node 1 has sold 4 lots to node 2 and bought 2 of it; its disk is not looked at again."""
    market.put(account_of(1), Side.SELL, 4, 100)
    market.put(account_of(2), Side.BUY, 4, 101)
    market.put(account_of(2, 2), Side.SELL, 2, 80)
    market.put(account_of(1, 2), Side.BUY, 2, 90)
    market.kill_all()
    return market


def test_orders_nobody_knows_are_of_the_suspense_account(lost: Cluster, tmp_path: Path) -> None:
    """M3: what comes in from outside is recorded as such."""
    result = rebuild(1, lost.paths[1:], tmp_path / "new")

    placed = records(tmp_path / "new", OrderPlaced)
    assert [(o.account, o.side, o.quantity, o.price) for o in placed] == [
        (SUSPENSE_ACCOUNT, Side.SELL, 4, 100),
        (SUSPENSE_ACCOUNT, Side.BUY, 2, 80),
    ]
    moved = records(tmp_path / "new", Transferred)
    assert [(m.asset, m.amount) for m in moved] == [("ACME", 4), ("USD", 160)]
    assert result.trades == 2


def test_both_roles_are_made_whole(lost: Cluster, tmp_path: Path) -> None:
    """S5: offers and answers keep their ids."""
    rebuild(1, lost.paths[1:], tmp_path / "new")

    (accepted,) = records(tmp_path / "new", TradeAccepted)
    (offered,) = records(tmp_path / "new", TradeOffered)
    assert (accepted.trade_id, offered.trade_id) == (make_id(2, 2), make_id(1, 3))


def test_funds_that_a_trade_proves_are_given(market: Cluster, tmp_path: Path) -> None:
    """A backup that knows the order, but not the deposit that let it grow."""
    import shutil

    from exchange.engine import inputs

    market.place(account_of(1), Side.SELL, 10_000, 100)
    order = market.newest_order(1)
    market.nodes[NodeId(1)].kill()
    shutil.copytree(market.paths[0], tmp_path / "backup")
    market.nodes[NodeId(1)].start()
    market.link_all()
    market.settle()
    market.fund(account_of(1), ACME=500)
    amend = inputs.AmendOrder(market.ticket(), account_of(1), order, None, 10_500)  # type: ignore[arg-type]
    market.nodes[NodeId(1)].turn([amend])
    market.settle()
    market.put(account_of(2), Side.BUY, 10_400, 100)
    market.kill_all()

    result = rebuild(1, market.paths[1:], tmp_path / "new", backup=tmp_path / "backup")
    assert result.booked == ["2-2"]
    assert result.funded == ["1-1: 400 ACME"]
