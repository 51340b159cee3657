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
    too many requests a second of its key, or | answered so, and not read for PENALTY_S;
    without a good key, of its address        | cancels always have budget
    too many requests or bytes outstanding    | not read until there is room
    a question with a long answer             | taken when few requests are outstanding
    nothing read by the client for `STALL_S`  | closed
    "bye", or the end of its input            | closed once everything is answered
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import msgspec
import trio

from exchange.domain.instruments import Instrument
from exchange.domain.units import AccountId, Symbol
from exchange.engine.effects import AnswerBody, Done, Refused, StatusAnswer
from exchange.engine.inputs import CancelAll, Input, ListInstrument, PlaceOrder, Ticket
from exchange.node.access import BAD_KEY, Access, Caller
from exchange.node.connection import Connection, end, say_last
from exchange.node.deadman import DeadMan
from exchange.node.errors import Stalled
from exchange.node.feed import Feed
from exchange.node.hub import INSIDE, PLACE_MASK, TICKET_SHIFT, Item, Later, Tell
from exchange.node.parts import InParts, Parts
from exchange.node.sockets import Wire
from exchange.process.limits import Budget, Guard, Limits
from exchange.process.sockets import BROKEN
from exchange.wire.answers import AnswerWriter, error_line, rich_line
from exchange.wire.errors import FramingError, RequestError
from exchange.wire.feeds import FeedSubscribe, FeedUnsubscribe
from exchange.wire.handshake import ClientHello
from exchange.wire.lines import LineSplitter
from exchange.wire.requests import (
    BookGet,
    Bye,
    CancelAfter,
    CancelOnDisconnect,
    CandlesGet,
    CreateOrder,
    DeleteOrder,
    FillsList,
    NodeMetrics,
    NodeStatus,
    OrderAmend,
    OrderCancel,
    OrderCancelAll,
    OrderCreate,
    OrdersList,
    ReadMarket,
    ReadOrders,
    ReplicaList,
    Request,
    TradesList,
    TransfersList,
    decode_request,
)
from exchange.wire.translate import NeedsListing, Translator

READ_SIZE = 1 << 14  # bounds how long others wait while one read is translated
OUTSTANDING_MAX = 2048  # requests of one connection, beside what one read holds
UNSENT_MAX = 1 << 20  # bytes of answers, beside what one turn answers
NO_ACCOUNT = AccountId(0)  # of public requests
HOT: frozenset[type] = frozenset([CreateOrder, OrderCreate])
LONG: frozenset[type] = frozenset(
    [
        ReadMarket,
        ReadOrders,
        BookGet,
        OrdersList,
        FillsList,
        TradesList,
        TransfersList,
        CandlesGet,
        ReplicaList,
    ]
)
LONG_MAX = 8  # requests outstanding when one with a long answer is taken: bounds memory
NO_TICKET = 0  # of inputs whose answer nobody waits for
FREE = (OrderCancel, OrderCancelAll, DeleteOrder, CancelAfter)  # a cancel always has budget
NAMES_AN_ORDER = (OrderCancel, OrderAmend)  # perhaps one placed earlier in the same read
PENALTY_S = 0.5  # refusing is work too: a flood waits in its own connection, not in the hub
PENALTY_SIZE = 1 << 12  # bytes read after it
RATE_LIMITED = Refused("rate_limited", "too many requests; try again in a second")
TOO_MANY = Refused("too_many_connections", "close some, or try again later")

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
        translator: Translator,
        writer: AnswerWriter,
        parts: Parts,
        access: Access,
        list_symbol: List | None,
        facts: Callable[[], msgspec.Struct],
        metrics: Callable[[StatusAnswer], msgspec.Struct] | None = None,
        feed: Feed | None = None,
    ) -> None:
        self._feed = feed
        self._inbox = inbox
        self._translator = translator
        self._writer = writer
        self._parts = parts
        self._access = access
        self._list_symbol = list_symbol  # None with --strict-listing
        self._facts = facts
        self._metrics = metrics
        self.guard = Guard(Limits(), lambda: 0)  # whoever runs the node brings its own
        self.deadman = DeadMan(lambda: 0)
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
            asker.put(place, self._writer.line(request, body))
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
        caller = self._access.admit(first) if isinstance(first, ClientHello) else None
        if isinstance(caller, Refused):
            await say_last(wire, error_line(caller.code, caller.detail))
            return
        if not self.guard.enter(wire.address):
            await say_last(wire, error_line(TOO_MANY.code, TOO_MANY.detail))
            return
        self._last_number += 1
        caller = caller or self._access.anyone
        budget = self._budget(wire, caller)
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
                cancel = CancelAll(NO_TICKET, connection.caller.account, None)
                self._inbox.feed([cancel], connection.number)  # behind what it has placed
            self.guard.leave(wire.address)
            del self._connections[connection.number]
            self._touched.pop(connection.number, None)
            connection.outbox.close()
            if self._feed is not None:
                self._feed.drop(connection.number)

    async def watch_idle(self) -> None:
        """Close clients that have neither said nor been told anything for a while."""
        idle_s = self.guard.limits.idle_s
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
        for account in self.deadman.due():
            self._inbox.feed([CancelAll(NO_TICKET, account, None)], INSIDE)

    def _budget(self, wire: Wire, caller: Caller) -> Budget:
        if caller.account is None:
            return self.guard.of_address(wire.address)
        return self.guard.of_key((caller.account, caller.key_hash))

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
        item = self._item(connection, request)
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
            item = self._item(connection, request)
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

    def _item(self, connection: Connection, request: Request) -> "Item | Unlisted | Gathered":
        """Return what the hub is to do about a request; it has its place from here on."""
        ticket = connection.number << TICKET_SHIFT | connection.place(request)
        caller = self._access.speaker(request, connection.caller)
        account = caller.account or NO_ACCOUNT
        is_hot = type(request) in HOT
        if is_hot:
            refused = self._access.check_order(request, caller)  # type: ignore[arg-type]  # HOT
            if refused is None and not self._is_paid(connection, caller):
                refused = RATE_LIMITED
        else:
            refused = self._access.check(request, caller)
            if refused is None and not isinstance(request, FREE):
                refused = None if self._is_paid(connection, caller) else RATE_LIMITED
            if refused is None and isinstance(request, NAMES_AN_ORDER):
                return Later(partial(self._translated, request, account, ticket))
        if refused is not None:
            if refused is BAD_KEY and not self.guard.of_address(connection.wire.address).take():
                refused = RATE_LIMITED
            return Tell(ticket, refused)
        if not is_hot and isinstance(request, CancelAfter | CancelOnDisconnect):
            return Tell(ticket, self._watch(connection, request, account))
        if not is_hot and isinstance(request, FeedSubscribe | FeedUnsubscribe):
            key_hash = self._access.key_hash(request, caller)
            return Later(
                partial(self._follow, connection.number, request, account, key_hash, ticket)
            )
        if not is_hot and isinstance(request, InParts):
            return Gathered(connection, request, account, ticket & PLACE_MASK)
        translated = self._translator.translate(request, account, ticket)
        if type(translated) is PlaceOrder:
            return translated
        if isinstance(translated, NeedsListing):
            return Unlisted(translated.symbol, request, account, ticket)
        return Tell(ticket, translated) if isinstance(translated, Refused) else translated

    def _watch(
        self, connection: Connection, request: CancelAfter | CancelOnDisconnect, account: AccountId
    ) -> AnswerBody:
        """Set the dead-man switch of an account, or of a connection."""
        if isinstance(request, CancelAfter):
            self.deadman.arm(account, request.value.seconds)
        elif account == connection.caller.account:
            connection.is_watched = request.value.enabled
        else:
            return Refused("no_account", "only for a connection whose first line names the account")
        return Done()

    def _follow(
        self,
        connection: int,
        request: FeedSubscribe | FeedUnsubscribe,
        account: AccountId,
        key_hash: bytes,
        ticket: Ticket,
    ) -> Tell:
        """Follow topics of the feed, or no more; the hub calls this between two inputs."""
        if self._feed is None or connection not in self._connections:
            return Tell(ticket, Refused("not_supported", "there is no feed here"))
        if isinstance(request, FeedSubscribe):
            refused = self._feed.subscribe(connection, request.value, account, key_hash)
        else:
            refused = self._feed.unsubscribe(connection, request.value, account)
        return Tell(ticket, refused or Done())

    def _is_paid(self, connection: Connection, caller: Caller) -> bool:
        """Take a request out of the budget of the connection, or of the key it brought."""
        budget = connection.budget
        if budget is None or caller is not connection.caller:
            budget = self._budget(connection.wire, caller)
        if budget.take():
            return True
        self.guard.refused += 1
        is_own = caller is connection.caller  # not that of one of a gateway's users
        connection.is_over = is_own and bool(connection.wire.address)
        return False

    def _translated(self, request: Request, account: AccountId, ticket: Ticket) -> Input | Tell:
        """Translate a request that needs no listing, or has had its own."""
        translated = self._translator.translate(request, account, ticket)
        if isinstance(translated, NeedsListing):
            name = translated.symbol
            translated = Refused("unknown_instrument", f"{name} is not listed")
        return Tell(ticket, translated) if isinstance(translated, Refused) else translated

    async def _found(self, waiting: "Unlisted | Gathered") -> list[Item]:
        """Wait for what a request needs; return what is left for the hub to do."""
        if isinstance(waiting, Unlisted):
            return [await self._listed(waiting)]
        connection = waiting.connection
        line = await self._parts.line(waiting.request, waiting.account, connection.number)
        del connection.requests[waiting.place]
        connection.put(waiting.place, line)
        return []

    async def _listed(self, unlisted: "Unlisted") -> Input | Tell:
        """List a symbol in the cluster, then at this node, then translate the request (M2)."""
        symbol = unlisted.symbol
        if self._list_symbol is not None:
            listed = await self._list_symbol(symbol)
            if isinstance(listed, Refused):
                return Tell(unlisted.ticket, listed)
            answer = await self._inbox.call(lambda ticket: ListInstrument(ticket, listed))
            if isinstance(answer, Refused):
                return Tell(unlisted.ticket, answer)
        return self._translated(unlisted.request, unlisted.account, unlisted.ticket)


class Unlisted(msgspec.Struct, frozen=True):
    """A request that names a symbol nobody has listed yet."""

    symbol: Symbol
    request: Request
    account: AccountId
    ticket: Ticket


class Gathered(msgspec.Struct, frozen=True):
    """A request whose answer is gathered in parts."""

    connection: Connection
    request: InParts
    account: AccountId
    place: int
