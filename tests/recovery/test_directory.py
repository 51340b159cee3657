"""Directories are opened whatever state they are in, and never locked (W6)."""

import os
from pathlib import Path

import pytest

from exchange.coordinator.registry_store import CLUSTER_OF_COORDINATORS
from exchange.domain.units import NodeId
from exchange.store.directory import Directory
from exchange.store.frames import Identity
from recovery.directory import (
    COORDINATORS,
    DataDirectory,
    NoDirectory,
    data_file,
    running_pid,
)
from tests.recovery.cluster import Cluster


def test_the_process_that_uses_it_is_named_without_a_lock(market: Cluster) -> None:
    """W6: taking the lock, even for a moment, could keep a node from starting."""
    assert running_pid(market.paths[0]) == os.getpid()
    market.nodes[1].kill()  # type: ignore[index]

    assert running_pid(market.paths[0]) is None
    assert running_pid(market.paths[0] / "nowhere") is None


def test_the_process_is_named_without_a_lock_file(market: Cluster) -> None:
    """W6: somebody has deleted it, and perhaps tried to start another node."""
    (market.paths[0] / "lock").unlink()
    assert running_pid(market.paths[0]) == os.getpid()
    (market.paths[0] / "lock").touch()
    assert running_pid(market.paths[0]) == os.getpid()


def test_a_bare_environment_is_a_directory_too(traded: Cluster, tmp_path: Path) -> None:
    """A copy of `store/` alone can be inspected."""
    with DataDirectory.open(traded.paths[0] / "store") as directory:
        assert directory.node_id == 1
    assert data_file(tmp_path / "x") == tmp_path / "x" / "store" / "data.mdb"


def test_a_file_in_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    """Bad input."""
    (tmp_path / "file").write_text("no data")

    with pytest.raises(NoDirectory, match="there is no store"):
        DataDirectory.open(tmp_path / "file")


def test_a_coordinators_directory_is_none_of_a_node(tmp_path: Path) -> None:
    """Bad input: its store has the same shape, and nothing of a node in it."""
    with Directory.lock(tmp_path / "coordinator") as directory:
        directory.create(Identity(COORDINATORS, NodeId(1), bytes(16)))

    with pytest.raises(NoDirectory, match="coordinator") as nothing:
        DataDirectory.open(tmp_path / "coordinator")
    assert nothing.value.problem.severity == "usage"
    assert COORDINATORS == CLUSTER_OF_COORDINATORS


def test_a_terminal_is_safe_from_names(tmp_path: Path) -> None:
    """Faults 3: an id used as a log line."""
    with pytest.raises(NoDirectory) as nothing:
        DataDirectory.open(tmp_path / "red\x1b[31m\n")
    assert "\x1b" not in nothing.value.problem.place
