"""The one small interface behind which the registry stands (C2), and its form on LMDB.

Everything is answered only after all that was decided before it is forced, queries too (E3).
One force carries whatever was decided while the one before was under way (W2); it runs on a
thread, so that a node that embeds the coordinator goes on trading.  What would make the
registry grow is refused before the disk is full; nodes still come back (W7).
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

import trio

from exchange.coordinator import core
from exchange.coordinator.core import Decision, Registration
from exchange.coordinator.registry import (
    InstrumentListed,
    NodeEntry,
    RegistryRecord,
    apply,
)
from exchange.coordinator.registry_store import RegistryStore
from exchange.domain.instruments import Instrument
from exchange.domain.units import AccountId, NodeId, Symbol
from exchange.engine.effects import Refused
from exchange.store.disk import Change
from exchange.store.errors import StoreError

OnThread = Callable[[Callable[[list[Change]], None], list[Change]], Awaitable[None]]

_FULL = Refused("storage_full", "the coordinator's disk is nearly full; make room")


class Registrar(Protocol):
    """What a coordinator needs of its registry: embedded LMDB now, etcd later (C2)."""

    on_change: Callable[[RegistryRecord], None]  # told each record once it is durable, in order

    async def cluster(self) -> str:
        """Return the name of the cluster, empty before its first node."""
        ...

    async def register(self, asked: Registration) -> Decision | Refused:
        """Register a node, or renew its registration (C3)."""
        ...

    async def nodes(self) -> list[NodeEntry]:
        """Return the nodes, in order of their ids."""
        ...

    async def instruments(self) -> list[Instrument]:
        """Return the listings, oldest first."""
        ...

    async def allocate(self, live: Collection[NodeId], count: int) -> list[AccountId] | Refused:
        """Give out account numbers of live nodes; they are never given out again."""
        ...

    async def locate(self, account: AccountId) -> str | Refused:
        """Return the address of the node that owns an account (C1)."""
        ...

    async def list_instrument(self, instrument: Instrument) -> Instrument | Refused:
        """List an instrument, or find it listed alike (M2)."""
        ...

    async def ensure(self, symbol: str, *, is_strict: bool) -> Instrument | Refused:
        """List a plain ticker unless it is listed (M2)."""
        ...


class LocalRegistrar:
    """The registry in this process, forced to its own LMDB environment."""

    def __init__(
        self,
        store: RegistryStore,
        *,
        fresh_cluster: str,
        on_thread: OnThread = trio.to_thread.run_sync,
    ) -> None:
        self._store = store
        self._on_thread = on_thread
        self._registry = store.registry
        self._fresh_cluster = fresh_cluster  # its name, if the first node founds it
        self._pending: list[RegistryRecord] = []  # decided, not handed to a force yet
        self._decided = 0  # records so far
        self._durable = 0  # durable <= decided
        self._failure: StoreError | None = None  # of a force: nothing is answered after it (E4)
        self._force = trio.Lock()
        self.on_change: Callable[[RegistryRecord], None] = lambda record: None

    async def cluster(self) -> str:
        """Return the name of the cluster, empty before its first node."""
        cluster = self._registry.cluster
        await self._forced()
        return cluster

    async def register(self, asked: Registration) -> Decision | Refused:
        """Register a node, or renew its registration (C3)."""
        if asked.node_id is None and not self._store.has_room():
            return _FULL
        decision = core.decide_registration(
            self._registry, asked, fresh_cluster=self._fresh_cluster
        )
        if isinstance(decision, Decision):
            self._apply(*decision.records)
        await self._forced()
        return decision

    async def nodes(self) -> list[NodeEntry]:
        """Return the nodes, in order of their ids."""
        nodes = self._registry.sorted_nodes()
        await self._forced()
        return nodes

    async def instruments(self) -> list[Instrument]:
        """Return the listings, oldest first."""
        instruments = list(self._registry.instruments.values())
        await self._forced()
        return instruments

    async def allocate(self, live: Collection[NodeId], count: int) -> list[AccountId] | Refused:
        """Give out account numbers of live nodes; they are never given out again."""
        if not self._store.has_room():
            return _FULL
        accounts: list[AccountId] = []
        for _ in range(count):
            record = core.decide_account(self._registry, live)
            if isinstance(record, Refused):
                return record
            self._apply(record)
            accounts.append(record.account)
        await self._forced()
        return accounts

    async def locate(self, account: AccountId) -> str | Refused:
        """Return the address of the node that owns an account (C1)."""
        answer = core.locate(self._registry, account)
        await self._forced()
        return answer

    async def list_instrument(self, instrument: Instrument) -> Instrument | Refused:
        """List an instrument, or find it listed alike (M2)."""
        return await self._listed(
            instrument.symbol, core.decide_listing(self._registry, instrument)
        )

    async def ensure(self, symbol: str, *, is_strict: bool) -> Instrument | Refused:
        """List a plain ticker unless it is listed (M2)."""
        return await self._listed(
            Symbol(symbol), core.decide_ensure(self._registry, symbol, is_strict=is_strict)
        )

    def check(self) -> None:
        """Assert the invariants."""
        assert self._durable + len(self._pending) <= self._decided, "a record is counted twice"
        self._registry.check()

    async def _listed(
        self, symbol: Symbol, outcome: InstrumentListed | Refused | None
    ) -> Instrument | Refused:
        if isinstance(outcome, Refused):
            return outcome
        if outcome is not None:
            if not self._store.has_room():
                return _FULL
            self._apply(outcome)
        instrument = self._registry.instruments[symbol]
        await self._forced()
        return instrument

    def _apply(self, *records: RegistryRecord) -> None:
        for record in records:
            apply(self._registry, record)
        self._pending += records
        self._decided += len(records)

    async def _forced(self) -> None:
        """Wait until all that is decided now is durable (E3).

        A failed force is raised to whoever waits, and nothing is ever answered again (E4).
        """
        target = self._decided
        while self._durable < target:
            async with self._force:
                if self._failure is not None:
                    raise self._failure
                if self._durable < target:
                    await self._force_pending()

    async def _force_pending(self) -> None:
        records, self._pending = self._pending, []
        changes = self._store.prepare(records)
        with trio.CancelScope(shield=True):  # it is forced, whoever has stopped waiting
            try:
                await self._on_thread(self._store.commit, changes)
            except StoreError as error:
                self._failure = error
                raise
        self._durable += len(records)
        for record in records:
            self.on_change(record)
