"""A node's end of its connection to the coordinator.  The node trades on without it (C1).

    register_new   once in the life of a node, before it has an id: the only time it needs
                   the coordinator; CoordinatorUnreachable if it does not answer
    Membership     from then on: registers again, keeps one connection, comes back by itself

What travels on that connection, and in which order, is the business of `member_link`.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import msgspec
import trio

from exchange.coordinator.connection import Connection, ConnectionLost
from exchange.coordinator.core import KnownNode, Registration
from exchange.coordinator.errors import (
    CoordinatorUnreachable,
    IdentityRefused,
    RegistrationRefused,
    refused,
)
from exchange.coordinator.member_link import Link, Slot
from exchange.coordinator.registration import (
    instrument_of,
    known_nodes,
    listed_instruments,
    register_line,
)
from exchange.coordinator.secret import ClusterSecret, NotProven
from exchange.domain.instruments import Instrument
from exchange.domain.units import AccountId, NodeId, number_of, parse_id
from exchange.engine.effects import Refused
from exchange.process.addresses import parse_address
from exchange.process.logs import Event
from exchange.process.tls import COORDINATOR, Trust, connect
from exchange.wire.coordinator_lines import (
    ANSWER_BYTES_MAX,
    CreateAccount,
    ErrorAnswer,
    FromCoordinator,
    Heartbeat,
    InstrumentAnswer,
    Joined,
    Listed,
    Registered,
    decode_registered,
    encode_line,
    error_answer,
)
from exchange.wire.errors import RemoteProtocolError, WireError

DIAL_S_MAX = 5.0
REGISTER_S_MAX = 10.0  # the coordinator forces before it answers
ENSURE_S_MAX = 5.0  # an order of an unlisted symbol waits no longer
BACKOFF_S_MIN = 0.05
BACKOFF_S_MAX = 2.0
PATIENCE_S = 5.0  # of a new node: both may be starting at once

Dial = Callable[[], Awaitable[trio.abc.Stream]]


class NewNode(msgspec.Struct, frozen=True):
    """What a new node is told."""

    node_id: NodeId
    cluster: str
    others: list[KnownNode]
    instruments: list[Instrument]
    operator_key_hash: bytes


class Member(Protocol):
    """The node, as its membership sees it.  None of these blocks but the last."""

    def registration(self) -> Registration:
        """Say what the node is now: incarnation, address, accounts, peers, instruments."""
        ...

    def on_registered(
        self, others: list[KnownNode], instruments: list[Instrument], operator_key_hash: bytes
    ) -> None:
        """Hear of the cluster, at every registration; prepare to be dialed."""
        ...

    def on_joined(self, node: KnownNode) -> None:
        """Hear that a node is new, or back, perhaps at another address (C5)."""
        ...

    def on_listed(self, instrument: Instrument) -> None:
        """Hear that an instrument is listed."""
        ...

    async def on_account_request(self, account: AccountId, key_hash: bytes) -> Refused | None:
        """Open an account; None once its record is durable (C1)."""
        ...


def dial_tcp(
    coordinator: str, trust: Trust | None = None, secret: ClusterSecret | None = None
) -> Dial:
    """Return what connects to a coordinator at `host:port`; BadAddress if it is no address.

    With `trust` it speaks TLS, and with nobody but a coordinator; with `secret` it speaks with
    nobody who does not know that.
    """
    context = None if trust is None else trust.client
    dial = partial(connect, parse_address(coordinator), context, name=COORDINATOR)
    return dial if secret is None else partial(_dial_proven, dial, secret)


async def _dial_proven(dial: Dial, secret: ClusterSecret) -> trio.abc.Stream:
    stream = await dial()
    await secret.prove(stream, may_learn=True)
    return stream


async def register_new(
    coordinator: str,
    nonce: bytes,
    address: str,
    *,
    patience_s: float = PATIENCE_S,
    dial: Dial | None = None,
) -> NewNode:
    """Get an id for a new node.  Asked again with the same nonce, it gets the same id.

    Raises CoordinatorUnreachable after `patience_s`, RegistrationRefused at once.
    """
    dial = dial or dial_tcp(coordinator)
    why = "it does not answer"
    backoff = Backoff()
    with trio.move_on_after(patience_s):
        while True:
            try:
                connection = await _connect(dial)
                try:
                    return _new_node(await _register(connection, Registration(nonce, address)))
                finally:
                    await connection.close()
            except NotProven as error:
                raise RegistrationRefused("join_secret", f"{coordinator}: {error}") from error
            except (OSError, ConnectionLost, WireError) as error:
                why = _why(error)
            await backoff.wait()
    raise CoordinatorUnreachable(coordinator, why)


class Backoff:
    """Waits longer each time, until it worked."""

    def __init__(self) -> None:
        self._next_s = BACKOFF_S_MIN

    def reset(self) -> None:
        """Start again from the shortest wait."""
        self._next_s = BACKOFF_S_MIN

    async def wait(self) -> None:
        """Wait."""
        wait_s, self._next_s = self._next_s, min(2 * self._next_s, BACKOFF_S_MAX)
        await trio.sleep(wait_s)


class Membership:
    """Keeps a node known to its coordinator."""

    def __init__(
        self,
        coordinator: str,
        member: Member,
        *,
        say: Callable[[str], None] = lambda sentence: None,
        dial: Dial | None = None,
    ) -> None:
        self._member = member
        self._say = say
        self._dial = dial or dial_tcp(coordinator)
        self._address = coordinator
        self._link: Link | None = None
        self._scope = trio.CancelScope()  # of the link
        self._is_linked = trio.Event()
        self._is_tried = trio.Event()
        self._account_number = 0  # the highest we were asked for, opened yet or not
        self._request_id = 0
        self._said = ""  # a problem is told once, not at every attempt

    @property
    def is_connected(self) -> bool:
        """Tell whether the coordinator knows us as live."""
        return self._link is not None

    async def wait_tried(self) -> None:
        """Wait until the first attempt is over, whether it worked or not (C5)."""
        await self._is_tried.wait()

    async def run(self) -> None:
        """Stay a member until cancelled.

        Raises IdentityRefused: this node is an old copy or one of two, and must stop (C3).
        """
        backoff = Backoff()
        while True:
            try:
                await self._serve_once(backoff)
            except _AskedAnew:
                pass
            except NotProven as error:
                text = f"what answers at {self._address} is not believed: {error}"
                self._tell(Event("coordinator_unproven", text, address=self._address))
            except _TurnedAway as error:
                text = f"{self._address}: {error}. Until then accounts and listings wait"
                self._tell(Event("registration_refused", text, address=self._address))
            except (OSError, ConnectionLost, WireError) as error:
                text = f"the coordinator at {self._address} is away: {_why(error)}"
                self._tell(Event("coordinator_away", text, address=self._address))
            finally:
                self._is_tried.set()
            await backoff.wait()

    def come_again(self) -> None:
        """Register anew: the node was away, and another may be in its place (B5, C3)."""
        self._scope.cancel()

    async def ensure_instrument(self, symbol: str) -> Instrument | Refused:
        """Have a symbol listed, by default as a plain ticker (M2)."""
        with trio.move_on_after(ENSURE_S_MAX):
            while True:
                await self._is_linked.wait()
                if self._link is None:  # it went while we were being woken
                    continue
                self._request_id += 1
                answer = await self._link.ensure(self._request_id, symbol)
                if answer is not None:
                    return answer
        detail = f"{symbol} is not listed, and the coordinator that lists it is away; try again"
        return Refused("coordinator_unreachable", detail)

    async def _serve_once(self, backoff: Backoff) -> None:
        connection = await _connect(self._dial)
        try:
            asked = self._member.registration()
            number = max(asked.account_number, self._account_number)
            asked = msgspec.structs.replace(asked, account_number=number)
            try:
                told = await _register(connection, asked)
            except RegistrationRefused as error:
                if isinstance(error, IdentityRefused):
                    raise
                raise _TurnedAway(str(error)) from error
            self._member.on_registered(
                known_nodes(told), listed_instruments(told), told.operator_key_hash
            )
            await connection.send(encode_line("ok"))
            backoff.reset()
            self._said = ""
            await self._serve_link(Link(connection))
        finally:
            await connection.close()

    async def _serve_link(self, link: Link) -> None:
        self._link = link
        self._is_linked.set()
        self._is_tried.set()
        why = ""
        try:
            with trio.CancelScope() as self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(link.write)
                    while True:
                        for message in await link.read():
                            self._take(link, message, nursery)
        except* (ConnectionLost, WireError) as group:
            why = _why(group.exceptions[0])
        finally:
            self._link = None
            self._is_linked = trio.Event()
            link.end()
        if self._scope.cancelled_caught:
            raise _AskedAnew
        raise ConnectionLost(why)

    def _take(self, link: Link, message: FromCoordinator, nursery: trio.Nursery) -> None:
        match message:
            case Joined(node_id, address, nonce):
                self._member.on_joined(KnownNode(NodeId(node_id), nonce, address))
                link.promise(encode_line("ok"))
            case Listed(line):
                self._member.on_listed(instrument_of(line))
                link.promise(encode_line("ok"))
            case Heartbeat():
                link.promise(encode_line("ok"))
            case CreateAccount():
                nursery.start_soon(self._open_account, link, link.promise(), message)
            case InstrumentAnswer(request_id, line):
                link.answered(request_id, instrument_of(line))
            case ErrorAnswer(value, request_id):
                if request_id is None:
                    raise RemoteProtocolError(value.code, value.detail)
                link.answered(request_id, Refused(value.code, value.detail))

    async def _open_account(self, link: Link, slot: Slot, request: CreateAccount) -> None:
        account = parse_id(request.user_id)
        if account is None:
            raise RemoteProtocolError("unknown_account", "the coordinator sent no account id")
        self._account_number = max(self._account_number, number_of(account))
        refusal = await self._member.on_account_request(AccountId(account), request.key_hash)
        if refusal is None:
            link.fulfil(slot, encode_line(request.user_id))
        else:
            link.fulfil(slot, encode_line(error_answer(refusal.code, refusal.detail)))

    def _tell(self, problem: str) -> None:
        if problem != self._said:
            self._said = problem
            self._say(problem)


class _AskedAnew(ConnectionLost):
    """The link was ended here: the node was away, and asks whether it is still who is known."""

    def __init__(self) -> None:
        super().__init__("this node was away")


class _TurnedAway(ConnectionLost):
    """The coordinator is there and will not have this node; an operator may repair that."""


async def _connect(dial: Dial) -> Connection:
    with trio.move_on_after(DIAL_S_MAX):
        return Connection(await dial(), line_bytes_max=ANSWER_BYTES_MAX)
    raise ConnectionLost("it does not answer")


async def _register(connection: Connection, asked: Registration) -> Registered:
    """Register; raises RegistrationRefused, ConnectionLost."""
    with trio.move_on_after(REGISTER_S_MAX):
        await connection.send(register_line(asked))
        lines = await connection.read()
        if not lines:
            raise ConnectionLost("it hung up")
        told = decode_registered(lines[0])
        if isinstance(told, ErrorAnswer):
            raise refused(told.value.code, told.value.detail)
        return told
    raise ConnectionLost("it does not answer a registration")


def _new_node(told: Registered) -> NewNode:
    if told.id is None:
        raise RemoteProtocolError("no_id", "the coordinator gave no node id")
    return NewNode(
        NodeId(told.id),
        told.cluster,
        known_nodes(told),
        listed_instruments(told),
        told.operator_key_hash,
    )


def _why(error: BaseException) -> str:
    """Say in a few words why a connection did not work."""
    if isinstance(error, OSError):
        inner: BaseException | None = error.__cause__
        while isinstance(inner, BaseExceptionGroup):  # Trio tries all addresses of a name
            inner = inner.exceptions[0]
        told = error.strerror or (inner.strerror if isinstance(inner, OSError) else None)
        return told or "it does not answer"
    return str(error) or "the connection was lost"
