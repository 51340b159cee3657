"""What people read: rows, a verdict, the next command."""

from recovery.inspection import Inspection, inspect
from recovery.problems import problem
from recovery.report import inspection_text, next_command, problems_text, sentence
from tests.recovery.cluster import Cluster


def test_a_problem_is_severity_code_place_detail_remedy() -> None:
    """Issue, item 8."""
    head, detail, remedy = problems_text([problem("lsn_gap", "node1 LSN 5", "5 to 9")])

    assert head.split() == ["damage", "lsn_gap", "node1", "LSN", "5"]
    assert detail.strip() == "5 to 9"
    assert remedy.strip().startswith("-> do not start the node")


def test_a_long_list_says_where_the_rest_is() -> None:
    """Issue: one screen."""
    lines = list(problems_text([problem("lsn_gap", "here", "x")] * 50))

    assert lines[-1] == "  ... and 38 more: -o json has all of them"


def test_each_verdict_has_a_next_command(doubtful: Cluster) -> None:
    """Interfaces 5: last, one sentence of verdict and the next command to type."""
    doubt = inspect(doubtful.paths)
    damage = Inspection(["here"], problems=[problem("chain_broken", "here LSN 4", "x")])

    assert sentence(doubt) == "2 directories: intact, 1 trade in doubt (1 proven, 0 undecided)."
    assert next_command(doubt).startswith("exchange-recover resolve ")
    assert "DAMAGED" in sentence(damage)
    assert next_command(damage) == "exchange-recover salvage here --to NEW_DIR"
    assert "COMMIT PROVEN" in "\n".join(inspection_text(doubt))


def test_a_trade_that_was_decided_twice_keeps_no_node_from_starting() -> None:
    """S4: its remedy is a deposit, and a deposit needs the node."""
    frozen = problem("trade_frozen", "trade 1-11", "0 lots here, 4 lots there")
    damaged = problem("page_damaged", "node1 page 7", "not what was written")

    assert "do not start" not in sentence(Inspection(problems=[frozen]))
    assert "do not start" in sentence(Inspection(problems=[frozen, damaged]))
