"""A trade is told across its nodes, in the order of cause (S3 to S7)."""

from pathlib import Path

import pytest

from exchange.domain.orders import Side
from recovery.archive import archive
from recovery.offline import OfflineNode
from recovery.timeline import tell
from tests.recovery.cluster import Cluster, account_of


def test_a_settled_trade_is_told_from_order_to_settlement(traded: Cluster) -> None:
    """Interfaces 5."""
    story = tell("2-2", traded.paths)

    assert [(event.node, event.type) for event in story.events][:5] == [
        (1, "OrderPlaced"),
        (2, "OrderPlaced"),
        (2, "TradeOffered"),
        (1, "TradeAccepted"),
        (2, "TradeSettled"),
    ]
    assert story.outcome == "committed"


def test_a_trade_in_doubt_comes_with_its_proof(doubtful: Cluster) -> None:
    """Issue, item 2."""
    story = tell("2-2", doubtful.paths)

    assert story.outcome == "in doubt"
    assert story.verdict is not None
    assert story.verdict.verdict == "commit proven"


def test_a_proof_that_is_archived_is_in_the_tables(market: Cluster, tmp_path: Path) -> None:
    """S4: the decider has accepted, and its log begins behind that."""
    market.put(account_of(1), Side.SELL, 10, 100)
    market.place(account_of(2), Side.BUY, 4, 101)
    market.deliver(2, 1)
    market.fund(account_of(1), USD=1)
    market.kill_all()
    with OfflineNode.open(market.paths[0]) as offline:
        offline.checkpoint()
    archive(market.paths[0], tmp_path / "archive", before=1_000)

    story = tell("2-2", market.paths)
    assert story.verdict is not None
    assert story.verdict.verdict == "commit proven"


def test_a_local_trade_has_one_record(market: Cluster) -> None:
    """S10."""
    market.place(account_of(1, 1), Side.SELL, 10, 100)
    market.place(account_of(1, 2), Side.BUY, 4, 101)
    market.kill_all()

    story = tell("1-3", market.paths)
    assert [event.type for event in story.events] == ["OrderPlaced", "OrderPlaced", "LocalTrade"]
    assert story.outcome == "committed"


def test_a_trade_nobody_knows_is_unknown(traded: Cluster) -> None:
    """Bad input."""
    assert tell("2-999", traded.paths).outcome == "unknown"
    with pytest.raises(ValueError, match="no trade id"):
        tell("nonsense", traded.paths)
