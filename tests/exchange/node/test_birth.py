"""A node is born once, however often it is killed on the way."""

from pathlib import Path

import pytest

from exchange.coordinator.errors import CoordinatorUnreachable
from exchange.coordinator.member import NewNode
from exchange.domain.units import NodeId
from exchange.node import birth
from exchange.node.birth import find_identity
from exchange.process.addresses import Address
from exchange.store import crash
from exchange.store.directory import Directory
from exchange.store.frames import Identity

ADDRESS = Address("127.0.0.1", 7400)


class Coordinator:
    """Gives one id per nonce, as the real one does (C2)."""

    def __init__(self) -> None:
        self.ids: dict[bytes, int] = {}
        self.is_up = True

    async def register_new(
        self, coordinator: str, nonce: bytes, address: str, *, dial: object = None
    ) -> NewNode:
        assert address == "127.0.0.1:7400", "the node tells where it is"
        if not self.is_up:
            raise CoordinatorUnreachable(coordinator, "connection refused")
        node_id = self.ids.setdefault(nonce, len(self.ids) + 1)
        return NewNode(NodeId(node_id), "test", [], [], b"")


@pytest.fixture(name="coordinator")
def _coordinator(monkeypatch: pytest.MonkeyPatch) -> Coordinator:
    coordinator = Coordinator()
    monkeypatch.setattr(birth, "register_new", coordinator.register_new)
    return coordinator


async def is_born(path: Path) -> Identity:
    with Directory.lock(path) as directory:
        return await find_identity(directory, coordinator="127.0.0.1:7401", address=ADDRESS)


class KilledError(Exception):
    pass


@pytest.mark.parametrize(
    "point",
    [
        "birth_nonce_forced_unregistered",
        "node_registered_store_absent",
        "new_store_forced_not_renamed",
        "new_store_renamed_directory_unforced",
        "store_created_identity_file_absent",
    ],
)
async def test_killed_newborn_gets_the_same_id(
    tmp_path: Path, coordinator: Coordinator, point: str
) -> None:
    """C2, faults 2.4: never a second node for one data directory."""

    def kill(name: str) -> None:
        if name == point:
            raise KilledError

    crash.hook = kill
    try:
        with pytest.raises(KilledError):
            await is_born(tmp_path)
    finally:
        crash.hook = None
    identity = await is_born(tmp_path)

    assert identity.node_id == 1
    assert list(coordinator.ids) == [identity.nonce]


async def test_nonce_is_in_the_store_alone_once_there_is_one(
    tmp_path: Path, coordinator: Coordinator
) -> None:
    """C3: a node that is replaced leaves no nonce behind that is not its own any more."""
    await is_born(tmp_path)
    assert not (tmp_path / birth.BIRTH).exists()
    (tmp_path / birth.BIRTH).write_bytes(bytes(birth.NONCE_SIZE))

    await is_born(tmp_path)

    assert not (tmp_path / birth.BIRTH).exists()


async def test_known_node_needs_no_coordinator(tmp_path: Path, coordinator: Coordinator) -> None:
    """C1: only new nodes wait for it."""
    born = await is_born(tmp_path)
    coordinator.is_up = False

    assert await is_born(tmp_path) == born


async def test_new_node_without_coordinator_says_so(
    tmp_path: Path, coordinator: Coordinator
) -> None:
    """Interfaces section 4: exit code 3, naming the coordinator and the remedy."""
    coordinator.is_up = False

    with pytest.raises(CoordinatorUnreachable, match=r"127\.0\.0\.1:7401") as refused:
        await is_born(tmp_path)

    assert refused.value.exit_code == 3


async def test_half_written_nonce_is_made_anew(tmp_path: Path, coordinator: Coordinator) -> None:
    """Faults 2.5: nobody has heard of it."""
    (tmp_path / birth.BIRTH).write_bytes(b"half")

    identity = await is_born(tmp_path)

    assert len(identity.nonce) == birth.NONCE_SIZE
