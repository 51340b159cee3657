"""The door tells who is there, and lets no caller hurt another."""

from pathlib import Path

import pytest
import trio
import trio.testing

from exchange.coordinator.secret import NAME, ClusterSecret, NotProven
from exchange.node.door import Door
from exchange.node.sockets import Wire
from exchange.store.errors import DamagedTable
from exchange.wire.handshake import NodeHello
from exchange.wire.lines import LineSplitter
from exchange.wire.peers import LINK_VERSION, encode_hello
from tests.exchange.node.shop import Client


class Links:
    """Notes who dialed."""

    def __init__(self) -> None:
        self.hellos: list[NodeHello] = []
        self.lines: list[bytes] = []

    async def accept(
        self, wire: Wire, hello: NodeHello, splitter: LineSplitter, lines: list[bytes]
    ) -> None:
        await trio.lowlevel.checkpoint()
        self.hellos.append(hello)
        self.lines += lines
        self.lines += splitter.feed(b"x" * (1 << 20) + b"\n")  # a link has longer lines


class Clients:
    """Serves clients as told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.served = 0

    async def serve(self, *_: object) -> None:
        await trio.lowlevel.checkpoint()
        self.served += 1
        if self.error is not None:
            raise self.error


def a_door(
    clients: Clients, links: Links, told: list[str], *, secret: ClusterSecret | None = None
) -> Door:
    return Door(clients, links, tell=told.append, secret=secret)  # type: ignore[arg-type]  # faked


async def test_nodes_are_served_before_clients() -> None:
    """C6: snapshots and re-offers are served before the own resync ends."""
    clients, links, told = Clients(), Links(), list[str]()
    door = a_door(clients, links, told)
    hello = NodeHello(1, "test", 2, LINK_VERSION)
    async with trio.open_nursery() as nursery:
        for first in (b'"1-1"\n', encode_hello(hello) + b"{}\n"):
            near, far = trio.testing.memory_stream_pair()
            nursery.start_soon(door.serve, Wire(near))
            await far.send_all(first)
        await trio.testing.wait_all_tasks_blocked()

        assert links.hellos == [hello]
        assert links.lines[0] == b"{}"
        assert clients.served == 0
        door.open_to_clients()
        await trio.testing.wait_all_tasks_blocked()
        assert clients.served == 1


async def test_bad_node_is_told_why_and_so_is_the_operator(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """C3: a node at the wrong address learns it."""
    told: list[str] = []
    door = a_door(Clients(), Links(), told)
    near, far = trio.testing.memory_stream_pair()
    client = Client(far)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(door.serve, Wire(near))
        await client.send({"type": "node", "node_id": 0})

        assert await client.code() == "malformed_hello"
    assert "a link was refused" in told[0]


async def test_a_caller_that_hangs_up_is_nobodys_trouble() -> None:
    """Faults 2.3: nothing stops at a broken connection."""
    told: list[str] = []
    door = a_door(Clients(), Links(), told)
    near, far = trio.testing.memory_stream_pair()
    await far.aclose()

    await door.serve(Wire(near))

    assert told == []


async def visit(door: Door) -> None:
    """Have a client let in, and wait until it is let go."""
    door.open_to_clients()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(door.run, listener)
        async with await trio.testing.open_stream_to_socket_listener(listener) as stream:
            await stream.send_all(b'"1-1"\n')
            assert await stream.receive_some() == b""
        nursery.cancel_scope.cancel()


async def test_a_bug_met_by_one_client_ends_that_client_alone() -> None:
    """Faults 2.2."""
    told: list[str] = []

    await visit(a_door(Clients(KeyError("bug")), Links(), told))

    assert "KeyError" in told[0]


async def test_damaged_data_met_by_one_client_ends_the_node() -> None:
    """W4."""
    damaged = DamagedTable("accounts", "1-1", "bad digest")

    with pytest.RaisesGroup(DamagedTable, flatten_subgroups=True):
        await visit(a_door(Clients(damaged), Links(), []))


HELLO = encode_hello(NodeHello(1, "test", 2, LINK_VERSION))


async def test_without_tls_a_node_must_know_the_secret_of_the_cluster(tmp_path: Path) -> None:
    """C6: any process of this machine can say that it is a node."""
    links, told = Links(), list[str]()
    door = a_door(Clients(), links, told, secret=ClusterSecret.made(tmp_path / NAME))
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(door.serve, Wire(near))
        await far.send_all(HELLO + b"{}\n")
        answer = await far.receive_some()

    assert b"join_secret" in answer
    assert not links.hellos


async def test_a_node_that_knows_the_secret_is_served(tmp_path: Path) -> None:
    secret, links = ClusterSecret.made(tmp_path / NAME), Links()
    door = a_door(Clients(), links, [], secret=secret)
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(door.serve, Wire(near))
        await secret.prove(far)
        await far.send_all(HELLO + b"{}\n")

    assert [hello.node_id for hello in links.hellos] == [1]
    assert links.lines[0] == b"{}"


async def test_a_node_of_another_cluster_is_not_served(tmp_path: Path) -> None:
    ours, others = (ClusterSecret.made(tmp_path / name / NAME) for name in "ab")
    links = Links()
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a_door(Clients(), links, [], secret=ours).serve, Wire(near))
        with pytest.raises(NotProven):
            await others.prove(far)

    assert not links.hellos


async def test_a_door_that_asks_for_no_proof_says_so(tmp_path: Path) -> None:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a_door(Clients(), Links(), []).serve, Wire(near))
        with pytest.raises(NotProven, match="--no-auth or --tls"):
            await ClusterSecret.made(tmp_path / NAME).prove(far)
