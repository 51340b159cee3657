"""One client's connection: its requests that are not answered yet, and how it ends.

Answers come in any order and leave in the order of their places, all of a turn in one send.
"""

import trio

from exchange.node.access import Caller
from exchange.node.outbox import Outbox
from exchange.node.prices import answer_price
from exchange.node.sockets import Wire
from exchange.process.limits import Budget
from exchange.process.sockets import BROKEN, LINGER_S, linger
from exchange.wire.answers import line_of_error
from exchange.wire.errors import FramingError, RequestError
from exchange.wire.requests import Request


class Connection:
    """The requests of one client that are not answered yet."""

    def __init__(
        self, number: int, wire: Wire, caller: Caller, budget: Budget | None = None
    ) -> None:
        self.number = number
        self.budget = budget
        self.is_watched = False  # its account's orders are canceled when it ends
        self.is_over = False  # its budget, in what was read last
        self.is_gone = False
        self.reads = 0
        self.seen = (-1, -1)  # reads and pushes at the last look for idle ones
        self.scope = trio.CancelScope()
        self.wire = wire
        self.caller = caller
        self.outbox = Outbox(wire.stream, file=wire.file)
        self.requests: dict[int, Request] = {}  # by place, waiting for the engine
        self.payers: dict[int, Budget] = {}  # of those with a long answer: who pays for its size
        self._early: dict[int, bytes] = {}  # answered, but not those before them
        self._lines: list[bytes] = []  # answers to send with the next flush
        self._given = 0  # places given out
        self._answered = 0  # all places below are answered; answered <= given
        self._moved = trio.Event()

    @property
    def outstanding(self) -> int:
        """Return how many requests are not answered."""
        return self._given - self._answered

    @property
    def last_place(self) -> int:
        """Return the place given out last."""
        return self._given - 1

    def place(self, request: Request) -> int:
        """Give a request the next place."""
        place = self._given
        self._given = place + 1
        self.requests[place] = request
        return place

    def put_error(self, error: RequestError | FramingError) -> None:
        """Answer a line that is no request, in its place."""
        self._given += 1
        self.put(self._given - 1, line_of_error(error))

    def put_unasked(self, lines: bytes) -> None:
        """Take lines that answer nothing: they leave with the next flush."""
        self._lines.append(lines)

    def put_long(self, place: int, line: bytes) -> None:
        """Take a long answer, and have its size paid for."""
        payer = self.payers.pop(place, None)
        if payer is not None:
            payer.charge(answer_price(len(line)))
        self.put(place, line)

    def put(self, place: int, line: bytes) -> None:
        """Take the answer for a place; it leaves when all before it have."""
        if place != self._answered:
            self._early[place] = line
            return
        self._lines.append(line)
        self._answered += 1
        while self._early and self._answered in self._early:
            self._lines.append(self._early.pop(self._answered))
            self._answered += 1

    def flush(self) -> None:
        """Send what may leave, with one send."""
        if self._lines:
            self.outbox.push(b"".join(self._lines))
            self._lines.clear()
            self._moved.set()

    async def wait_outstanding(self, limit: int) -> None:
        """Wait until at most `limit` requests are not answered."""
        while self.outstanding > limit:
            self._moved = trio.Event()
            await self._moved.wait()

    def check(self) -> None:
        """Assert the invariants."""
        assert self._answered not in self._early, "an answer is held back for nothing"
        assert len(self.requests) + len(self._early) == self.outstanding, "a place is lost"


async def end(connection: Connection, error: FramingError) -> None:
    """Say what was wrong after all answers, and give the client the time to read it."""
    connection.put_error(error)
    connection.flush()
    await connection.wait_outstanding(0)
    await connection.outbox.wait_below(0)
    await linger(connection.wire.stream)


async def say_last(wire: Wire, line: bytes) -> None:
    """Send one last line to a client, and give it the time to read it."""
    with trio.move_on_after(LINGER_S):
        try:
            await wire.stream.send_all(line)
        except BROKEN:
            return
    await linger(wire.stream)
