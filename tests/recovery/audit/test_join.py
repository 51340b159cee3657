"""Halves are compared across nodes; what cannot be known yet is left alone (S13, C3)."""

import pytest

from exchange.domain.orders import Side
from recovery.audit.halves import Halves
from recovery.audit.join import join
from recovery.audit.reader import LogAudit, audit_log
from recovery.directory import data_file
from tests.recovery.cluster import Cluster, account_of


def logs_of(cluster: Cluster) -> list[LogAudit]:
    return [audit_log(data_file(path)) for path in cluster.paths]


@pytest.fixture
def logs(market: Cluster) -> list[LogAudit]:
    market.place(account_of(1), Side.SELL, 10, 100)
    market.settle()
    market.place(account_of(2), Side.BUY, 4, 101)
    market.settle()
    market.kill_all()
    return logs_of(market)


def codes(logs: list[LogAudit], *, running: bool = False) -> list[str]:
    return [finding.code for finding in join(logs, {log.node: running for log in logs})]


def test_equal_halves_are_silent(logs: list[LogAudit]) -> None:
    """S13."""
    assert codes(logs) == []
    assert logs[0].halves.accepted
    assert logs[1].halves.settled


def test_a_decider_without_its_half_is_found(logs: list[LogAudit]) -> None:
    """S13: the proposer committed, the decider did not."""
    logs[0].halves.accepted.clear()

    assert codes(logs) == ["audit_half_missing"]


def test_a_proposer_without_its_half_is_found(logs: list[LogAudit]) -> None:
    """S13: the decider committed, the proposer never offered."""
    logs[1].halves.offered.clear()

    assert "audit_half_missing" in codes(logs)


def test_a_log_that_was_read_too_early_is_not_blamed(logs: list[LogAudit]) -> None:
    """Interfaces 5: safe beside a running node."""
    decider = logs[0]._replace(last_lsn=1, halves=Halves.none(1))

    assert codes([decider, logs[1]], running=True) == []
    assert "audit_old_copy" in codes([decider._replace(lsns=decider.lsns[:1]), logs[1]])


def test_one_node_alone_proves_only_itself(logs: list[LogAudit]) -> None:
    """Issue: with one directory nothing more is claimed."""
    assert codes(logs[:1]) == []


def test_an_asset_from_nowhere_is_found(logs: list[LogAudit]) -> None:
    """S13."""
    logs[0].halves.sums["USD"] = 5

    assert codes(logs) == ["audit_conservation"]
