"""What clients ask of a coordinator, and how it is answered (interfaces section 1).

line                                   | answer
---------------------------------------+----------------------------------------------
"C account", "C Account"               | "<user id>"
"<user id>"                            | "<host>:<port>"
{"id","type":"account.create"}         | {"id","type":"account","value"}     operator
{"id","type":"cluster.get"}            | {"id","type":"cluster","value"}
{"id","type":"instrument.list"}        | {"id","type":"instruments","value"}
{"id","type":"instrument.create"}      | {"id","type":"instrument","value"}  operator
"bye"                                  | none, the connection is closed
"""

import msgspec

from exchange.domain.units import AccountId, parse_id
from exchange.wire.answers import rich_line
from exchange.wire.coordinator_lines import InstrumentLine
from exchange.wire.envelope import Rich, decode_object, decode_text
from exchange.wire.errors import RequestError
from exchange.wire.requests import BYE, Bye

OPEN_ACCOUNT = frozenset({"C account", "C Account"})


class NoValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value that says nothing."""


class AccountCreate(Rich, frozen=True, gc=False, tag="account.create"):
    value: NoValue | None = None


class ClusterGet(Rich, frozen=True, gc=False, tag="cluster.get"):
    value: NoValue | None = None


class InstrumentList(Rich, frozen=True, gc=False, tag="instrument.list"):
    value: NoValue | None = None


class InstrumentCreate(Rich, frozen=True, gc=False, tag="instrument.create", kw_only=True):
    value: InstrumentLine


class OpenAccount(msgspec.Struct, frozen=True):
    """The bare handshake that opens an account without authentication."""


class Locate(msgspec.Struct, frozen=True):
    account: AccountId


RichVerb = AccountCreate | ClusterGet | InstrumentList | InstrumentCreate
Verb = RichVerb | OpenAccount | Locate


class AccountValue(msgspec.Struct, frozen=True):
    user_id: str
    api_key: str


class NodeValue(msgspec.Struct, frozen=True):
    """A node as `cluster.get` shows it."""

    node_id: int
    tcp: str
    epoch: int
    accounts: int  # numbers given out so far
    is_connected: bool  # to the coordinator


class ClusterValue(msgspec.Struct, frozen=True):
    cluster: str
    is_authenticated: bool
    is_strict_listing: bool
    nodes: list[NodeValue]


class InstrumentsValue(msgspec.Struct, frozen=True):
    instruments: list[InstrumentLine]


Value = AccountValue | ClusterValue | InstrumentsValue | InstrumentLine
_TYPES: dict[type, str] = {
    AccountValue: "account",
    ClusterValue: "cluster",
    InstrumentsValue: "instruments",
    InstrumentLine: "instrument",
}
_VERB: msgspec.json.Decoder[RichVerb] = msgspec.json.Decoder(RichVerb)
_ENCODER = msgspec.json.Encoder()


def decode_verb(line: bytes) -> Verb | Bye:
    """Read one line of a client; RequestError if it is not a request."""
    if line.lstrip()[:1] != b'"':
        return decode_object(_VERB, line)
    text = decode_text(line)
    if text in OPEN_ACCOUNT:
        return OpenAccount()
    if text == BYE:
        return Bye()
    account = parse_id(text)
    if account is None:
        detail = 'expected "C account", or a user id such as "3-17": node 3, account 17'
        raise RequestError("unknown_account", detail)
    return Locate(AccountId(account))


def encode_text(text: str) -> bytes:
    """Write the bare answer of a handshake."""
    return _ENCODER.encode(text) + b"\n"


def encode_answer(request_id: bytes, value: Value) -> bytes:
    """Write an answer; `request_id` is echoed byte for byte, and left out if empty."""
    return rich_line(_TYPES[type(value)], _ENCODER.encode(value), request_id)
