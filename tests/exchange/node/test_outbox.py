"""What waits to be sent is joined, ordered and bounded."""

import socket

import pytest
import trio
import trio.testing

from exchange.node.errors import Stalled
from exchange.node.outbox import Outbox


async def test_pushes_before_the_writer_wakes_leave_in_one_send() -> None:
    """E6."""
    sends: list[bytes] = []

    async def note() -> None:
        sends.append(bytes(near.send_stream.get_data_nowait()))

    near, _ = trio.testing.memory_stream_pair()
    near.send_stream.send_all_hook = note
    outbox = Outbox(near)
    outbox.push(b"one\n")
    outbox.push(b"two\n")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert sends == [b"one\ntwo\n"]
    assert outbox.unsent == 0


async def test_end_lets_everything_leave_first() -> None:
    """E3: nothing that may be told is lost by closing."""
    near, far = trio.testing.memory_stream_pair()
    outbox = Outbox(near)
    outbox.push(b"last\n")
    outbox.end()

    await outbox.run()

    assert await far.receive_some() == b"last\n"


async def test_who_never_reads_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    """Faults 3: a reader that never reads."""
    near, _ = trio.testing.lockstep_stream_pair()
    outbox = Outbox(near)
    outbox.push(b"unread\n")

    with pytest.raises(Stalled):
        await outbox.run()

    assert outbox.unsent == len(b"unread\n")


async def test_a_socket_with_room_is_written_without_a_task() -> None:
    """E6."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        near, _ = trio.testing.memory_stream_pair()
        outbox = Outbox(near, file=ours.fileno())

        outbox.push(b"now\n")

        assert theirs.recv(100) == b"now\n"
        assert outbox.unsent == 0


async def test_what_the_kernel_does_not_take_follows_in_order() -> None:
    """E3: nothing overtakes."""
    ours, theirs = trio.socket.socketpair()
    stream = trio.SocketStream(ours)
    outbox = Outbox(stream, file=ours.fileno())
    sent = b"".join(b"%07d\n" % number for number in range(500_000))
    half = len(sent) // 2

    outbox.push(sent[:half])
    outbox.push(sent[half:])
    assert outbox.unsent > 0, "the kernel took four megabytes at once"
    received = bytearray()
    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        while len(received) < len(sent):
            received += await theirs.recv(1 << 20)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    theirs.close()

    assert bytes(received) == sent
    assert outbox.unsent == 0


async def test_waiting_for_room_ends_when_bytes_have_left() -> None:
    """Style 13: every queue has a size."""
    near, far = trio.testing.memory_stream_pair()
    outbox = Outbox(near)
    outbox.push(b"x" * 100)
    emptied: list[bool] = []
    outbox.on_empty = lambda: emptied.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        await outbox.wait_below(0)
        nursery.cancel_scope.cancel()

    assert await far.receive_some() == b"x" * 100
    assert emptied == [True]
