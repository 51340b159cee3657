"""A coordinator serves from its data directory, over real sockets and real LMDB."""

import errno
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from exchange.coordinator.core import Registration
from exchange.coordinator.keys import is_key
from exchange.coordinator.member import Membership, dial_tcp, register_new
from exchange.coordinator.registration import register_line
from exchange.coordinator.secret import NAME as SECRET
from exchange.coordinator.secret import ClusterSecret
from exchange.coordinator.service import Serving, serve_coordinator
from exchange.domain.instruments import plain_ticker
from exchange.process.errors import BadAddress, ListenFailed, ProcessError
from exchange.store.disk import Change
from exchange.store.errors import DataDirInUse, StoreError, StoreFailed
from exchange.store.lmdb_disk import LmdbDisk
from tests.exchange.coordinator.house import Client, FakeNode

NONCE = bytes(16)


@asynccontextmanager
async def serving(
    path: Path, *, listen: str = "127.0.0.1:0", said: list[str] | None = None
) -> AsyncIterator[Serving]:
    say = list[str]().append if said is None else said.append
    async with trio.open_nursery() as nursery:
        serve = partial(serve_coordinator, path, listen, is_auth=False, say=say)
        yield await nursery.start(serve)
        nursery.cancel_scope.cancel()


async def dial(address: str) -> Client:
    host, port = address.split(":")
    return Client(await trio.open_tcp_stream(host, int(port)))


async def why_not(path: Path, listen: str = "127.0.0.1:0") -> ProcessError | StoreError:
    """Return why a coordinator does not start."""
    errors: list[ProcessError | StoreError] = []
    try:
        async with serving(path, listen=listen):
            pass
    except* (ProcessError, StoreError) as group:
        errors += [each for each in group.exceptions if isinstance(each, StoreError | ProcessError)]
    (error,) = errors
    return error


async def test_cluster_lives_through_a_restart(tmp_path: Path) -> None:
    """C2, C4: node, account and listing, over sockets."""
    node = FakeNode(1)
    async with serving(tmp_path) as first:
        told = await register_new(first.address, node.nonce, node.address)
        node.node_id, node.cluster = told.node_id, told.cluster
        membership = Membership(first.address, node)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(membership.run)
            await membership.wait_tried()
            assert await membership.ensure_instrument("AAPL") == plain_ticker("AAPL")
            client = await dial(first.address)
            assert await client.ask("C account", "1-1") == ["1-1", node.address]
            await client.stream.aclose()
            nursery.cancel_scope.cancel()
    async with serving(tmp_path) as second:
        client = await dial(second.address)
        (listed,) = await client.ask({"id": 1, "type": "instrument.list"})
        await client.stream.aclose()
        again = await register_new(second.address, bytes(15) + b"\x02", "127.0.0.1:2")

    assert (first.cluster, second.cluster) == ("", node.cluster)
    assert listed["value"]["instruments"][0]["symbol"] == "AAPL"
    assert again.node_id == 2
    assert [each.address for each in again.others] == [node.address]


async def test_operator_key_is_told_to_nodes_as_a_hash(tmp_path: Path) -> None:
    """C4: it may lie in the directory of the node that embeds the coordinator."""
    key_path = tmp_path / "operator.key"
    async with trio.open_nursery() as nursery:
        serve = partial(
            serve_coordinator,
            tmp_path / "coordinator",
            "127.0.0.1:0",
            operator_key_path=key_path,
            say=lambda sentence: None,
        )
        started: Serving = await nursery.start(serve)
        dial = dial_tcp(started.address, secret=ClusterSecret(tmp_path / "node" / SECRET))
        told = await register_new(started.address, NONCE, "127.0.0.1:1", dial=dial)
        nursery.cancel_scope.cancel()

    assert started.operator_key == key_path
    assert started.is_key_new
    assert is_key(key_path.read_text().strip(), told.operator_key_hash, told.cluster)


async def test_directory_in_use_is_refused(tmp_path: Path) -> None:
    """W6."""
    async with serving(tmp_path):
        error = await why_not(tmp_path)

    assert isinstance(error, DataDirInUse)
    assert error.exit_code == 5


async def test_port_in_use_is_refused_with_a_remedy(tmp_path: Path) -> None:
    """Interfaces section 4: exit code 1."""
    async with serving(tmp_path / "one") as first:
        error = await why_not(tmp_path / "two", first.address)

    assert isinstance(error, ListenFailed)
    assert error.exit_code == 1
    assert "port 0 takes a free one" in str(error)


async def test_listener_that_others_can_reach_is_refused(tmp_path: Path) -> None:
    """C4: until there is TLS; nothing is made on the disk."""
    error = await why_not(tmp_path / "data", "0.0.0.0:0")

    assert isinstance(error, BadAddress)
    assert not (tmp_path / "data").exists()


async def test_damaged_registry_is_refused(tmp_path: Path) -> None:
    """W4: exit code 4."""
    async with serving(tmp_path) as first:
        await register_new(first.address, NONCE, "127.0.0.1:1")
    file = tmp_path / "store" / "data.mdb"
    data = file.read_bytes()
    place = data.rindex(b"127.0.0.1:1")
    file.write_bytes(data[:place] + b"128" + data[place + 3 :])

    error = await why_not(tmp_path)

    assert error.exit_code == 4
    assert f"in {tmp_path} is damaged" in str(error)


async def test_failed_force_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E4: nobody is answered, the registry is read again, and all can ask again."""
    said: list[str] = []
    asked = register_line(Registration(NONCE, "127.0.0.1:1"))

    def fail(disk: LmdbDisk, changes: Sequence[Change]) -> None:
        raise StoreFailed("the disk is full", is_full=True)

    async with serving(tmp_path, said=said) as first:
        with monkeypatch.context() as patch:
            patch.setattr(LmdbDisk, "write", fail)
            client = await dial(first.address)
            await client.stream.send_all(asked)
            assert await client.read() is None
            await client.stream.aclose()
        told = await register_new(first.address, NONCE, "127.0.0.1:1")

    assert told.node_id == 1
    assert [sentence for sentence in said if "Reading the registry again" in sentence]


async def test_connections_wait_while_there_is_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1: a flood of connections does not end the coordinator."""
    accept, failures = trio.SocketListener.accept, [OSError(errno.EMFILE, "Too many open files")]

    async def fail_once(listener: trio.SocketListener) -> trio.SocketStream:
        if failures:
            raise failures.pop()
        return await accept(listener)

    monkeypatch.setattr(trio.SocketListener, "accept", fail_once)
    async with serving(tmp_path) as first:
        told = await register_new(first.address, NONCE, "127.0.0.1:1")

    assert told.node_id == 1
    assert not failures
