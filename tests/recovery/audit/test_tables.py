"""Tables are compared with the fold of the log, row by row (W5)."""

from exchange.store.tables import CODECS
from recovery.audit.reader import add_up_tables, audit_log, compare, differing
from recovery.audit.tables import TABLES, Rows, amounts, frozen
from recovery.directory import data_file
from recovery.pages import PageFile
from tests.recovery.cluster import Cluster


def test_it_knows_every_table_of_the_store() -> None:
    """W5: a table that nobody compares would hide a fault."""
    assert set(TABLES) == set(CODECS)


def test_rows_behind_the_checkpoint_do_not_count() -> None:
    """W5: tables stand at one LSN."""
    rows = Rows(7)
    rows.pending["fills"].append(((1, 1), ("a",)))
    rows.flush()
    rows.is_standing = True
    rows.pending["fills"].append(((1, 2), ("b",)))
    rows.flush()

    assert rows.counts["fills"] == 1
    assert not rows.pending["fills"]


def test_amounts_without_a_unit_are_nothing() -> None:
    """An asset that was emptied is as good as one that was never held."""
    assert amounts({"USD": 0, "B": 2, "A": 1}) == (("A", 1), ("B", 2))
    assert frozen([1, [2, {"USD": 0}]]) == (1, (2, ()))


def test_the_rows_that_differ_are_named(traded: Cluster) -> None:
    """Issue: tables equal the fold of the log."""
    file = data_file(traded.paths[0])
    log = audit_log(file)
    with PageFile(file) as pages:
        tables = add_up_tables(pages)
        assert compare(pages, log, tables) == []
        assert all(differing(pages, table, log.checkpoint_lsn) == [] for table in TABLES)
        tables.sums["accounts"] += 1
        (finding,) = compare(pages, log, tables)

    assert finding.code == "audit_table"
    assert finding.lsn == log.checkpoint_lsn
