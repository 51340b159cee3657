"""Inspection of real directories, killed at known moments."""

import shutil
from pathlib import Path

from exchange.domain.orders import Side
from exchange.domain.units import NodeId
from recovery.inspection import inspect
from recovery.problems import EXIT_CLEAN, EXIT_DAMAGED, EXIT_IN_DOUBT, EXIT_USAGE, exit_code
from recovery.proof import NOT_HANDLED, Outcome
from tests.recovery.cluster import Cluster, account_of


def test_a_killed_cluster_is_clean(traded: Cluster) -> None:
    """Interfaces 5: a killed node is clean."""
    result = inspect(traded.paths)

    assert result.problems == []
    assert exit_code(result.problems) == EXIT_CLEAN
    one, two = result.directories
    assert (one.node_id, two.node_id) == (1, 2)
    assert one.chain == two.chain == "intact"
    assert one.trades == 1
    assert one.open_orders == 1
    assert one.accounts == two.accounts == 2
    assert one.checkpoint_lsn == one.last_lsn
    assert all(row.total == 0 for node in (one, two) for row in node.ledger)
    clearing = {row.asset: row.clearing for row in two.ledger}
    assert clearing == {"ACME": -4, "USD": 400}


def test_both_halves_prove_a_commit(doubtful: Cluster) -> None:
    """S3, S4: the acceptance is in the decider's log, the proposer has no answer."""
    result = inspect(doubtful.paths)

    (verdict,) = result.in_doubt
    assert verdict.verdict is Outcome.COMMIT
    assert (verdict.proposer, verdict.decider, verdict.quantity) == (2, 1, 4)
    assert exit_code(result.problems) == EXIT_IN_DOUBT


def test_one_half_proves_nothing(doubtful: Cluster) -> None:
    """Issue: with one directory the tool never claims more than it proves."""
    proposer = inspect([doubtful.paths[1]])
    decider = inspect([doubtful.paths[0]])

    assert [verdict.needs for verdict in proposer.in_doubt] == ["directory of node 1"]
    assert decider.in_doubt == []
    assert decider.directories[0].acceptances == 1


def test_an_offer_that_never_arrived_is_undecided(unhandled: Cluster) -> None:
    """S5: the mark is below the offer."""
    (verdict,) = inspect(unhandled.paths).in_doubt

    assert verdict.verdict is Outcome.UNDECIDED
    assert verdict.needs == NOT_HANDLED


def test_a_label_comes_true_when_both_nodes_start(doubtful: Cluster) -> None:
    """S5: sending the offer again is the inquiry."""
    for node in doubtful.nodes.values():
        node.start()
    doubtful.link_all()
    doubtful.settle()
    doubtful.kill_all()

    result = inspect(doubtful.paths)
    assert result.in_doubt == []
    assert [row.accounts for row in result.directories[1].ledger if row.asset == "ACME"] == [20_004]


def test_an_old_copy_is_recognised(market: Cluster, tmp_path: Path) -> None:
    """C3: a peer has seen a digest that the copy lacks."""
    market.kill_all()
    copy = tmp_path / "copy"
    shutil.copytree(market.paths[0], copy)
    for node in market.nodes.values():
        node.start()
    market.link_all()
    market.settle()
    market.put(account_of(1), Side.SELL, 10, 100)
    market.put(account_of(2), Side.BUY, 1, 100)
    market.kill_all()

    result = inspect([copy, market.paths[1]])
    assert "old_copy" in [found.code for found in result.problems]
    assert exit_code(result.problems) == EXIT_DAMAGED
    assert inspect(market.paths).problems == []


def test_a_running_node_is_named_and_read(market: Cluster) -> None:
    """Interfaces 5: safe beside a running node."""
    result = inspect(market.paths)

    assert result.problems == []
    assert all(node.running_pid for node in result.directories)
    assert market.nodes[NodeId(1)].is_up
    market.put(account_of(1), Side.SELL, 10, 100)


def test_directories_that_do_not_belong_together_are_refused(
    traded: Cluster, tmp_path: Path
) -> None:
    """Bad input: two directories of one node, none at all, a stray path."""
    twice = inspect([traded.paths[0], traded.paths[0]])
    stray = inspect([tmp_path / "nothing"])

    assert [found.code for found in twice.problems] == ["same_node_twice"]
    assert [found.code for found in stray.problems] == ["not_a_data_directory"]
    assert exit_code(stray.problems) == EXIT_USAGE


def test_a_directory_that_lost_its_store_is_damaged(traded: Cluster) -> None:
    """W4: a node that lost its state is not a new node."""
    shutil.rmtree(traded.paths[0] / "store")

    result = inspect(traded.paths[:1])
    assert [found.code for found in result.problems] == ["store_missing"]
    assert exit_code(result.problems) == EXIT_DAMAGED
