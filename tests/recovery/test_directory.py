"""Directories are opened whatever state they are in, and never locked (W6)."""

import fcntl
import os
from pathlib import Path

import pytest

from exchange.coordinator.registry_store import CLUSTER_OF_COORDINATORS
from exchange.domain.units import NodeId
from exchange.store.directory import Directory, holder_of
from exchange.store.frames import Identity
from recovery.directory import (
    COORDINATORS,
    DataDirectory,
    NoDirectory,
    data_file,
)
from tests.recovery.cluster import Cluster


def test_the_process_that_uses_it_is_named(market: Cluster) -> None:
    """W6: the lock is asked, never the pid."""
    assert holder_of(market.paths[0]) == os.getpid()
    market.nodes[1].kill()  # type: ignore[index]

    assert holder_of(market.paths[0]) is None
    assert holder_of(market.paths[0] / "nowhere") is None


def test_a_deleted_lock_file_makes_nobody_stopped(market: Cluster) -> None:
    """W6: the directory is locked too; only who it is has gone with the file."""
    (market.paths[0] / "lock").unlink()
    assert holder_of(market.paths[0]) == 0
    (market.paths[0] / "lock").touch()
    assert holder_of(market.paths[0]) == 0


def test_a_pid_of_another_namespace_makes_nobody_stopped(market: Cluster) -> None:
    """A node in a container writes the number that it has there: here 1 is somebody else."""
    (market.paths[0] / "lock").write_text("1\n")

    assert holder_of(market.paths[0]) == 1


def test_to_ask_who_uses_a_directory_keeps_no_node_from_starting(
    market: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W6: who asks holds the lock for a moment, and a start waits for that."""
    path = market.paths[0]
    market.nodes[NodeId(1)].kill()
    asking = os.open(path / "lock", os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        fcntl.flock(asking, fcntl.LOCK_UN)

    monkeypatch.setattr("exchange.store.directory.time.sleep", wait)
    with Directory.lock(path):
        assert len(waits) == 1
    os.close(asking)


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
