"""Nothing is told before it is forced, and one force carries all that waits."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from exchange.coordinator.core import Decision, Registration
from exchange.coordinator.registrar import LocalRegistrar
from exchange.coordinator.registry import InstrumentListed, RegistryRecord
from exchange.coordinator.registry_store import RegistryStore
from exchange.domain.instruments import plain_ticker
from exchange.domain.units import Epoch, NodeId, make_id
from exchange.engine.effects import Refused
from exchange.store.disk import Change
from exchange.store.errors import StoreFailed
from tests.exchange.coordinator.house import MemoryDisk

NODE = NodeId(1)


class Held:
    """A registrar whose forces wait until they are let."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.may_force = trio.Event()
        self.may_force.set()
        self.store = RegistryStore(self.disk)
        self.registrar = LocalRegistrar(self.store, fresh_cluster="c", on_thread=self._force)

    async def _force(self, commit: Callable[[list[Change]], None], changes: list[Change]) -> None:
        await self.may_force.wait()
        commit(changes)


async def a_held(*, is_holding: bool = True) -> Held:
    held = Held()
    await held.registrar.register(Registration(bytes(16), "127.0.0.1:7001"))
    if is_holding:
        held.may_force = trio.Event()
    return held


async def test_allocation_is_forced_before_it_is_answered() -> None:
    """C2, E3."""
    held = await a_held()
    given: list[object] = []

    async def allocate() -> None:
        given.append(await held.registrar.allocate([NODE], 2))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(allocate)
        await wait_all_tasks_blocked()
        early = list(given)
        held.may_force.set()

    assert early == []
    assert given == [[make_id(1, 1), make_id(1, 2)]]
    assert RegistryStore(held.disk).registry.nodes[NODE].account_number == 2


async def test_query_waits_for_what_it_shows() -> None:
    """E3: a listing that could still be lost is not shown."""
    held = await a_held()
    shown: list[object] = []

    async def ensure() -> None:
        await held.registrar.ensure("AAPL", is_strict=False)

    async def show() -> None:
        shown.append(await held.registrar.instruments())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ensure)
        await wait_all_tasks_blocked()
        nursery.start_soon(show)
        await wait_all_tasks_blocked()
        early = list(shown)
        held.may_force.set()

    assert early == []
    assert shown == [[plain_ticker("AAPL")]]


async def test_one_force_carries_all_that_waits() -> None:
    """W2."""
    held = await a_held()
    before = held.disk.writes
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(held.registrar.allocate, [NODE], 1)
        await wait_all_tasks_blocked()
        held.may_force.set()
    held.registrar.check()

    assert held.disk.writes - before <= 2


async def test_changes_are_told_once_they_are_durable_and_in_order() -> None:
    """C2, E3."""
    held = await a_held()
    told: list[RegistryRecord] = []
    held.registrar.on_change = told.append
    async with trio.open_nursery() as nursery:
        for symbol in ("A", "B"):
            await wait_all_tasks_blocked()

            async def ensure(symbol: str = symbol) -> None:
                await held.registrar.ensure(symbol, is_strict=False)

            nursery.start_soon(ensure)
        await wait_all_tasks_blocked()
        early = list(told)
        held.may_force.set()

    assert early == []
    assert told == [InstrumentListed(plain_ticker("A")), InstrumentListed(plain_ticker("B"))]


async def test_force_goes_on_when_who_waited_is_gone() -> None:
    """E4: a client that hangs up does not make the outcome unknown."""
    held = await a_held()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(held.registrar.allocate, [NODE], 1)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        held.may_force.set()

    assert await held.registrar.allocate([NODE], 1) == [make_id(1, 2)]
    assert RegistryStore(held.disk).registry.nodes[NODE].account_number == 2


async def test_nothing_is_answered_after_a_failed_force() -> None:
    """E4: memory is ahead of the disk."""
    held = await a_held(is_holding=False)
    held.disk.is_failing = True
    with pytest.raises(StoreFailed):
        await held.registrar.allocate([NODE], 1)
    held.disk.is_failing = False

    with pytest.raises(StoreFailed):
        await held.registrar.nodes()
    with pytest.raises(StoreFailed):
        await held.registrar.ensure("AAPL", is_strict=False)
    assert RegistryStore(held.disk).registry.nodes[NODE].account_number == 0


async def test_refusals_force_nothing() -> None:
    """C2."""
    held = await a_held(is_holding=False)
    before = held.disk.writes

    assert isinstance(await held.registrar.allocate([], 1), Refused)
    assert isinstance(await held.registrar.ensure("bad symbol", is_strict=False), Refused)
    assert isinstance(await held.registrar.ensure("AAPL", is_strict=True), Refused)
    assert held.disk.writes == before


async def test_nearly_full_disk_refuses_growth_and_lets_nodes_come_back() -> None:
    """W7: before the disk is full."""
    held = await a_held(is_holding=False)
    await held.registrar.ensure("AAPL", is_strict=False)
    held.store.has_room = lambda: False
    newborn = await held.registrar.register(Registration(bytes(15) + b"2", "127.0.0.1:2"))
    returned = await held.registrar.register(
        Registration(bytes(16), "127.0.0.1:7001", node_id=NODE, epoch=Epoch(1))
    )

    for refusal in (
        newborn,
        await held.registrar.allocate([NODE], 1),
        await held.registrar.ensure("MSFT", is_strict=False),
    ):
        assert isinstance(refusal, Refused)
        assert refusal.code == "storage_full"
    assert isinstance(returned, Decision)
    assert await held.registrar.ensure("AAPL", is_strict=False) == plain_ticker("AAPL")
