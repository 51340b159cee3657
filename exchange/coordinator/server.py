"""The coordinator as a server: one listener for nodes and clients, told apart by the first line.

Theory of operation
===================
A node registers, answers "ok" when it is ready to be dialed, and is live from then on as
long as its link lasts: all others hear that it joined, and it gets its share of new accounts
(C1).  Liveness is soft; everything else is the registrar's, durable before it is told (C2).

Between a node's registration and its "ok" others may join or be listed.  So the link is
there first, and then whatever differs from what the node was told is told again.

The same object runs alone (`exchange-coordinator`) or inside a node (C4); the node that
embeds it connects over loopback like any other.
"""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial

import trio

from exchange.coordinator.authority import Authority
from exchange.coordinator.clients import ClientDesk
from exchange.coordinator.connection import Connection, ConnectionLost
from exchange.coordinator.core import Decision, Registration
from exchange.coordinator.joining import Now, answer_joining, is_joining
from exchange.coordinator.keys import hash_key
from exchange.coordinator.node_link import Asked, NodeLink
from exchange.coordinator.registrar import Registrar
from exchange.coordinator.registration import is_registration, registered_line, registration_of
from exchange.coordinator.registry import InstrumentListed, NodeEntry, RegistryRecord
from exchange.coordinator.secret import NO_SECRET, UNPROVEN, Challenge, ClusterSecret
from exchange.domain.instruments import Instrument
from exchange.domain.units import AccountId, NodeId, node_of
from exchange.engine.effects import Refused
from exchange.process.clocks import now
from exchange.process.logs import Event
from exchange.process.tls import node_name
from exchange.wire.answers import error_line
from exchange.wire.coordinator_lines import (
    REGISTRATION_BYTES_MAX,
    Joined,
    Listed,
    decode_from_node,
    decode_register,
    encode_line,
    error_answer,
    instrument_line,
)
from exchange.wire.errors import RemoteProtocolError, RequestError, WireError
from exchange.wire.proving import Prove, read_prove

CONNECTIONS_MAX = 12_000  # every node of a full cluster, and clients
FIRST_LINE_S_MAX = 30.0
OK_S_MAX = 30.0  # a node may have to open its store before it is ready to be dialed
TOLD_S_MAX = 0.5  # a first order waits no longer for nodes that are slow to hear of its symbol
TELLING_MAX = 256  # listings whose telling is remembered
ATTEMPTS_MAX = 3  # nodes asked for one account
WRONG_NAME = Refused("wrong_certificate", "the node's certificate is not of the id it claims")
NOT_PROVEN = Refused("join_secret", UNPROVEN)
_NO_NODE = Refused("no_live_node", "no node is connected to the coordinator; start one")
_NODE_LOST = Refused("node_lost", "the node went away; ask again")


class Coordinator:
    """Serves nodes and clients from a registrar."""

    def __init__(
        self,
        registrar: Registrar,
        *,
        operator_key: str,
        is_auth: bool,
        strict_listing: bool,
        say: Callable[[str], None] = lambda sentence: None,
        authority: Authority | None = None,
        secret: ClusterSecret | None = None,
        now: Now = now,
    ) -> None:
        self._registrar = registrar
        self._authority = authority  # None without TLS
        self._secret = secret  # None with TLS, and where anybody is taken at his word
        self._now = now
        self._operator_key = operator_key
        self._is_strict = strict_listing
        self._desk = ClientDesk(
            registrar,
            self,
            operator_key=operator_key,
            is_auth=is_auth,
            is_strict=strict_listing,
        )
        self._say = say
        self._links: dict[NodeId, NodeLink] = {}  # live nodes
        self._telling: dict[str, dict[NodeId, Asked]] = {}  # symbols just listed; <= TELLING_MAX
        self._connections = 0  # open ones, <= CONNECTIONS_MAX
        registrar.on_change = self._changed

    @property
    def live(self) -> list[NodeId]:
        """Return the nodes that new accounts can go to."""
        return sorted(node for node, link in self._links.items() if not link.is_closed)

    def check(self) -> None:
        """Assert the invariants."""
        assert 0 <= self._connections <= CONNECTIONS_MAX, "connections are miscounted"
        for node_id, link in self._links.items():
            assert node_id == link.node_id, "link under a wrong node"
            link.check()

    async def serve(self, stream: trio.abc.Stream, *, caller: str = "") -> None:
        """Serve one connection until it ends.  Raises only if the registry cannot be kept (E4).

        `caller` is the name in the certificate that the other side has shown, empty if none.
        """
        connection = Connection(stream, line_bytes_max=REGISTRATION_BYTES_MAX)
        self._connections += 1
        try:
            await self._served(connection, caller)
        except ConnectionLost:
            pass  # nobody is left to be told
        except WireError as error:
            await _tell_and_forget(connection, error)
        finally:
            self._connections -= 1
            await connection.close()

    async def _served(self, connection: Connection, caller: str) -> None:
        if self._connections > CONNECTIONS_MAX:
            raise RequestError("too_many_connections", "close some, or come again later")
        lines, is_proven = [], self._secret is None
        with trio.move_on_after(FIRST_LINE_S_MAX):
            lines = await connection.read()
            asked = read_prove(lines[0]) if lines else None
            if asked is not None:
                lines = await self._proven(connection, asked, lines[1:])
                is_proven = True
        if not lines:
            return
        if self._authority is not None and is_joining(lines[0]):
            answer = await answer_joining(
                lines[0], self._authority, self._registrar, caller=caller, now=self._now
            )
            if answer is not None:
                await connection.send(answer)
                return
        if is_registration(lines[0]):
            await self._serve_node(connection, lines, caller, is_proven=is_proven)
        else:
            await self._desk.serve(connection, lines)

    async def _proven(
        self, connection: Connection, asked: Prove, lines: list[bytes]
    ) -> list[bytes]:
        """Prove that this is the coordinator, and see the caller's proof; read on."""
        if self._secret is None:
            raise RequestError("no_secret", NO_SECRET)
        challenge = Challenge(self._secret, asked)
        await connection.send(challenge.line)
        lines = lines or await connection.read()
        if lines:
            challenge.check(lines[0])
        return lines[1:] or await connection.read()

    async def _serve_node(
        self, connection: Connection, lines: list[bytes], caller: str, *, is_proven: bool
    ) -> None:
        asked = registration_of(decode_register(lines[0]))
        decision: Decision | Refused = WRONG_NAME if is_proven else NOT_PROVEN
        if is_proven and self._is_named(asked.node_id, caller):
            decision = await self._registrar.register(asked)
        if isinstance(decision, Decision) and not self._is_named(decision.node_id, caller):
            decision = WRONG_NAME
        if isinstance(decision, Refused):
            text = f"refused a node at {asked.address}: {decision.detail}"
            self._say(Event("member_refused", text, address=asked.address, code=decision.code))
            await connection.send(encode_line(error_answer(decision.code, decision.detail)))
            return
        for alarm in decision.alarms:
            self._say(Event("registry_alarm", alarm))
        told = await self._tell_cluster(connection, asked, decision)
        said = await _until_ok(connection, lines[1:])
        if said is not None:
            await self._run_link(connection, asked, decision.node_id, told, said)

    def _is_named(self, node_id: NodeId | None, caller: str) -> bool:
        """Tell whether a caller may speak as a node; one without an id must have some name."""
        if self._authority is None:
            return True
        return caller == node_name(node_id) if node_id else caller.startswith("node-")

    async def _tell_cluster(
        self, connection: Connection, asked: Registration, decision: Decision
    ) -> tuple[list[NodeEntry], list[Instrument]]:
        """Answer a registration; return which nodes and instruments the node knows now."""
        registrar, node_id = self._registrar, decision.node_id
        cluster = await registrar.cluster()
        nodes = [entry for entry in await registrar.nodes() if _is_peer(entry, node_id)]
        instruments = await registrar.instruments()
        given_id = node_id if asked.node_id is None else None
        key_hash = hash_key(self._operator_key, cluster)
        await connection.send(registered_line(given_id, cluster, nodes, instruments, key_hash))
        return nodes, instruments

    async def _run_link(
        self,
        connection: Connection,
        asked: Registration,
        node_id: NodeId,
        told: tuple[list[NodeEntry], list[Instrument]],
        said: list[bytes],
    ) -> None:
        link = NodeLink(connection, node_id)
        earlier = self._links.get(node_id)
        if earlier is not None:
            earlier.close()
        self._links[node_id] = link
        try:
            for other in self._links.values():
                if other is not link:
                    other.push(Joined(node_id, asked.address, asked.nonce))
            await self._tell_difference(link, *told)
            text = f"node {node_id} at {asked.address} is live, epoch {asked.epoch}"
            self._say(Event("member_live", text, node_id=node_id, epoch=asked.epoch))
            await link.run(partial(self._ensure, link), said)
        finally:
            link.close()
            if self._links.get(node_id) is link:
                del self._links[node_id]
                text = f"node {node_id} is gone; its accounts are where it is"
                self._say(Event("member_gone", text, node_id=node_id))

    async def _tell_difference(
        self, link: NodeLink, nodes: list[NodeEntry], instruments: list[Instrument]
    ) -> None:
        known = {(entry.node_id, entry.address) for entry in nodes}
        for entry in await self._registrar.nodes():
            is_known = (entry.node_id, entry.address) in known
            if _is_peer(entry, link.node_id) and not is_known:
                link.push(Joined(entry.node_id, entry.address, entry.nonce))
        listed = {instrument.symbol for instrument in instruments}
        for instrument in await self._registrar.instruments():
            if instrument.symbol not in listed:
                link.push(Listed(instrument_line(instrument)))

    async def _ensure(self, asking: NodeLink, symbol: str) -> Instrument | Refused:
        """List a symbol; the other nodes have heard of it before its first order is placed.

        Nodes take no listing from each other, so what an order shows there would wait for this.
        """
        outcome = await self._registrar.ensure(symbol, is_strict=self._is_strict)
        told = self._telling.pop(symbol, {})
        told.pop(asking.node_id, None)  # it waits for this answer
        with trio.move_on_after(TOLD_S_MAX):
            for asked in told.values():
                await asked.is_answered.wait()
        return outcome

    def _changed(self, record: RegistryRecord) -> None:
        """Tell all nodes of a listing; it is durable now."""
        if not isinstance(record, InstrumentListed):
            return
        listed = Listed(instrument_line(record.instrument))
        told = {node_id: link.push(listed) for node_id, link in self._links.items()}
        self._telling[record.instrument.symbol] = told
        while len(self._telling) > TELLING_MAX:  # listed by an operator: nobody waits
            del self._telling[next(iter(self._telling))]

    async def open_accounts(self, keys: Sequence[str]) -> list[AccountId | Refused]:
        """Have live nodes open an account for each API key, in order (C1).

        A key is empty without authentication.  What a node cannot do, another one is asked.
        """
        answers: list[AccountId | Refused] = [_NO_NODE] * len(keys)
        unwilling: set[NodeId] = set()
        for _ in range(ATTEMPTS_MAX):
            places = [place for place, each in enumerate(answers) if isinstance(each, Refused)]
            accounts = await self._registrar.allocate(set(self.live) - unwilling, len(places))
            if isinstance(accounts, Refused):
                return [accounts if each is _NO_NODE else each for each in answers]
            cluster = await self._registrar.cluster()
            hashes = [hash_key(keys[place], cluster) if keys[place] else b"" for place in places]
            opened = await self._open(accounts, hashes)
            for place, answer in zip(places, opened, strict=True):
                answers[place] = answer
            failed = set(accounts).difference(opened)
            if not failed:
                break
            unwilling |= {node_of(account) for account in failed}
        return answers

    async def _open(
        self, accounts: Sequence[AccountId], key_hashes: Sequence[bytes]
    ) -> list[AccountId | Refused]:
        """Ask all owners, then wait for each."""
        asked = []
        for account, key_hash in zip(accounts, key_hashes, strict=True):
            link = self._links.get(node_of(account))
            asked.append((account, link, link and link.ask_account(account, key_hash)))
        answers: list[AccountId | Refused] = []
        for account, link, request in asked:
            refusal = await link.answer(request) if link and request else _NODE_LOST
            answers.append(refusal or account)
        return answers


def _is_peer(entry: NodeEntry, node_id: NodeId) -> bool:
    """Tell whether a node is worth telling another: it has started, or others have met it."""
    return entry.node_id != node_id and entry.has_started


async def _until_ok(connection: Connection, lines: list[bytes]) -> list[bytes] | None:
    """Wait for the node's "ok"; return what came with it, behind it.

    None if the node goes away instead, as a newborn node may.
    """
    with trio.move_on_after(OK_S_MAX):
        lines = lines or await connection.read()
        if not lines:
            return None
        if decode_from_node(lines[0]) != "ok":
            raise RemoteProtocolError("unexpected_message", 'expected "ok" after the registration')
        return lines[1:]
    return None


async def _tell_and_forget(connection: Connection, error: WireError) -> None:
    """Say what was wrong with the last line, if anybody listens still."""
    line = error_line(error.code, error.detail)
    with contextlib.suppress(ConnectionLost):
        await connection.send(line)
