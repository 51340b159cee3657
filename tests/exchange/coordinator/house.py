"""A coordinator over memory streams and a memory disk, and nodes that belong to it."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from exchange.coordinator.core import NONCE_BYTES, KnownNode, Registration
from exchange.coordinator.member import Membership
from exchange.coordinator.registrar import LocalRegistrar
from exchange.coordinator.registry_store import RegistryStore
from exchange.coordinator.secret import ClusterSecret
from exchange.coordinator.server import Coordinator
from exchange.domain.instruments import Instrument
from exchange.domain.units import AccountId, Epoch, NodeId, number_of
from exchange.engine.effects import Refused
from exchange.store.disk import Change
from exchange.store.errors import StoreFailed

OPERATOR_KEY = "the-operator-key-of-all-tests"
FRESH_CLUSTER = "fresh"


class MemoryDisk:
    """A disk in a dictionary: what was written survives whoever wrote it."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[bytes, bytes]] = {}
        self.writes = 0
        self.is_failing = False

    def get(self, table: str, key: bytes) -> bytes | None:
        return self.tables.get(table, {}).get(key)

    def scan(
        self, table: str, start: bytes = b"", *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        entries = sorted(self.tables.get(table, {}).items(), reverse=reverse)
        yield from (entry for entry in entries if reverse or entry[0] >= start)

    def write(self, changes: Sequence[Change]) -> None:
        if self.is_failing:
            raise StoreFailed("the disk is full", is_full=True)
        self.writes += 1
        for table, key, value in changes:
            entries = self.tables.setdefault(table, {})
            if value is None:
                entries.pop(key, None)
            else:
                entries[key] = value

    def close(self) -> None:
        pass


async def inline(commit: Callable[[list[Change]], None], changes: list[Change]) -> None:
    """Force without a thread: a mock clock does not wait for threads."""
    await trio.lowlevel.checkpoint()
    commit(changes)


class House:
    """A coordinator that can be killed and started again on its disk."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        is_auth: bool = False,
        is_strict: bool = False,
        secret: ClusterSecret | None = None,
    ) -> None:
        self.nursery = nursery
        self._secret = secret
        self.disk = MemoryDisk()
        self.said: list[str] = []
        self._is_auth = is_auth
        self._is_strict = is_strict
        self._scopes: list[trio.CancelScope] = []
        self._is_up = False
        self.start()

    def start(self) -> None:
        self.registrar = LocalRegistrar(
            RegistryStore(self.disk), fresh_cluster=FRESH_CLUSTER, on_thread=inline
        )
        self.coordinator = Coordinator(
            self.registrar,
            operator_key=OPERATOR_KEY,
            is_auth=self._is_auth,
            strict_listing=self._is_strict,
            say=self.said.append,
            secret=self._secret,
        )
        self._scopes = []
        self._is_up = True

    async def kill(self) -> None:
        self._is_up = False
        for scope in self._scopes:
            scope.cancel()
        await wait_all_tasks_blocked()

    async def dial(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if not self._is_up:
            raise OSError(111, "Connection refused")
        ours, theirs = memory_stream_pair()
        self.nursery.start_soon(self._serve, theirs)
        return ours

    async def _serve(self, stream: trio.abc.Stream) -> None:
        with trio.CancelScope() as scope:
            self._scopes.append(scope)
            await self.coordinator.serve(stream)

    def check(self) -> None:
        self.coordinator.check()
        self.registrar.check()
        RegistryStore(self.disk).registry.check()


class Client:
    """Speaks lines with a coordinator."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._rest = b""

    async def ask(self, *requests: object) -> list[Any]:
        """Send requests in one write and return as many answers."""
        await self.stream.send_all(b"".join(json.dumps(each).encode() + b"\n" for each in requests))
        return [await self.read() for _ in requests]

    async def read(self) -> Any:  # noqa: ANN401 - any JSON value
        """Return the next line; None at the end."""
        while b"\n" not in self._rest:
            data = await self.stream.receive_some()
            if not data:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)


class FakeNode:
    """A node that opens accounts and remembers what it heard."""

    def __init__(self, number: int, *, node_id: int | None = None, epoch: int = 1) -> None:
        self.nonce = number.to_bytes(NONCE_BYTES, "big")
        self.address = f"127.0.0.1:{7000 + number}"
        self.node_id = None if node_id is None else NodeId(node_id)
        self.epoch = epoch
        self.boot_id = bytes([epoch])
        self.cluster = ""
        self.accounts: list[AccountId] = []
        self.key_hashes: dict[AccountId, bytes] = {}
        self.known: dict[NodeId, KnownNode] = {}
        self.instruments: list[Instrument] = []
        self.operator_key_hash = b""
        self.registrations = 0
        self.refusal: Refused | None = None
        self.may_answer = trio.Event()
        self.may_answer.set()

    def registration(self) -> Registration:
        return Registration(
            self.nonce,
            self.address,
            self.node_id,
            max(map(number_of, self.accounts), default=0),
            Epoch(self.epoch),
            self.boot_id,
            self.cluster,
            tuple(self.known.values()),
            tuple(self.instruments),
        )

    def on_registered(
        self, others: list[KnownNode], instruments: list[Instrument], operator_key_hash: bytes
    ) -> None:
        self.registrations += 1
        self.operator_key_hash = operator_key_hash
        for other in others:
            self.on_joined(other)
        for instrument in instruments:
            self.on_listed(instrument)

    def on_joined(self, node: KnownNode) -> None:
        self.known[node.node_id] = node

    def on_listed(self, instrument: Instrument) -> None:
        if instrument not in self.instruments:
            self.instruments.append(instrument)

    async def on_account_request(self, account: AccountId, key_hash: bytes) -> Refused | None:
        await self.may_answer.wait()
        if self.refusal is None:
            self.accounts.append(account)
            self.key_hashes[account] = key_hash
        return self.refusal

    def restart(self) -> "FakeNode":
        """Return the node as it starts again: a new incarnation with the same memory."""
        other = FakeNode(int.from_bytes(self.nonce, "big"), node_id=self.node_id)
        other.epoch, other.boot_id = self.epoch + 1, bytes([self.epoch + 1])
        other.cluster, other.accounts = self.cluster, list(self.accounts)
        other.known, other.instruments = dict(self.known), list(self.instruments)
        return other


@asynccontextmanager
async def a_house(
    *, is_auth: bool = False, is_strict: bool = False, secret: ClusterSecret | None = None
) -> AsyncIterator[House]:
    """Run a coordinator, and check everything at the end."""
    async with trio.open_nursery() as nursery:
        house = House(nursery, is_auth=is_auth, is_strict=is_strict, secret=secret)
        yield house
        house.check()
        nursery.cancel_scope.cancel()


async def join(house: House, node: FakeNode) -> Membership:
    """Make a node a live member; it has its id and cluster then."""
    membership = Membership("", node, dial=house.dial, say=house.said.append)
    house.nursery.start_soon(membership.run)
    await membership.wait_tried()
    await wait_all_tasks_blocked()
    return membership


async def pass_time(seconds: float) -> None:
    """Let the mock clock jump: nothing really waits."""
    with trio.move_on_after(seconds):
        await trio.sleep_forever()
