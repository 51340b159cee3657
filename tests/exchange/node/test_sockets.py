"""Reading a connection."""

import pytest
import trio
import trio.testing

from exchange.node.sockets import Wire, dial


async def test_connection_that_is_dialed_knows_the_other_side() -> None:
    """Faults 3: limits count by address."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        wire = await dial(f"127.0.0.1:{listener.socket.getsockname()[1]}")
        async with wire.stream:
            assert wire.address == "127.0.0.1"


async def test_reading_a_socket_ends_where_the_other_side_ends() -> None:
    """E6: no system call that is known to fail."""
    ours, theirs = trio.socket.socketpair()
    async with trio.SocketStream(ours) as stream:
        wire = Wire(stream, ours.fileno())
        async with trio.open_nursery() as nursery:
            received: list[bytes] = []

            async def read() -> None:
                while data := await wire.receive(100):
                    received.append(data)

            nursery.start_soon(read)
            await theirs.send(b"one")
            await trio.testing.wait_all_tasks_blocked()
            await theirs.send(b"two")
            await trio.testing.wait_all_tasks_blocked()
            theirs.close()

    assert received == [b"one", b"two"]


async def test_closing_a_stream_ends_its_reader() -> None:
    """Style 14: nothing outlives what it reads."""
    ours, theirs = trio.socket.socketpair()
    stream = trio.SocketStream(ours)
    wire = Wire(stream, ours.fileno())
    with theirs, pytest.RaisesGroup(trio.ClosedResourceError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.receive, 100)
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()
