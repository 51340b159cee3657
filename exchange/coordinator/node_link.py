"""The coordinator's end of one node's connection, after its registration.

The node answers in order, so what was asked and not answered is a queue.  A link ends when
the node goes away, breaks the protocol, or has not answered for 5 s: its accounts are then
opened elsewhere, and it comes again when it can.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import trio

from exchange.coordinator.connection import Connection, ConnectionLost
from exchange.domain.instruments import Instrument
from exchange.domain.units import AccountId, NodeId, format_id
from exchange.engine.effects import Refused
from exchange.wire.coordinator_lines import (
    CoordinatorRequest,
    CreateAccount,
    EnsureInstrument,
    ErrorAnswer,
    Heartbeat,
    InstrumentAnswer,
    Joined,
    Listed,
    decode_from_node,
    encode_line,
    error_answer,
    instrument_line,
)
from exchange.wire.errors import FramingError, RemoteProtocolError

ANSWER_S_MAX = 5.0
HEARTBEAT_S = 5.0
UNANSWERED_MAX = 1 << 15  # more than 8,191 nodes joining, and a batch of accounts

Ensure = Callable[[str], Awaitable[Instrument | Refused]]


class Asked:
    """A request to the node, until it is answered or the link has ended."""

    def __init__(self, request: CoordinatorRequest) -> None:
        self.request = request
        self.answer: str | Refused | None = None
        self.is_answered = trio.Event()


class NodeLink:
    """Asks a live node, and answers it."""

    def __init__(self, connection: Connection, node_id: NodeId) -> None:
        self.node_id = node_id
        self._connection = connection
        self._unanswered: deque[Asked] = deque()  # oldest first
        self._outgoing: list[bytes] = []
        self._has_outgoing = trio.Event()
        self._scope = trio.CancelScope()

    @property
    def is_closed(self) -> bool:
        """Tell whether nothing can be asked any more."""
        return self._scope.cancel_called

    def ask_account(self, account: AccountId, key_hash: bytes) -> Asked:
        """Ask the node to open an account."""
        return self._ask(CreateAccount(format_id(account), key_hash))

    async def answer(self, asked: Asked) -> Refused | None:
        """Wait for an account; None once its record is durable at the node (C1)."""
        with trio.move_on_after(ANSWER_S_MAX):
            await asked.is_answered.wait()
        if not asked.is_answered.is_set():
            self.close()
        if isinstance(asked.answer, str):
            return None
        return asked.answer or Refused("node_lost", "the node went away; ask again")

    def push(self, message: Joined | Listed) -> Asked:
        """Tell the node something; it says so once it has put that before what it hears later."""
        return self._ask(message)

    def close(self) -> None:
        """End the link; whatever is unanswered is lost."""
        self._scope.cancel()

    async def run(self, ensure: Ensure, said: Sequence[bytes] = ()) -> None:
        """Serve the link until it ends.  Returns normally: a lost node is nobody's error.

        `said` are lines that the node has sent already.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._beat)
                    await self._read(ensure, said)
                    self.close()
        finally:
            self.close()
            for asked in self._unanswered:
                asked.is_answered.set()
            self._unanswered.clear()

    def check(self) -> None:
        """Assert the invariants."""
        assert all(asked.answer is None for asked in self._unanswered), "answered and kept"
        assert len(self._unanswered) <= UNANSWERED_MAX, "the node is asked without end"

    def _ask(self, request: CoordinatorRequest) -> Asked:
        asked = Asked(request)
        if len(self._unanswered) >= UNANSWERED_MAX:
            self.close()
        if self.is_closed:
            asked.is_answered.set()
            return asked
        self._unanswered.append(asked)
        self._send(encode_line(request))
        return asked

    def _send(self, line: bytes) -> None:
        self._outgoing.append(line)
        self._has_outgoing.set()

    async def _write(self) -> None:
        """Write what is waiting, all of it with one send (E6)."""
        while True:
            await self._has_outgoing.wait()
            self._has_outgoing = trio.Event()
            data, self._outgoing = b"".join(self._outgoing), []
            try:
                await self._connection.send(data)
            except ConnectionLost:
                self.close()

    async def _beat(self) -> None:
        """Ask whether the node lives; end the link if it leaves that unanswered."""
        while True:
            await trio.sleep(HEARTBEAT_S)
            asked = self._ask(Heartbeat())
            with trio.move_on_after(ANSWER_S_MAX):
                await asked.is_answered.wait()
            if not asked.is_answered.is_set():
                self.close()

    async def _read(self, ensure: Ensure, said: Sequence[bytes]) -> None:
        try:
            while said := said or await self._connection.read():
                for line in said:
                    await self._take(line, ensure)
                said = ()
        except (ConnectionLost, FramingError, RemoteProtocolError):
            pass  # the link ends; the node comes again

    async def _take(self, line: bytes, ensure: Ensure) -> None:
        message = decode_from_node(line)
        if isinstance(message, EnsureInstrument):
            self._send(encode_line(_ensured(message.id, await ensure(message.value.symbol))))
        elif isinstance(message, ErrorAnswer):
            self._answered(Refused(message.value.code, message.value.detail))
        else:
            self._answered(message)

    def _answered(self, answer: str | Refused) -> None:
        if not self._unanswered:
            raise RemoteProtocolError("unasked_answer", "nothing was asked")
        asked = self._unanswered.popleft()
        request = asked.request
        expected = request.user_id if isinstance(request, CreateAccount) else "ok"
        if isinstance(answer, str) and answer != expected:
            asked.is_answered.set()
            raise RemoteProtocolError("wrong_answer", f"expected {expected!r}")
        asked.answer = answer
        asked.is_answered.set()


def _ensured(request_id: int, outcome: Instrument | Refused) -> InstrumentAnswer | ErrorAnswer:
    if isinstance(outcome, Refused):
        return error_answer(outcome.code, outcome.detail, request_id)
    return InstrumentAnswer(request_id, instrument_line(outcome))
