"""Answers of one connection leave in the order of their places."""

import trio
import trio.testing

from exchange.node.access import Caller
from exchange.node.connection import Connection
from exchange.node.sockets import Wire
from exchange.wire.requests import ReadMarket


async def test_reading_stops_while_too_much_is_outstanding() -> None:
    """Faults 3: bounded queues."""
    connection = Connection(1, Wire(trio.testing.memory_stream_pair()[0]), Caller())
    places = [connection.place(ReadMarket()) for _ in range(11)]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.wait_outstanding, 10)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        connection.requests.pop(places[0])
        connection.put(places[0], b"1\n")
        connection.flush()

    connection.check()
    assert connection.outstanding == 10


def test_early_answers_wait_for_the_earlier_places() -> None:
    """Interfaces section 1: in order, however they come."""
    connection = Connection(1, Wire(trio.testing.memory_stream_pair()[0]), Caller())
    places = [connection.place(ReadMarket()) for _ in range(4)]

    for place in (2, 1, 0, 3):
        connection.requests.pop(place)
        connection.put(place, b"%d\n" % place)
        connection.check()
    connection.flush()

    assert connection.outbox.unsent == len(b"0\n1\n2\n3\n")
    assert places == [0, 1, 2, 3]
