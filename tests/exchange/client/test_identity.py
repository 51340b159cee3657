"""Whoever answers must be who was asked for."""

import msgspec
import pytest
import trio
import trio.testing

from exchange.client.identity import ASK_SECONDS_MAX, check_node


async def answered(lines: list[bytes], stream: trio.abc.Stream) -> None:
    await stream.receive_some()
    for line in lines:
        await stream.send_all(line)


def status(node_id: object) -> bytes:
    answer = {"id": "who", "type": "status", "value": {"node_id": node_id, "epoch": 4}}
    return msgspec.json.encode(answer) + b"\n"


async def test_the_node_itself_is_believed(nursery: trio.Nursery) -> None:
    """C3."""
    ours, theirs = trio.testing.memory_stream_pair()
    line = status(2)
    nursery.start_soon(answered, [line[:9], line[9:]], theirs)

    await check_node(ours, 2)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (status(3), "node 3 is where node 2 was"),
        (status("two"), "no node"),
        (b'"ok"\n', "no node"),
        (b"HTTP/1.1 400 Bad Request\r\n", "no node"),
    ],
)
async def test_another_node_at_the_old_address_does_not_stand_for_the_lost_one(
    nursery: trio.Nursery, line: bytes, told: str
) -> None:
    """C3: its trades would count twice, in the tape and in candles."""
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(answered, [line], theirs)

    with pytest.raises(OSError, match=told):
        await check_node(ours, 2)
    with pytest.raises(trio.ClosedResourceError):
        await ours.send_all(b"more")


async def test_who_says_nothing_is_waited_for_a_while(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """C5: a node that starts lets clients in within three seconds."""
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(answered, [], theirs)
    begun = trio.current_time()  # noqa: TID251 - the clock is the test's

    with pytest.raises(OSError, match="does not say who it is"):
        await check_node(ours, 2)
    assert trio.current_time() - begun == ASK_SECONDS_MAX  # noqa: TID251 - as above
