"""One connection of a node to its coordinator, from the node's side, while it lasts.

The node answers the coordinator in order, whatever is done in the meantime: an answer waits
in a slot until those before it are made.  `node_link` is the other side.
"""

from collections import deque

import trio

from exchange.coordinator.connection import Connection, ConnectionLost
from exchange.domain.instruments import Instrument
from exchange.engine.effects import Refused
from exchange.wire.coordinator_lines import (
    EnsureInstrument,
    EnsureValue,
    FromCoordinator,
    decode_from_coordinator,
    encode_line,
)
from exchange.wire.errors import RemoteProtocolError

SILENCE_S_MAX = 30.0  # the coordinator asks every 5 s whether we live
UNANSWERED_MAX = 1 << 15


class Slot:
    """An answer to the coordinator, in its place; empty until it is made."""

    def __init__(self, line: bytes = b"") -> None:
        self.line = line


class Link:
    """One connection to the coordinator, while it lasts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._slots: deque[Slot] = deque()  # answers, oldest first
        self._requests: list[bytes] = []
        self._has_work = trio.Event()
        self._ensured: dict[int, _Ensured] = {}  # requests without an answer

    def promise(self, line: bytes = b"") -> Slot:
        """Take the next place in the order of answers."""
        if len(self._slots) >= UNANSWERED_MAX:
            raise RemoteProtocolError("too_many_requests", "asked faster than it can be answered")
        slot = Slot(line)
        self._slots.append(slot)
        self._has_work.set()
        return slot

    def fulfil(self, slot: Slot, line: bytes) -> None:
        """Make a promised answer; it leaves once those before it have."""
        slot.line = line
        self._has_work.set()

    async def ensure(self, request_id: int, symbol: str) -> Instrument | Refused | None:
        """Ask the coordinator to list an instrument; None if the link ends before it answers."""
        ensured = self._ensured[request_id] = _Ensured()
        self._requests.append(encode_line(EnsureInstrument(request_id, EnsureValue(symbol))))
        self._has_work.set()
        try:
            await ensured.is_over.wait()
        finally:
            self._ensured.pop(request_id, None)
        return ensured.answer

    def answered(self, request_id: int, answer: Instrument | Refused) -> None:
        """Take an answer of the coordinator; perhaps nobody waits for it any more."""
        ensured = self._ensured.get(request_id)
        if ensured is not None:
            ensured.answer = answer
            ensured.is_over.set()

    def end(self) -> None:
        """Tell whoever waits for an answer that none will come."""
        for ensured in self._ensured.values():
            ensured.is_over.set()

    async def write(self) -> None:
        """Write whatever may leave, all of it with one send (E6)."""
        while True:
            await self._has_work.wait()
            self._has_work = trio.Event()
            lines, self._requests = self._requests, []
            while self._slots and self._slots[0].line:
                lines.append(self._slots.popleft().line)
            if lines:
                await self._connection.send(b"".join(lines))

    async def read(self) -> list[FromCoordinator]:
        """Return what has come; ConnectionLost at the end, or after a long silence."""
        with trio.move_on_after(SILENCE_S_MAX):
            lines = await self._connection.read()
            if not lines:
                raise ConnectionLost("it hung up")
            return [decode_from_coordinator(line) for line in lines]
        raise ConnectionLost("it has been silent")


class _Ensured:
    """A request to list an instrument, until it is answered or its link has ended."""

    def __init__(self) -> None:
        self.answer: Instrument | Refused | None = None
        self.is_over = trio.Event()
