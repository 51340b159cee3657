"""What is proven is resolved by a plan; what is not, by a recorded decision (S4, S5)."""

from pathlib import Path

import msgspec
import pytest

from exchange.domain.orders import Side
from exchange.domain.units import NodeId, make_id
from exchange.engine.records import HeuristicChecked, HeuristicDecision, TradeDeclined
from exchange.store.errors import DataDirInUse
from recovery.archive import archive
from recovery.inspection import inspect
from recovery.offline import OfflineNode
from recovery.resolution import (
    CannotResolve,
    Plan,
    apply_plan,
    decide,
    forget,
    make_plan,
    read_plan,
)
from recovery.verification import verify
from tests.recovery.cluster import Cluster, account_of
from tests.recovery.logs import records_of


def restart(cluster: Cluster) -> None:
    for node in cluster.nodes.values():
        node.start()
    cluster.link_all()
    cluster.settle()


def plan_of(cluster: Cluster) -> Plan:
    plan, problems = make_plan(cluster.paths)
    assert [found.code for found in problems] == []
    return plan


def codes(cluster: Cluster) -> list[str]:
    return [found.code for found in verify(cluster.paths).problems]


def shares(cluster: Cluster, node: int) -> int:
    rows = inspect(cluster.paths).directories[node - 1].ledger
    return next(row.accounts for row in rows if row.asset == "ACME")


def test_a_proven_commit_is_applied_offline(doubtful: Cluster) -> None:
    """S3: the record is the one that the decider's reply would have made."""
    plan = plan_of(doubtful)
    assert [(v.trade_id, v.verdict, v.quantity) for v in plan.decisions] == [
        ("2-2", "commit proven", 4)
    ]

    (done,) = apply_plan(plan)
    assert (done.node, done.record, done.quantity) == (2, "TradeSettled", 4)
    assert codes(doubtful) == []
    assert shares(doubtful, 2) == 20_004


def test_what_is_archived_is_proven_by_the_tables(market: Cluster, tmp_path: Path) -> None:
    """S4: offer and acceptance have left the log; nobody may judge what they prove."""
    market.put(account_of(1), Side.SELL, 10, 100)
    market.place(account_of(2), Side.BUY, 4, 101)
    market.deliver(2, 1)
    for node in (1, 2):
        market.fund(account_of(node), USD=1)
    market.kill_all()
    for path in market.paths:
        with OfflineNode.open(path) as offline:
            offline.checkpoint()
        assert archive(path, tmp_path / "archive", before=1_000).base_lsn > 10

    with pytest.raises(CannotResolve, match="commit proven"):
        decide("2-2", market.paths, quantity=0, operator="ann", reason="impatient")
    (done,) = apply_plan(plan_of(market))
    assert (done.node, done.record, done.quantity) == (2, "TradeSettled", 4)


def test_the_nodes_go_on_after_a_plan(doubtful: Cluster) -> None:
    """S6: the decider hears of it by the watermark, and forgets."""
    apply_plan(plan_of(doubtful))
    restart(doubtful)
    doubtful.put(account_of(2), Side.BUY, 2, 101)
    doubtful.kill_all()

    assert codes(doubtful) == []
    assert shares(doubtful, 2) == 20_006


def test_a_plan_is_for_the_logs_it_was_made_from(doubtful: Cluster) -> None:
    """Issue, item 2: hashed against the logs."""
    plan = plan_of(doubtful)
    restart(doubtful)
    doubtful.kill_all()

    with pytest.raises(CannotResolve, match="has changed"):
        apply_plan(plan)


def test_a_plan_that_was_edited_is_refused(doubtful: Cluster) -> None:
    """Issue, item 2: the proof is made again."""
    plan = plan_of(doubtful)
    plan.decisions = [msgspec.structs.replace(plan.decisions[0], quantity=3)]

    with pytest.raises(CannotResolve, match="not what the logs prove"):
        apply_plan(plan)


def test_nothing_is_written_beside_a_running_node(market: Cluster) -> None:
    """Interfaces 5: exit code 5."""
    plan = plan_of(market)

    with pytest.raises(DataDirInUse):
        apply_plan(plan)


def test_what_is_not_proven_is_not_planned(unhandled: Cluster) -> None:
    """S4."""
    plan = plan_of(unhandled)

    assert plan.decisions == []
    assert [verdict.trade_id for verdict in plan.undecided] == ["2-2"]
    assert apply_plan(plan) == []


def test_a_plan_file_is_read_or_refused(tmp_path: Path, doubtful: Cluster) -> None:
    """Bad input."""
    file = tmp_path / "plan.json"
    file.write_bytes(msgspec.json.encode(plan_of(doubtful)))
    assert read_plan(file) == plan_of(doubtful)
    file.write_text("{}")
    with pytest.raises(CannotResolve):
        read_plan(file)
    with pytest.raises(CannotResolve):
        read_plan(tmp_path / "missing")


def test_what_is_proven_may_not_be_decided(doubtful: Cluster) -> None:
    """S4: heuristics only where nothing is provable."""
    with pytest.raises(CannotResolve, match="commit proven"):
        decide("2-2", doubtful.paths, quantity=0, operator="ann", reason="guess")


def test_a_decision_that_agrees_is_forgotten(unhandled: Cluster) -> None:
    """S4: the decider is asked when it returns."""
    done = decide("2-2", unhandled.paths, quantity=None, operator="ann", reason="it is night")
    assert (done.node, done.quantity) == (2, 4)
    (record,) = records_of(unhandled.paths[1], HeuristicDecision)
    assert isinstance(record, HeuristicDecision)
    assert (record.operator, record.reason) == ("ann", "it is night")
    assert codes(unhandled) == ["heuristic_unchecked"]

    restart(unhandled)
    unhandled.kill_all()
    assert codes(unhandled) == []
    assert shares(unhandled, 2) == 20_004


def test_a_decision_that_disagrees_freezes_the_trade(doubtful: Cluster) -> None:
    """S4: reported loudly, both records stay, until an operator forgets."""
    decide("2-2", doubtful.paths[1:], quantity=0, operator="ann", reason="node 1 is lost")
    assert "trade_frozen" in codes(doubtful)  # both halves are seen before the nodes meet
    restart(doubtful)
    assert [alarm.code for alarm in doubtful.alarms] == ["heuristic_disagrees"]
    doubtful.kill_all()
    assert "trade_frozen" in codes(doubtful)
    assert len(records_of(doubtful.paths[1], HeuristicChecked)) == 1

    with pytest.raises(CannotResolve, match="both halves"):
        forget("2-2", doubtful.paths[1:], operator="ann", reason="seen")
    forget("2-2", doubtful.paths, operator="ann", reason="balances corrected")
    assert "trade_frozen" not in codes(doubtful)


def test_an_abort_is_kept_by_a_decider_that_never_handled_the_offer(unhandled: Cluster) -> None:
    """S5: what was withdrawn is declined for ever."""
    decide("2-2", unhandled.paths[1:], quantity=0, operator="ann", reason="node 1 is lost")
    restart(unhandled)
    unhandled.kill_all()

    assert unhandled.alarms == []
    assert codes(unhandled) == []
    declined = records_of(unhandled.paths[0], TradeDeclined)
    assert [record.trade_id for record in declined] == [make_id(2, 2)]


def test_a_half_that_is_not_resolved_is_not_forgotten(unhandled: Cluster) -> None:
    """Issue, item 3."""
    decide("2-2", unhandled.paths[1:], quantity=0, operator="ann", reason="node 1 is lost")

    with pytest.raises(CannotResolve, match="has not handled"):
        forget("2-2", unhandled.paths, operator="ann", reason="seen")


@pytest.mark.parametrize(
    ("trade", "reason", "quantity"),
    [("2-2", " ", 0), ("2-9", "why", 0), ("nonsense", "why", 0), ("2-2", "why", 5)],
)
def test_a_decision_needs_a_trade_in_doubt_and_a_reason(
    unhandled: Cluster, trade: str, reason: str, quantity: int
) -> None:
    """Bad input."""
    with pytest.raises(CannotResolve):
        decide(trade, unhandled.paths, quantity=quantity, operator="ann", reason=reason)


def test_a_running_proposer_is_not_written(unhandled: Cluster) -> None:
    """W6."""
    unhandled.nodes[NodeId(2)].start()

    with pytest.raises(DataDirInUse):
        decide("2-2", unhandled.paths, quantity=0, operator="ann", reason="why")
