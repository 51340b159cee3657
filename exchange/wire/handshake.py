"""The first line of a connection to a node: it tells clients and peers apart.

"3-17"                                      a client, without authentication
{"user_id":"3-17","api_key":"..."}          a client
{"type":"node","node_id":1,...}             another node (`wire.peers`)
{"id":1,"type":"node.status",...}           a request before any hello: the shell decides
                                            whether it is public or brings its own `auth`
"""

from typing import Annotated

import msgspec

from exchange.domain.units import AccountId, parse_id
from exchange.wire.envelope import KEY_MAX, decode_text
from exchange.wire.errors import RequestError
from exchange.wire.peers import NodeHello, decode_hello
from exchange.wire.requests import BYE, Bye, Request, decode_request


class ClientHello(msgspec.Struct, frozen=True):
    """A client names its account; whether it may is the shell's to check."""

    account: AccountId
    api_key: str | None = None


class _Hello(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user_id: Annotated[str, msgspec.Meta(max_length=64)]
    api_key: Annotated[str, msgspec.Meta(max_length=KEY_MAX)] | None = None


class _Kind(msgspec.Struct, frozen=True):
    type: msgspec.Raw = msgspec.Raw()
    user_id: msgspec.Raw = msgspec.Raw()


_HELLO = msgspec.json.Decoder(_Hello)
_KIND = msgspec.json.Decoder(_Kind)
FirstLine = ClientHello | NodeHello | Request | Bye


def first_line(line: bytes) -> FirstLine:
    """Read the first line of a connection.

    RequestError if it is none of the four; RemoteProtocolError if it is a bad node's.
    """
    if line.lstrip()[:1] == b'"':
        text = decode_text(line)
        return Bye() if text == BYE else ClientHello(_account(text))
    try:
        kind = _KIND.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return decode_request(line)  # says better what is wrong
    if bytes(kind.type) == b'"node"':
        return decode_hello(line)
    if bytes(kind.user_id) and not bytes(kind.type):
        return _client_hello(line)
    return decode_request(line)


def _client_hello(line: bytes) -> ClientHello:
    try:
        hello = _HELLO.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RequestError("invalid_handshake", str(error)) from error
    return ClientHello(_account(hello.user_id), hello.api_key)


def _account(text: str) -> AccountId:
    account = parse_id(text)
    if account is None:
        raise RequestError("unknown_account", 'a user id looks like "3-17": node 3, account 17')
    return AccountId(account)


__all__ = ["ClientHello", "FirstLine", "NodeHello", "first_line"]
