"""A rebuilt node serves only after its operator has accepted, and its peers know it (C3)."""

import shutil
from pathlib import Path

import pytest

from exchange.engine.records import PeerSeen
from exchange.store.errors import DataDirInUse
from recovery.directory import DataDirectory
from recovery.rebirth import accept, read_rebuilt
from recovery.rebuild import rebuild
from recovery.replay import CannotReplay
from tests.recovery.cluster import Cluster
from tests.recovery.logs import read_frames, records_of


@pytest.fixture
def rebuilt(traded: Cluster, tmp_path: Path) -> Path:
    shutil.rmtree(traded.paths[0])
    rebuild(1, traded.paths[1:], tmp_path / "new")
    return tmp_path / "new"


def test_the_others_are_told_of_the_new_nonce_and_log(traded: Cluster, rebuilt: Path) -> None:
    """C3: else they would refuse it, or it would stop by their proof."""
    result = accept(rebuilt, traded.paths[1:])
    last = read_frames(traded.paths[1])[-1]
    record = records_of(traded.paths[1], PeerSeen)[-1]

    assert isinstance(record, PeerSeen)
    assert record.nonce.hex() == result.nonce
    assert last.seen[1].digest.hex() == result.digest  # type: ignore[index]
    with DataDirectory.open(rebuilt) as directory:
        assert directory.identity.nonce.hex() == result.nonce


def test_accepting_twice_is_refused_and_harmless(traded: Cluster, rebuilt: Path) -> None:
    """Bad input."""
    accept(rebuilt, traded.paths[1:])
    frames = read_frames(traded.paths[1])

    with pytest.raises(CannotReplay, match="accepted already"):
        accept(rebuilt, traded.paths[1:])
    assert read_frames(traded.paths[1]) == frames
    assert read_rebuilt(rebuilt).node == 1


def test_a_running_peer_stops_it(traded: Cluster, rebuilt: Path) -> None:
    """W6: nothing is accepted then."""
    traded.nodes[2].start()  # type: ignore[index]

    with pytest.raises(DataDirInUse):
        accept(rebuilt, traded.paths[1:])
    assert (rebuilt / "store.unaccepted").exists()
