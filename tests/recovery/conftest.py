"""Fixtures of the recovery tests: small clusters, killed at a known moment."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.domain.orders import Side
from tests.recovery.cluster import Cluster, a_market, account_of


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """Return a directory in memory where there is one: forces cost nothing there."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="recovery", dir=memory) as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def small_ballast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the ballast file a page: nothing here fills a disk (W7)."""
    monkeypatch.setattr("exchange.store.directory.BALLAST_SIZE", 4096)


@pytest.fixture
def market(tmp_path: Path) -> Cluster:
    """Return a running cluster of two nodes with funded accounts."""
    return a_market(tmp_path)


@pytest.fixture
def traded(market: Cluster) -> Cluster:
    """Return a stopped cluster: 4 lots settled across the nodes, nothing in doubt."""
    market.put(account_of(1), Side.SELL, 10, 100)
    market.put(account_of(2), Side.BUY, 4, 101, client_order_id="first")
    market.nodes[1].checkpoint()  # type: ignore[index]
    market.kill_all()
    return market


@pytest.fixture
def doubtful(market: Cluster) -> Cluster:
    """Return a stopped cluster: node 2 has offered 4 lots, node 1 has accepted, no reply came."""
    market.put(account_of(1), Side.SELL, 10, 100)
    market.place(account_of(2), Side.BUY, 4, 101)
    market.deliver(2, 1)
    market.kill_all()
    return market


@pytest.fixture
def unhandled(market: Cluster) -> Cluster:
    """Return a stopped cluster: node 2 has offered 4 lots, node 1 never heard of it."""
    market.put(account_of(1), Side.SELL, 10, 100)
    market.place(account_of(2), Side.BUY, 4, 101)
    market.kill_all()
    return market
