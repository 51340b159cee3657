"""`log --stats` counts."""

from recovery.statistics import Counting, Statistics
from tests.recovery.cluster import Cluster
from tests.recovery.logs import read_frames


def test_records_are_counted_by_kind_and_symbol(traded: Cluster) -> None:
    """Interfaces 5."""
    counting = Counting()
    for frame in read_frames(traded.paths[1]):
        counting.add(frame)
    result = counting.finish()

    assert result.records == sum(result.by_type.values()) == result.last_lsn
    assert result.by_type["TradeSettled"] == 1
    assert result.orders_by_symbol == {"ACME": 1}
    assert result.boots == 1


def test_an_empty_log_has_nothing_to_count() -> None:
    """No division by zero."""
    assert Counting().finish() == Statistics()
