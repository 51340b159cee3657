"""What is forced is read back, and nothing else passes for it."""

from pathlib import Path

import pytest

from exchange.coordinator import core, registry_store
from exchange.coordinator.core import Decision, Registration
from exchange.coordinator.errors import DamagedRegistry
from exchange.coordinator.registry import InstrumentListed, NodeRegistered, RegistryRecord, apply
from exchange.coordinator.registry_store import RegistryStore
from exchange.domain.instruments import plain_ticker
from exchange.domain.units import Epoch, NodeId
from exchange.store.directory import Directory
from exchange.store.errors import DataDirInUse, NewerFormat, WrongDirectory
from exchange.store.frames import Identity
from tests.exchange.coordinator.house import MemoryDisk

NONCE = bytes(16)


def force(store: RegistryStore, *records: RegistryRecord) -> None:
    for record in records:
        apply(store.registry, record)
    store.commit(store.prepare(list(records)))


def register(store: RegistryStore, number: int) -> None:
    asked = Registration(number.to_bytes(16, "big"), f"127.0.0.1:{number}")
    decision = core.decide_registration(store.registry, asked, fresh_cluster="c")
    assert isinstance(decision, Decision)
    force(store, *decision.records)


def a_full_store(disk: MemoryDisk, forces: int) -> RegistryStore:
    store = RegistryStore(disk)
    for number in range(forces):
        register(store, number + 1)
    force(store, InstrumentListed(plain_ticker("AAPL")))
    return store


def test_registry_is_read_back_as_it_was() -> None:
    """C2: what was forced before the kill is there."""
    disk = MemoryDisk()
    store = a_full_store(disk, 3)

    assert vars(RegistryStore(disk).registry) == vars(store.registry)


def test_base_frame_replaces_what_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """C2: the registry, not its history, is what a start reads."""
    monkeypatch.setattr(registry_store, "FRAMES_MAX", 4)
    disk = MemoryDisk()
    store = a_full_store(disk, 10)
    again = RegistryStore(disk)
    register(again, 99)

    assert len(disk.tables["log"]) <= 5
    assert vars(RegistryStore(disk).registry) == vars(again.registry)
    assert sorted(again.registry.nodes) == list(range(1, 12))
    assert sorted(store.registry.nodes) == list(range(1, 11))


def test_every_flipped_byte_is_found() -> None:
    """W4."""
    disk = MemoryDisk()
    a_full_store(disk, 2)
    flipped = 0
    for entries in disk.tables.values():
        for key, value in list(entries.items()):
            for place in range(len(value)):
                entries[key] = value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]
                with pytest.raises((DamagedRegistry, NewerFormat)):
                    RegistryStore(disk)
                flipped += 1
            entries[key] = value

    assert flipped > 100
    RegistryStore(disk)


@pytest.mark.parametrize("place", [0, 1, -1])
def test_missing_frame_is_found(place: int) -> None:
    """W4: at the beginning, in the middle and at the end."""
    disk = MemoryDisk()
    a_full_store(disk, 3)
    log = disk.tables["log"]
    del log[sorted(log)[place]]

    with pytest.raises(DamagedRegistry, match="an empty coordinator learns the cluster"):
        RegistryStore(disk)


def test_frame_that_says_the_impossible_is_damage() -> None:
    """W4: a whole chain, of records that cannot be."""
    disk = MemoryDisk()
    store = RegistryStore(disk)
    record = NodeRegistered(NodeId(1), NONCE, "a:1", Epoch(0), b"", has_started=False)
    store.commit(store.prepare([record]))  # a node without a cluster

    with pytest.raises(DamagedRegistry, match="frame 1: impossible"):
        RegistryStore(disk)


def test_directory_is_made_locked_and_read_back(tmp_path: Path) -> None:
    """W6."""
    with Directory.lock(tmp_path / "data") as directory:
        store = RegistryStore.open(directory, nonce=NONCE)
        register(store, 1)
        with pytest.raises(DataDirInUse) as in_use:
            Directory.lock(tmp_path / "data")
        store.close()
    with Directory.lock(tmp_path / "data") as directory:
        again = RegistryStore.open(directory, nonce=NONCE)
        again.close()

    assert in_use.value.exit_code == 5
    assert sorted(again.registry.nodes) == [1]


def test_directory_of_a_node_is_refused(tmp_path: Path) -> None:
    """W6, C3."""
    with Directory.lock(tmp_path) as directory:
        directory.create(Identity("c", NodeId(3), NONCE))
        with pytest.raises(WrongDirectory, match="node 3"):
            RegistryStore.open(directory, nonce=NONCE)
