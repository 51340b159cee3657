"""A rebuilt node serves only after its operator has accepted, and its peers know it (C3)."""

import shutil
from pathlib import Path

import pytest

from exchange.coordinator.registry import (
    ClusterFounded,
    NodeRenewed,
    Registry,
    RegistryRecord,
    apply,
)
from exchange.coordinator.registry_store import RegistryStore
from exchange.domain.orders import Side
from exchange.domain.units import Epoch, NodeId
from exchange.engine.records import PeerSeen
from exchange.store.directory import STORE, UNACCEPTED, Directory
from exchange.store.errors import DataDirInUse, WrongDirectory
from exchange.store.frames import Identity
from recovery.directory import DataDirectory, marked
from recovery.rebirth import accept, read_rebuilt, untold
from recovery.rebuild import rebuild
from recovery.replay import CannotReplay
from tests.recovery.cluster import Cluster, a_market, account_of
from tests.recovery.logs import read_frames, records_of


def a_coordinator(path: Path, *records: RegistryRecord) -> Path:
    with Directory.lock(path) as directory:
        store = RegistryStore.open(directory, nonce=bytes(16))
        for record in records:
            apply(store.registry, record)
        store.commit(store.prepare(list(records)))
        store.close()
    return path


def read_registry(path: Path) -> Registry:
    with Directory.lock(path) as directory:
        store = RegistryStore.open(directory, nonce=b"")
        store.close()
    return store.registry


def identity_of(path: Path) -> Identity:
    identity = marked(path)
    assert identity is not None
    return identity


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


def test_the_coordinator_is_told_and_gives_no_number_twice(
    traded: Cluster, rebuilt: Path, tmp_path: Path
) -> None:
    """C2, C3: else it would refuse the new nonce for ever."""
    cluster, old = identity_of(rebuilt).cluster, bytes(16)
    entry = NodeRenewed(NodeId(1), old, "h:1", Epoch(1), b"boot", 7, has_started=True)
    registry = a_coordinator(tmp_path / "coordinator", ClusterFounded(cluster), entry)
    result = accept(rebuilt, [*traded.paths[1:], registry])
    told = read_registry(registry)

    assert told.nodes[NodeId(1)].nonce.hex() == result.nonce
    assert told.nodes[NodeId(1)].account_number == 7
    assert list(told.by_nonce) == [bytes.fromhex(result.nonce)]


def test_a_coordinator_inside_a_node_is_told_with_it(traded: Cluster, rebuilt: Path) -> None:
    """C4: it has no directory of its own."""
    cluster = identity_of(rebuilt).cluster
    registry = a_coordinator(traded.paths[1] / "coordinator", ClusterFounded(cluster))
    result = accept(rebuilt, traded.paths[1:])

    assert read_registry(registry).nodes[NodeId(1)].nonce.hex() == result.nonce


def test_who_was_left_out_is_told_later(traded: Cluster, rebuilt: Path, tmp_path: Path) -> None:
    """Issue, item 7: an operator at night forgets one."""
    cluster = identity_of(rebuilt).cluster
    registry = a_coordinator(tmp_path / "coordinator", ClusterFounded(cluster))
    accept(rebuilt, traded.paths[1:])
    result = accept(rebuilt, [registry])

    assert read_registry(registry).nodes[NodeId(1)].nonce.hex() == result.nonce


def test_what_cannot_be_introduced_is_refused_before_anything_is_written(
    traded: Cluster, rebuilt: Path, tmp_path: Path
) -> None:
    """Bad input."""
    foreign = a_coordinator(tmp_path / "coordinator", ClusterFounded("another"))
    frames = read_frames(traded.paths[1])

    with pytest.raises(CannotReplay, match="no node and no coordinator"):
        accept(rebuilt, [traded.paths[1], tmp_path / "nowhere"])
    with pytest.raises(CannotReplay, match="node 1 itself"):
        accept(rebuilt, [traded.paths[1], rebuilt])
    assert read_frames(traded.paths[1]) == frames
    with pytest.raises(WrongDirectory, match="another"):
        accept(rebuilt, [foreign])
    assert (rebuilt / UNACCEPTED).exists()


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


def test_who_was_not_given_is_named(traded: Cluster, rebuilt: Path, tmp_path: Path) -> None:
    """Issue, item 7: whoever is forgotten refuses the node."""
    cluster = identity_of(rebuilt).cluster
    registry = a_coordinator(tmp_path / "coordinator", ClusterFounded(cluster))
    result = accept(rebuilt, traded.paths[1:])

    (told,) = untold(result, traded.paths[1:])
    assert told.startswith("the coordinator")
    assert untold(result, [*traded.paths[1:], registry]) == []
    assert untold(result, [registry]) == ["node 2"]
    assert result.path == str(rebuilt)


def test_what_was_made_before_another_life_is_refused(
    traded: Cluster, rebuilt: Path, tmp_path: Path
) -> None:
    """S13: that life has traded, and its halves would be lost."""
    rebuild(1, traded.paths[1:], tmp_path / "stale")
    shutil.copytree(rebuilt, tmp_path / "copy")
    accept(rebuilt, traded.paths[1:])
    node = traded.nodes[NodeId(1)]
    node.path = rebuilt
    node.identity = marked(rebuilt) or node.identity
    traded.start()
    traded.settle()
    traded.kill_all()
    frames = read_frames(traded.paths[1])

    for path in (tmp_path / "stale", tmp_path / "copy"):
        with pytest.raises(CannotReplay, match="has heard of node 1 what"):
            accept(path, traded.paths[1:])
    assert read_frames(traded.paths[1]) == frames
    assert (tmp_path / "stale" / UNACCEPTED).exists()
    with pytest.raises(CannotReplay, match="accepted already"):
        accept(rebuilt, traded.paths[1:])


def test_accepting_goes_on_where_it_was_killed(traded: Cluster, rebuilt: Path) -> None:
    """Issue, item 7: the others are told, and the store has not its name yet."""
    accept(rebuilt, traded.paths[1:])
    (rebuilt / STORE).rename(rebuilt / UNACCEPTED)

    accept(rebuilt, traded.paths[1:])
    assert (rebuilt / STORE).exists()


def test_who_has_traded_and_was_not_given_at_first_is_refused(tmp_path: Path) -> None:
    """S13: its halves of those trades are not in the new log."""
    cluster = a_market(tmp_path / "market", nodes=3)
    cluster.put(account_of(1), Side.SELL, 10, 100)
    cluster.put(account_of(3), Side.BUY, 4, 100)
    cluster.kill_all()
    one, two, three = cluster.paths
    shutil.rmtree(one)
    rebuild(1, [two], tmp_path / "half")
    rebuild(1, [two, three], tmp_path / "new")

    with pytest.raises(CannotReplay, match="recover-node with the directories of all others"):
        accept(tmp_path / "half", [two, three])
    accept(tmp_path / "new", [two, three])
