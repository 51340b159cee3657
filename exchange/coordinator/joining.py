"""How a node gets its certificate: with a join token at first, later with the old one.

    node, to anybody   {"type":"ca.get"}            -> {"type":"authority","value":"<PEM>"}
                       and it compares the fingerprint with that in its token
    node, to the       {"type":"node.join", ...}    -> {"type":"certificate","value":{...}}
    coordinator        now it believes who answers, and sends the token

Without a token the name in the certificate that the caller shows is renewed.  The certificate
bears the id that the coordinator has given, or gives now, to the node's birth nonce.
"""

import datetime
import hmac
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import trio

from exchange.coordinator.authority import Authority, BadJoin, new_request, request_of
from exchange.coordinator.connection import Connection, ConnectionLost
from exchange.coordinator.core import Registration
from exchange.coordinator.errors import CoordinatorUnreachable, RegistrationRefused
from exchange.coordinator.registrar import Registrar
from exchange.engine.effects import Refused
from exchange.process.addresses import parse_address
from exchange.process.certificates import fingerprint
from exchange.process.files import write_file
from exchange.process.tls import (
    CA_CERTIFICATE,
    CERTIFICATE,
    COORDINATOR,
    DIRECTORY,
    KEY,
    Trust,
    connect,
    node_name,
    stranger,
    visitor,
)
from exchange.wire.coordinator_lines import ANSWER_BYTES_MAX, ErrorAnswer, error_answer
from exchange.wire.lines import REQUEST_BYTES_MAX

JOIN_S_MAX = 15.0
Text = Annotated[str, msgspec.Meta(max_length=256)]
Now = Callable[[], datetime.datetime]


class AskAuthority(msgspec.Struct, frozen=True, tag_field="type", tag="ca.get"):
    """Anybody may know the authority: it is on every certificate."""


class Join(msgspec.Struct, frozen=True, tag_field="type", tag="node.join"):
    nonce: Annotated[bytes, msgspec.Meta(max_length=64)]
    addr: Text
    request: Annotated[str, msgspec.Meta(max_length=8_192)]  # PEM
    token: Text = ""


class TheAuthority(msgspec.Struct, frozen=True, tag_field="type", tag="authority"):
    value: str


class TheCertificate(msgspec.Struct, frozen=True, tag_field="type", tag="certificate"):
    value: str


_ASKED: msgspec.json.Decoder[AskAuthority | Join] = msgspec.json.Decoder(AskAuthority | Join)
_ANSWER: msgspec.json.Decoder[TheAuthority | TheCertificate | ErrorAnswer] = msgspec.json.Decoder(
    TheAuthority | TheCertificate | ErrorAnswer
)
_MARKS = (b'"ca.get"', b'"node.join"')


def is_joining(line: bytes) -> bool:
    """Tell whether a first line may be one of this module."""
    return any(mark in line for mark in _MARKS)


async def answer_joining(
    line: bytes, authority: Authority, registrar: Registrar, *, caller: str, now: Now
) -> bytes | None:
    """Answer a first line; None if it is not one of this module after all.

    `caller` is the name in the certificate that the caller has shown, empty if none.
    """
    try:
        asked = _ASKED.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    if isinstance(asked, AskAuthority):
        return _line(TheAuthority(authority.certificate.decode()))
    try:
        return _line(await _certified(asked, authority, registrar, caller=caller, now=now))
    except BadJoin as error:
        return _line(error_answer("join_refused", str(error)))


async def _certified(
    asked: Join, authority: Authority, registrar: Registrar, *, caller: str, now: Now
) -> TheCertificate:
    hosts = [parse_address(asked.addr).host]
    request = asked.request.encode()
    if asked.token:
        invited = authority.redeem(asked.token, now=now())
        name = node_name(invited) if invited else await _named(asked, registrar)
    elif caller.startswith("node-"):
        name = caller
    else:
        raise BadJoin("a new node needs a join token; `exchange-coordinator token` makes one")
    return TheCertificate(authority.sign(request, name, hosts, now=now()).decode())


async def _named(asked: Join, registrar: Registrar) -> str:
    """Give the nonce its node id, the same whenever it asks, until it has started.

    Nonces are known to all nodes, so that of a node that lives proves nothing.
    """
    if any(e.nonce == asked.nonce and e.has_started for e in await registrar.nodes()):
        raise BadJoin("this node has its certificate; `token --node ID` makes a token for it")
    decision = await registrar.register(Registration(asked.nonce, asked.addr))
    if isinstance(decision, Refused):
        raise BadJoin(decision.detail)
    return node_name(decision.node_id)


async def join(
    data_dir: Path,
    *,
    coordinator: str,
    nonce: bytes,
    address: str,
    token: str,
) -> Trust:
    """Get a certificate for a new node; its files are whole before anyone relies on them.

    Raises CoordinatorUnreachable, or RegistrationRefused.
    """
    directory = data_dir / DIRECTORY
    told = await _ask(coordinator, stranger(), AskAuthority(), name="")
    pin = token.partition(".")[0]
    if not isinstance(told, TheAuthority):
        raise _refused(told)
    text = told.value.encode()
    if not hmac.compare_digest(fingerprint(text).encode(), pin.encode()):
        detail = f"{coordinator} is not the coordinator of this join token; check both"
        raise RegistrationRefused("wrong_authority", detail)
    write_file(directory / CA_CERTIFICATE, text)
    context = visitor(directory / CA_CERTIFICATE)
    key, request = new_request()
    certificate = await _certificate(
        coordinator, context, Join(nonce, address, request.decode(), token)
    )
    write_file(directory / KEY, key)
    write_file(directory / CERTIFICATE, certificate)
    return Trust.of_node(data_dir)


async def renew(data_dir: Path, trust: Trust, *, coordinator: str, address: str) -> None:
    """Get the same name again for another 90 days.

    The key stays: one file is replaced, so that key and certificate fit whenever this is killed.
    Raises CoordinatorUnreachable or RegistrationRefused, or OSError.
    """
    directory = data_dir / DIRECTORY
    request = request_of((directory / KEY).read_bytes())
    asked = Join(b"", address, request.decode())
    write_file(directory / CERTIFICATE, await _certificate(coordinator, trust.client, asked))
    trust.reload()


async def _certificate(coordinator: str, context: ssl.SSLContext, asked: Join) -> bytes:
    told = await _ask(coordinator, context, asked)
    if not isinstance(told, TheCertificate):
        raise _refused(told)
    return told.value.encode()


async def _ask(
    coordinator: str,
    context: ssl.SSLContext,
    message: AskAuthority | Join,
    *,
    name: str = COORDINATOR,
) -> TheAuthority | TheCertificate | ErrorAnswer:
    parsed = parse_address(coordinator)
    try:
        with trio.fail_after(JOIN_S_MAX):
            stream = await connect(parsed, context, name=name)
            connection = Connection(stream, line_bytes_max=ANSWER_BYTES_MAX)
            try:
                await connection.send(_line(message))
                lines = await connection.read()
            finally:
                await connection.close()
        return _ANSWER.decode(lines[0])
    except (OSError, trio.TooSlowError, ConnectionLost, IndexError, msgspec.MsgspecError) as error:
        raise CoordinatorUnreachable(coordinator, f"no answer over TLS: {error}") from error


def _refused(told: object) -> RegistrationRefused:
    detail = told.value.detail if isinstance(told, ErrorAnswer) else "an answer to something else"
    return RegistrationRefused("join_refused", detail)


def _line(message: msgspec.Struct) -> bytes:
    return msgspec.json.encode(message) + b"\n"


assert REQUEST_BYTES_MAX > 8_192 + 3 * 256, "a request for a certificate fits into a line"
