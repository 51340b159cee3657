"""Tables know what changed, histories what is new; both read through to the store."""

from exchange.engine.table import History, Table


def a_table() -> Table[int, str]:
    table: Table[int, str] = Table()
    table.load = {1: "stored", 2: "stored too"}.get
    return table


def test_find_reads_through_and_keeps_what_it_found() -> None:
    """E7."""
    table = a_table()

    assert table.find(1) == "stored"
    assert table[1] == "stored"
    assert table.find(9) is None


def test_deleted_entry_does_not_come_back_from_the_store() -> None:
    """E7, W5: until the checkpoint says so on disk, memory says it."""
    table = a_table()
    table.drop(1)

    assert table.find(1) is None
    assert table.dirty == {1}


def test_changed_entries_are_dirty_and_read_ones_are_not() -> None:
    """W5: a checkpoint writes dirty entries only."""
    table = a_table()
    table.find(2)
    table.put(3, "new")

    assert table.dirty == {3}


def a_history() -> History[str, int, str]:
    """Return one with entries on the disk, in a write under way, and fresh."""
    history: History[str, int, str] = History()
    history.append("a", 2, "written")
    history.writing, history.fresh = history.fresh, {}
    history.append("a", 3, "fresh")
    history.append("a", 4, "freshest")
    history.append("b", 1, "other")
    history.load = {("a", 1): "stored"}.get
    return history


def test_history_is_found_wherever_it_is() -> None:
    """E7."""
    history = a_history()

    found = [history.find(("a", number)) for number in range(6)]

    assert found == [None, "stored", "written", "fresh", "freshest", None]
    assert history.find(("b", 1)) == "other"
    assert history.find(("c", 1)) is None


def test_history_without_a_disk_has_what_was_added() -> None:
    """E2: redo and the model fold a log without one."""
    history: History[str, int, str] = History()
    history.append("a", 1, "one")

    assert (history.find(("a", 1)), history.find(("a", 2))) == ("one", None)
    assert dict(history) == {("a", 1): "one"}


def test_history_shows_what_is_in_memory() -> None:
    """E7: what was read back counts, until the store takes it away."""
    history = a_history()
    history.read["a", 1] = "stored"

    assert len(history) == len(list(history)) == 5
    assert dict(history)["a", 1] == "stored"
    assert ("a", 4) in history
    assert ("a", 5) not in history
