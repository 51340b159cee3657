"""Lines come in bounded, and a peer that does not read is dropped."""

import socket

import pytest
import trio
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from exchange.coordinator.connection import Connection, ConnectionLost
from exchange.wire.errors import FramingError


async def test_lines_before_a_bad_one_are_read() -> None:
    """E6: all complete lines of one read, then the error."""
    ours, theirs = memory_stream_pair()
    connection = Connection(ours, line_bytes_max=8)
    await theirs.send_all(b"1\n2\n" + b"x" * 20)

    assert await connection.read() == [b"1", b"2"]
    with pytest.raises(FramingError, match="at most 8 bytes"):
        await connection.read()


async def test_line_in_pieces_is_one_line_and_the_end_is_empty() -> None:
    """E6."""
    ours, theirs = memory_stream_pair()
    connection = Connection(ours, line_bytes_max=8)
    read: list[bytes] = []

    async def read_one() -> None:
        read.extend(await connection.read())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_one)
        for piece in (b"12", b"34", b"\n"):
            await theirs.send_all(piece)
            await wait_all_tasks_blocked()
    await theirs.aclose()

    assert read == [b"1234"]
    assert await connection.read() == []


async def test_peer_that_never_reads_is_dropped(autojump_clock: MockClock) -> None:
    """E6: every queue has a size and every wait a deadline."""
    ours, _theirs = lockstep_stream_pair()
    connection = Connection(ours, line_bytes_max=8)

    with pytest.raises(ConnectionLost):
        await connection.send(b"x")


async def test_closed_peer_is_lost() -> None:
    """E6."""
    ours, theirs = memory_stream_pair()
    connection = Connection(ours, line_bytes_max=8)
    await connection.close()

    with pytest.raises(ConnectionLost):
        await connection.send(b"x")
    with pytest.raises(ConnectionLost):
        await connection.read()
    assert await theirs.receive_some() == b""


async def test_socket_is_tuned() -> None:
    """C5: TCP_NODELAY on every socket, keepalive at 10 s."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listeners[0]:
        stream = await trio.open_tcp_stream(*listeners[0].socket.getsockname())
        async with stream:
            Connection(stream, line_bytes_max=8)

            assert stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
