"""Client connections: many requests out, answers in order, everything bounded.

Theory of operation
===================
One task per connection reads and one writes; none waits for an answer, but for those that are
gathered in parts.  Each request gets the next place on its connection; its ticket is
(connection, place).  Answers come back in any order and leave in the order of their places,
all of a turn in one send.

    what happens                              | what becomes of the connection
    ------------------------------------------+-----------------------------------------
    a malformed request                       | one error line; it goes on
    framing is lost                           | one error line, then closed
    no first line within FIRST_LINE_S         | one error line, then closed
    a bad key                                 | one error line, then closed
    too many clients                          | one error line, then closed
    idle for `Limits.idle_s`                  | closed
    too much work a second for its account,   | answered so, and not read for PENALTY_S;
    or without a good key for its address     | cancels have a budget of their own
    too many requests or bytes outstanding    | not read until there is room
    a question with a long answer             | taken when few requests are outstanding
    nothing read by the client for `STALL_S`  | closed
    "bye", or the end of its input            | closed once everything is answered
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import trio

from exchange.domain.instruments import Instrument
from exchange.domain.units import Symbol
from exchange.engine.effects import AnswerBody, Refused, StatusAnswer
from exchange.engine.inputs import CancelAll, Input, ListInstrument, SetSwitch, Ticket
from exchange.node.connection import Connection, end, say_last
from exchange.node.desk import Desk, Gathered, Unlisted
from exchange.node.errors import Stalled
from exchange.node.feed import Feed
from exchange.node.hub import INSIDE, Item, Tell
from exchange.node.parts import Parts
from exchange.node.prices import HANDSHAKE, LONG
from exchange.node.sockets import Wire
from exchange.process.sockets import BROKEN
from exchange.wire.answers import AnswerWriter, error_line, rich_line
from exchange.wire.errors import FramingError, RequestError
from exchange.wire.handshake import ClientHello
from exchange.wire.lines import LineSplitter
from exchange.wire.requests import Bye, NodeMetrics, NodeStatus, Request, decode_request

READ_SIZE = 1 << 14  # bounds how long others wait while one read is translated
OUTSTANDING_MAX = 2048  # requests of one connection, beside what one read holds
UNSENT_MAX = 1 << 20  # bytes of answers, beside what one turn answers
LONG_MAX = 8  # requests outstanding when one with a long answer is taken: bounds memory
NO_TICKET = 0  # of inputs whose answer nobody waits for
PENALTY_S = 0.5  # refusing is work too: a flood waits in its own connection, not in the hub
PENALTY_SIZE = 1 << 12  # bytes read after it

_ENCODE = msgspec.json.Encoder().encode
List = Callable[[Symbol], Awaitable[Instrument | Refused]]


class Inbox(Protocol):
    """Where requests go: the hub."""

    def feed(self, items: list[Item], source: int) -> None: ...
    async def wait_room(self) -> None: ...
    async def call(self, question: Callable[[Ticket], Item], source: int = ...) -> AnswerBody: ...


class Clients:
    """All client connections of this node; the hub hands it the answers."""

    def __init__(
        self,
        inbox: Inbox,
        *,
        desk: Desk,
        writer: AnswerWriter,
        parts: Parts,
        list_symbol: List | None,
        facts: Callable[[], msgspec.Struct],
        metrics: Callable[[StatusAnswer], msgspec.Struct] | None = None,
        feed: Feed | None = None,
    ) -> None:
        self._feed = feed
        self._inbox = inbox
        self._desk = desk
        self._writer = writer
        self._parts = parts
        self._list_symbol = list_symbol  # None with --strict-listing
        self._facts = facts
        self._metrics = metrics
        self._connections: dict[int, Connection] = {}
        self._touched: dict[int, Connection] = {}  # have answers to send
        self._last_number = 0

    @property
    def count(self) -> int:
        """Return how many clients are connected."""
        return len(self._connections)

    @property
    def is_flushed(self) -> bool:
        """Tell whether every answer has left."""
        return not any(c.outstanding or c.outbox.unsent for c in self._connections.values())

    def pays_handshake(self, address: str) -> bool:
        """Take a TLS handshake out of the budget of an address; False if nothing is left."""
        guard = self._desk.guard
        is_paid = guard.of_address(address).take(HANDSHAKE)
        guard.refused += not is_paid
        return is_paid

    # What the hub hands over.

    def answer(self, connection: int, place: int, body: AnswerBody) -> None:
        """Write the answer to a request; dropped if its client has gone."""
        asker = self._connections.get(connection)
        if asker is None:
            return
        request = asker.requests.pop(place)
        if type(body) is StatusAnswer and isinstance(request, NodeStatus | NodeMetrics):
            asker.put(place, self._status_line(request, body))
        else:
            line = self._writer.line(request, body)
            if place in asker.payers:
                asker.put_long(place, line)
            else:
                asker.put(place, line)
        self._touched[connection] = asker

    def send_lines(self, connection: int, lines: bytes) -> None:
        """Send lines of the feed with the next flush; dropped if the client has gone."""
        reader = self._connections.get(connection)
        if reader is not None:
            reader.put_unasked(lines)
            self._touched[connection] = reader

    def unsent(self, connection: int) -> int:
        """Return how many bytes a client has not taken yet."""
        reader = self._connections.get(connection)
        return 0 if reader is None else reader.outbox.unsent

    def flush(self) -> None:
        """Send each client its answers."""
        for connection in self._touched.values():
            connection.flush()
        self._touched.clear()

    def _status_line(self, request: NodeStatus | NodeMetrics, body: StatusAnswer) -> bytes:
        """Add what only the shell knows to what the engine says."""
        if isinstance(request, NodeMetrics):
            if self._metrics is None:
                return error_line("not_supported", "nothing is measured here", bytes(request.id))
            return rich_line("metrics", _ENCODE(self._metrics(body)), bytes(request.id))
        status = msgspec.structs.asdict(body) | msgspec.structs.asdict(self._facts())
        return rich_line("status", msgspec.json.encode(status), bytes(request.id))

    # The life of a connection.

    async def serve(
        self,
        wire: Wire,
        first: ClientHello | Request | Bye,
        splitter: LineSplitter,
        lines: list[bytes],
        broken: FramingError | None = None,
    ) -> None:
        """Serve a client to its end; `lines`, and the end of all framing, came with its first."""
        caller = self._desk.enter(wire, first if isinstance(first, ClientHello) else None)
        if isinstance(caller, Refused):
            await say_last(wire, error_line(caller.code, caller.detail))
            return
        self._last_number += 1
        budget = self._desk.budget(wire, caller)
        connection = Connection(self._last_number, wire, caller, budget)
        self._connections[connection.number] = connection
        try:
            async with trio.open_nursery() as nursery:
                connection.scope = nursery.cancel_scope
                nursery.start_soon(self._write, connection, nursery.cancel_scope)
                await self._read(connection, first, splitter, lines, broken)
                await connection.wait_outstanding(0)
                connection.outbox.end()
        finally:
            if connection.is_watched and connection.caller.account is not None:
                account = connection.caller.account
                is_left = self._desk.deadman.watch(account, is_on=False)
                cancel = CancelAll(NO_TICKET, account, None)
                over = SetSwitch(NO_TICKET, account, is_watched=is_left)
                self._inbox.feed([cancel, over], connection.number)  # behind what it has placed
            self._desk.leave(wire)
            connection.is_gone = True
            del self._connections[connection.number]
            self._touched.pop(connection.number, None)
            connection.outbox.close()
            if self._feed is not None:
                self._feed.drop(connection.number)

    async def watch_idle(self) -> None:
        """Close clients that have neither said nor been told anything for a while."""
        idle_s = self._desk.guard.limits.idle_s
        while idle_s:
            await trio.sleep(idle_s)
            for connection in self._connections.values():
                now = (connection.reads, connection.outbox.pushes)
                is_idle = connection.seen == now and not connection.outstanding
                if is_idle and connection.wire.address:
                    connection.scope.cancel()
                connection.seen = now

    def cancel_silent(self) -> None:
        """Cancel the orders of accounts whose dead-man switch was not armed again in time."""
        for account in self._desk.deadman.due():
            disarmed = SetSwitch(NO_TICKET, account, cancel_after=0)
            self._inbox.feed([CancelAll(NO_TICKET, account, None), disarmed], INSIDE)

    def cancel_orphaned(self) -> None:
        """Cancel the orders of accounts whose connections ended with the node; once, at a start."""
        orphans, self._desk.deadman.orphans = self._desk.deadman.orphans, []
        for account in orphans:
            over = SetSwitch(NO_TICKET, account, is_watched=False)
            self._inbox.feed([CancelAll(NO_TICKET, account, None), over], INSIDE)

    async def _write(self, connection: Connection, scope: trio.CancelScope) -> None:
        try:
            await connection.outbox.run()
        except (*BROKEN, Stalled):
            scope.cancel()

    async def _read(
        self,
        connection: Connection,
        first: ClientHello | Request | Bye,
        splitter: LineSplitter,
        lines: list[bytes],
        broken: FramingError | None,
    ) -> None:
        """Take requests until the client says it is done, or can no longer be understood."""
        if not isinstance(first, ClientHello) and not await self._take_one(connection, first):
            return
        while await self._take(connection, lines):
            if broken is not None:
                await end(connection, broken)
                return
            size = READ_SIZE
            if connection.is_over:
                connection.is_over, size = False, PENALTY_SIZE
                await trio.sleep(PENALTY_S)
            await connection.wait_outstanding(OUTSTANDING_MAX)
            await connection.outbox.wait_below(UNSENT_MAX)
            await self._inbox.wait_room()
            try:
                data = await connection.wire.receive(size)
            except BROKEN:
                return
            if not data:
                return
            connection.reads += 1
            try:
                lines = splitter.feed(data)
            except FramingError as error:
                lines, broken = error.lines, error

    async def _take_one(self, connection: Connection, request: Request | Bye) -> bool:
        if isinstance(request, Bye):
            return False
        item = self._desk.item(connection, request)
        found = [item] if not isinstance(item, Unlisted | Gathered) else await self._found(item)
        self._inbox.feed(found, connection.number)
        connection.flush()
        return True

    async def _take(self, connection: Connection, lines: list[bytes]) -> bool:
        """Hand over what a read held, in one go; tell whether more may come."""
        items: list[Item] = []
        may_go_on = True
        for line in lines:
            try:
                request = decode_request(line)
            except RequestError as error:
                connection.put_error(error)
                self._desk.charge_malformed(connection)
                continue
            if isinstance(request, Bye):
                may_go_on = False
                break
            if type(request) in LONG and connection.outstanding >= LONG_MAX:
                self._inbox.feed(items, connection.number)
                items = []
                connection.flush()
                await connection.wait_outstanding(LONG_MAX - 1)
                await connection.outbox.wait_below(UNSENT_MAX)
            item = self._desk.item(connection, request)
            if isinstance(item, Unlisted | Gathered):
                self._inbox.feed(items, connection.number)
                items = []
                connection.flush()
                items += await self._found(item)
            else:
                items.append(item)
        if items:
            self._inbox.feed(items, connection.number)
        connection.flush()
        return may_go_on

    async def _found(self, waiting: Unlisted | Gathered) -> list[Item]:
        """Wait for what a request needs; return what is left for the hub to do."""
        if isinstance(waiting, Unlisted):
            return [await self._listed(waiting)]
        connection = waiting.connection
        line = await self._parts.line(waiting.request, waiting.account, connection.number)
        del connection.requests[waiting.place]
        connection.put_long(waiting.place, line)
        return []

    async def _listed(self, unlisted: Unlisted) -> Input | Tell:
        """List a symbol in the cluster, then at this node, then translate the request (M2)."""
        symbol = unlisted.symbol
        if self._list_symbol is not None:
            listed = await self._list_symbol(symbol)
            if isinstance(listed, Refused):
                return Tell(unlisted.ticket, listed)
            answer = await self._inbox.call(lambda ticket: ListInstrument(ticket, listed))
            if isinstance(answer, Refused):
                return Tell(unlisted.ticket, answer)
        return self._desk.translated(unlisted.request, unlisted.account, unlisted.ticket)
