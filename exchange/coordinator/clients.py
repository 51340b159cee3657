"""What clients get from a coordinator: accounts, addresses, listings (interfaces section 1).

The requests of a connection are answered in order, one send for all lines of a read (E6).
Accounts asked for one after another are opened at once: their records share a force.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol

from exchange.coordinator import verbs
from exchange.coordinator.connection import Connection
from exchange.coordinator.keys import account_key, hash_key, is_key, new_key
from exchange.coordinator.registrar import Registrar
from exchange.coordinator.verbs import Verb
from exchange.domain.units import AccountId, NodeId, format_id
from exchange.engine.effects import Refused
from exchange.wire.answers import error_line, line_of_error
from exchange.wire.coordinator_lines import instrument_line
from exchange.wire.errors import FramingError, RequestError
from exchange.wire.lines import REQUEST_BYTES_MAX
from exchange.wire.requests import Bye

OPENED_AT_ONCE_MAX = 256  # accounts of one connection that are being opened


class LiveNodes(Protocol):
    """The nodes that are connected."""

    @property
    def live(self) -> Sequence[NodeId]:
        """Return the nodes that new accounts can go to."""
        ...

    async def open_accounts(self, keys: Sequence[str]) -> list[AccountId | Refused]:
        """Have live nodes open an account for each API key, in order (C1)."""
        ...


class ClientDesk:
    """Answers clients."""

    def __init__(
        self,
        registrar: Registrar,
        nodes: LiveNodes,
        *,
        operator_key: str,
        is_auth: bool,
        is_strict: bool,
    ) -> None:
        self._registrar = registrar
        self._nodes = nodes
        self._operator_key = operator_key
        self._is_auth = is_auth
        self._is_strict = is_strict

    async def serve(self, connection: Connection, lines: list[bytes]) -> None:
        """Answer a client until it goes.  Raises FramingError once what came before is answered."""
        while lines:
            read, end = _decode_all(lines)
            answers = await self._answer_all(read)
            if answers:
                await connection.send(b"".join(answers))
            if isinstance(end, FramingError):
                raise end
            if end is not None:
                return
            lines = await connection.read()

    async def _answer_all(self, read: list[Verb | RequestError]) -> list[bytes]:
        """Answer in order; accounts asked for one after another are opened at once."""
        answers: list[bytes] = []
        for is_opening, group in groupby(read, key=self._is_opening):
            if is_opening:
                answers += await self._open_accounts(len(list(group)))
            else:
                answers += [await self._answer(verb) for verb in group]
        return answers

    def _is_opening(self, verb: Verb | RequestError) -> bool:
        return isinstance(verb, verbs.OpenAccount) and not self._is_auth

    async def _open_accounts(self, count: int) -> list[bytes]:
        answers: list[bytes] = []
        while count:
            some = min(count, OPENED_AT_ONCE_MAX)
            count -= some
            answers += map(_account_line, await self._nodes.open_accounts([""] * some))
        return answers

    async def _answer(self, verb: Verb | RequestError) -> bytes:
        match verb:
            case RequestError():
                return line_of_error(verb)
            case verbs.OpenAccount():
                detail = "authentication is on: use account.create with the operator key"
                return error_line("unauthorized", detail)
            case verbs.Locate(account):
                return await self._locate(account)
            case _:
                request_id = bytes(verb.id)
                refusal = await self._unauthorized(verb)
                value = refusal or await self._value(verb)
                if isinstance(value, Refused):
                    return error_line(value.code, value.detail, request_id)
                return verbs.encode_answer(request_id, value)

    async def _locate(self, account: AccountId) -> bytes:
        address = await self._registrar.locate(account)
        if isinstance(address, Refused):
            return error_line(address.code, address.detail)
        return verbs.encode_text(address)

    async def _unauthorized(self, verb: verbs.RichVerb) -> Refused | None:
        """Refuse what only an operator may."""
        if not self._is_auth or isinstance(verb, verbs.ClusterGet | verbs.InstrumentList):
            return None
        cluster = await self._registrar.cluster()
        if is_key(verb.auth or "", hash_key(self._operator_key, cluster), cluster):
            return None
        return Refused("unauthorized", "this needs the operator key in `auth`")

    async def _value(self, verb: verbs.RichVerb) -> verbs.Value | Refused:
        match verb:
            case verbs.AccountCreate():
                return await self._create_account()
            case verbs.ClusterGet():
                return await self._cluster()
            case verbs.InstrumentList():
                listed = await self._registrar.instruments()
                return verbs.InstrumentsValue([instrument_line(each) for each in listed])
            case verbs.InstrumentCreate():
                outcome = await self._registrar.list_instrument(verb.value.instrument())
                return outcome if isinstance(outcome, Refused) else instrument_line(outcome)

    async def _create_account(self) -> verbs.AccountValue | Refused:
        secret = new_key()
        (outcome,) = await self._nodes.open_accounts([secret])
        if isinstance(outcome, Refused):
            return outcome
        return verbs.AccountValue(format_id(outcome), account_key(outcome, secret))

    async def _cluster(self) -> verbs.ClusterValue:
        nodes = [
            verbs.NodeValue(
                entry.node_id,
                entry.address,
                entry.epoch,
                entry.account_number,
                entry.node_id in self._nodes.live,
            )
            for entry in await self._registrar.nodes()
        ]
        cluster = await self._registrar.cluster()
        return verbs.ClusterValue(cluster, self._is_auth, self._is_strict, nodes)


def _decode_all(
    lines: list[bytes],
) -> tuple[list[Verb | RequestError], Bye | FramingError | None]:
    """Read requests up to the end of the conversation, if that is among them."""
    read: list[Verb | RequestError] = []
    for line in lines:
        if len(line) > REQUEST_BYTES_MAX:
            detail = f"a request is at most {REQUEST_BYTES_MAX} bytes"
            return read, FramingError("line_too_long", detail, [])
        try:
            verb = verbs.decode_verb(line)
        except RequestError as error:
            read.append(error)
            continue
        if isinstance(verb, Bye):
            return read, verb
        read.append(verb)
    return read, None


def _account_line(outcome: AccountId | Refused) -> bytes:
    if isinstance(outcome, Refused):
        return error_line(outcome.code, outcome.detail)
    return verbs.encode_text(format_id(outcome))
