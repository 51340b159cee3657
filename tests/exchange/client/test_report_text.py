"""The report of a replay in words."""

from exchange.client.replay import Latency, Report
from exchange.client.report_text import rows, verdict


def a_report(**changes: object) -> Report:
    """Make a report."""
    fields: dict[str, object] = {
        "source": "esh4.csv.gz",
        "pace": "sequential",
        "nodes": 3,
        "accounts": 12,
        "instruments": 1,
        "actions": 10,
        "orders": 8,
        "seconds": 2.0,
        "orders_per_second": 4.0,
        "actions_per_second": 5.0,
        "trades": 4,
        "fills": 8,
        "acknowledged": Latency(8, 1.0, 2.0, 3.0, 4.0),
        "settled": None,
        "trade_lines": 4,
        "trade_lines_equal": 3,
        "trade_lines_share": 0.75,
        "is_naive_equal": True,
        "naive_different": [],
        "is_books_equal": True,
        "is_conserved": True,
        "quiet_seconds": 0.1,
        "refused": {},
        "repeated": 0,
        "problems": 0,
        "first_problems": [],
        **changes,
    }
    return Report(**fields)  # type: ignore[arg-type]


def text(report: Report) -> dict[object, object]:
    """Return what is said, by heading."""
    return {row["what"]: row["found"] for row in rows(report)}


def test_report_names_what_was_compared() -> None:
    """Issue item 8."""
    said = text(a_report())

    assert said["as the naive book"] == "equal on every line"
    assert said["as the source says"] == "3 of 4 trade lines (75.0 %)"
    assert said["acknowledged"] == "p50 1.00 ms, p90 2.00, p99 3.00, max 4.00 of 8"
    assert said["settled"] == "none"
    assert verdict(a_report()) == "everything is as it must be"


def test_what_is_wrong_is_loud() -> None:
    """Issue item 8: non-zero exit if something is wrong."""
    wrong = a_report(
        is_naive_equal=False,
        is_books_equal=False,
        is_conserved=False,
        problems=3,
        refused={"order_done": 2},
        repeated=5,
    )

    said = text(wrong)
    assert said["as the naive book"] == "DIFFERENT"
    assert (said["books equal"], said["conservation"]) == ("NO", "VIOLATED")
    assert (said["refused"], said["sent again"]) == ("2 order_done", "5")
    assert verdict(wrong) == "not as it must be: 3 things"


def test_what_cannot_be_compared_is_not_claimed() -> None:
    """At full speed fills differ from run to run; random flow names none."""
    said = text(a_report(is_naive_equal=None, trade_lines_share=None))

    assert str(said["as the naive book"]).startswith("not compared")
    assert said["as the source says"] == "the source names no fills"
