"""What one incarnation of a node remembers, tells and watches."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from exchange.coordinator.core import KnownNode
from exchange.domain.instruments import plain_ticker
from exchange.domain.units import Lsn, Micros, NodeId
from exchange.node import life as module
from exchange.node.identity import OperatorKey
from exchange.node.life import Life
from exchange.node.settings import Settings
from exchange.process.addresses import Address
from exchange.process.clocks import SystemClocks
from exchange.store.directory import Directory
from exchange.store.frames import Identity
from exchange.store.lmdb_disk import LmdbDisk, Usage
from exchange.store.store import Store

IDENTITY = Identity("test", NodeId(1), b"n" * 16)
FAST, SLOW = 0.0001, 0.01  # seconds a force takes


@asynccontextmanager
async def a_life(
    path: Path, told: list[str], coordinator: Address | None = None
) -> AsyncIterator[Life]:
    """Live, without any coordinator, and stop gracefully."""
    with Directory.lock(path) as directory:
        if directory.identity() is None:
            directory.create(IDENTITY)
        disk = directory.open()
        store = Store.open(disk, IDENTITY)
        epoch = store.boot(boot_id=b"12345678", ts=Micros(1))
        life = Life(
            store,
            disk,
            Settings(path, coordinator=coordinator),
            epoch=epoch,
            boot_id=b"12345678",
            address="127.0.0.1:7400",
            operator_key=OperatorKey(path / "operator.hash"),
            coordinator="127.0.0.1:1",
            clocks=SystemClocks(),
            tell=told.append,
        )
        ready, stop = trio.Event(), trio.Event()
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def run() -> None:
            await life.run(listener, on_ready=lambda _: ready.set(), stop=stop)

        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await ready.wait()
            yield life
            stop.set()
        disk.close()


@pytest.mark.parametrize(("seconds", "kind"), [(FAST, "inline"), (SLOW, "thread")])
async def test_committer_is_chosen_by_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, kind: str
) -> None:
    """W2, E4: either way what is listed is durable, and stays."""
    monkeypatch.setattr(module, "force_time", lambda _: seconds)
    async with a_life(tmp_path, []) as life:
        assert life.facts().committer == kind
        life.on_listed(plain_ticker("AAPL"))
    async with a_life(tmp_path, []) as life:
        assert list(life.registration().instruments) == [plain_ticker("AAPL")]
        assert life.registration().epoch == 2


async def test_facts_are_those_of_the_log(tmp_path: Path) -> None:
    """Interfaces section 1: forces per order can be reckoned from `node.status`."""
    async with a_life(tmp_path, []) as life:
        before = life.facts()
        life.on_listed(plain_ticker("AAPL"))
        while life.facts().durable_lsn == before.durable_lsn:
            await life.hub.wait_turn()
        after = life.facts()

    assert after.durable_lsn == before.durable_lsn + 1
    assert after.forces == before.forces + 1
    assert after.log_bytes > before.log_bytes
    assert after.rss_bytes > 0


async def test_what_the_coordinator_tells_is_known_for_ever(tmp_path: Path) -> None:
    """C2, C5: peers, their addresses and the operator's hash survive both."""
    peer = KnownNode(NodeId(2), b"p" * 16, "127.0.0.1:1")
    async with a_life(tmp_path, []) as life:
        life.on_registered([peer], [plain_ticker("AAPL")], b"hash")
        assert life.who.address(NodeId(2)) == "127.0.0.1:1"
        while not life.registration().nodes:
            await life.hub.wait_turn()

    assert OperatorKey(tmp_path / "operator.hash").hash == b"hash"


async def test_own_log_is_recognised_by_its_digests(tmp_path: Path) -> None:
    """C3: an old copy is told from the real one."""
    async with a_life(tmp_path, []) as life:
        proof = life.engine.proof
        has_proof = life.engine.soft.has_proof

        assert has_proof(proof)
        assert not has_proof(replace(proof, digest=b"of another log"))
        assert not has_proof(replace(proof, lsn=Lsn(proof.lsn + 1)))


async def test_full_disk_is_told_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W7: new orders are refused at 90 %, and the operator hears of it once."""
    monkeypatch.setattr(LmdbDisk, "usage", lambda _: Usage(90, 100, 5))
    told: list[str] = []
    async with a_life(tmp_path, told) as life:
        await life.hub.wait_turn()

        assert life.engine.soft.is_storage_full

    assert sum("storage_full" in line for line in told) == 1


async def test_node_that_stood_still_says_so(tmp_path: Path) -> None:
    """B5: nobody would know why it takes no orders for some seconds."""
    told: list[str] = []
    async with a_life(tmp_path, told) as life:
        life.engine.soft.mute_until_us = SystemClocks().mono_us() + 3_600_000_000
        while not any("stood still" in line for line in told):
            await life.hub.wait_turn()
        life.engine.soft.mute_until_us = 0


async def test_coordinator_elsewhere_lets_a_node_in_again(tmp_path: Path) -> None:
    """B5, C3: it would have refused one that was replaced."""
    async with a_life(tmp_path, [], Address("127.0.0.1", 1)) as life:
        life.engine.soft.mute_until_us = SystemClocks().mono_us() + 3_000_000
        life.registration()
        life.on_registered([], [], b"")
        await life.hub.wait_turn()

        assert not life.engine.is_mute


async def test_own_coordinator_lets_nobody_in(tmp_path: Path) -> None:
    """B5: it stood still together with its node, and would always agree."""
    async with a_life(tmp_path, []) as life:
        life.engine.soft.mute_until_us = SystemClocks().mono_us() + 3_600_000_000
        life.registration()
        life.on_registered([], [], b"")
        await life.hub.wait_turn()

        assert life.engine.is_mute
        life.engine.soft.mute_until_us = 0
