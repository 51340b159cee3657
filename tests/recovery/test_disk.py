"""Pages serve as the store's disk, for reading alone."""

import pytest

from exchange.store.errors import DamagedDirectory
from exchange.store.store import Store
from recovery.directory import DataDirectory
from tests.recovery.cluster import Cluster


def test_a_store_loads_the_same_state_as_through_lmdb(market: Cluster) -> None:
    """E2: redo needs only the disk interface."""
    engine = market.nodes[1].engine  # type: ignore[index]
    assert engine is not None, "the node is up"

    with DataDirectory.open(market.paths[0]) as directory:
        state = Store.open(directory.disk, directory.identity).state
    assert state.lsn == engine.state.lsn
    assert {key: state.accounts.find(key) for key in engine.state.accounts} == dict(
        engine.state.accounts
    )


def test_nothing_is_ever_written(traded: Cluster) -> None:
    """Interfaces 5: read-only unless the verb writes."""
    with (
        DataDirectory.open(traded.paths[0]) as directory,
        pytest.raises(AssertionError, match="written to"),
    ):
        directory.disk.write([("log", b"k", b"v")])


def test_a_damaged_page_is_an_error_of_the_store(traded: Cluster) -> None:
    """W4."""
    with DataDirectory.open(traded.paths[0]) as directory:
        directory.pages.meta.last_page = 1

        directory.pages.refresh = lambda: None  # type: ignore[method-assign]
        with pytest.raises(DamagedDirectory, match="outside of the file"):
            list(directory.disk.scan("log"))
