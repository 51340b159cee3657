"""The lines between a node and the coordinator (C1, C2, C3), both directions.

    node -> coordinator                      | answer
    -----------------------------------------+---------------------------------------------
    {"addr", "state", ...}   first line      | {"id", "others", "cluster", "instruments"}
    "ok"                     after that      | none: the node is ready to be dialed
    {"type":"instrument.ensure","id","value"}| {"type":"instrument","id","value"} or an error

    coordinator -> node                      | answer
    -----------------------------------------+---------------------------------------------
    {"type":"joined", "id", "addr", ...}     | "ok"
    {"type":"C account", "user_id", ...}     | "<user id>" or an error
    {"type":"listed", "value": {...}}        | "ok"
    {"type":"heartbeat"}                     | "ok"

Requests of one side are answered in order; requests and answers of both sides share the
connection and are told apart by their form: bare strings answer the coordinator, objects of
type `instrument` answer the node.  An error without an `id` answers the coordinator, one
with an `id` answers the node.
"""

from typing import Annotated, TypeVar

import msgspec

from exchange.domain.instruments import DECIMALS_MAX, Instrument
from exchange.domain.units import NODE_MAX, NUMBER_MAX, Asset, Symbol
from exchange.wire.errors import DETAIL_MAX, RemoteProtocolError, title_of

REGISTRATION_BYTES_MAX = 1 << 22  # 8,191 known peers of about 100 bytes, and room
ANSWER_BYTES_MAX = 1 << 23  # 10**4 instruments and 8,191 nodes of about 200 bytes, and room
NodeNumber = Annotated[int, msgspec.Meta(ge=1, le=NODE_MAX)]
AccountNumber = Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]
EpochNumber = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Address = Annotated[str, msgspec.Meta(max_length=300)]  # a DNS name is up to 253 characters
Name = Annotated[str, msgspec.Meta(max_length=64)]
Nonce = Annotated[bytes, msgspec.Meta(max_length=64)]
Decimals = Annotated[int, msgspec.Meta(ge=0, le=DECIMALS_MAX)]


class InstrumentLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An instrument with its names, as `instrument.create` takes and `instrument.list` gives it."""

    symbol: Annotated[str, msgspec.Meta(max_length=40)]
    base: Annotated[str, msgspec.Meta(max_length=40)]
    quote: Annotated[str, msgspec.Meta(max_length=40)]
    tick_size: Annotated[str, msgspec.Meta(max_length=40)]
    lot_size: Annotated[str, msgspec.Meta(max_length=40)]
    base_decimals: Decimals
    quote_decimals: Decimals

    def instrument(self) -> Instrument:
        """Return the instrument; not checked yet (`check_instrument`)."""
        return Instrument(
            Symbol(self.symbol),
            Asset(self.base),
            Asset(self.quote),
            self.tick_size,
            self.lot_size,
            self.base_decimals,
            self.quote_decimals,
        )


def instrument_line(instrument: Instrument) -> InstrumentLine:
    """Write an instrument with its names."""
    return InstrumentLine(
        instrument.symbol,
        instrument.base,
        instrument.quote,
        instrument.tick_size,
        instrument.lot_size,
        instrument.base_decimals,
        instrument.quote_decimals,
    )


class NodeState(msgspec.Struct, frozen=True):
    """What a recovered node says of itself."""

    id: NodeNumber
    account_num: AccountNumber  # the highest account number opened there, 0 if none


class KnownNode(msgspec.Struct, frozen=True):
    """A node as another one knows it: enough to rebuild the coordinator from (C2)."""

    id: NodeNumber
    addr: Address
    nonce: Nonce = b""


class Register(msgspec.Struct, frozen=True):
    """The first line of a node.  `state` is null before it has an id.

    A new node that asks again with the same nonce gets the same id: the first answer was
    lost, or the node was killed before it had stored it.
    """

    addr: Address
    state: NodeState | None
    nonce: Nonce = b""
    epoch: EpochNumber = 0  # 0 before the first boot
    boot_id: Nonce = b""
    cluster: Name = ""  # empty: whichever the coordinator has
    peers: list[KnownNode] = []
    instruments: list[InstrumentLine] = []  # so that a lost coordinator learns them again (C2)


class Registered(msgspec.Struct, frozen=True):
    """The answer to `Register`.  `id` is null for a recovered node, as in the reference."""

    id: NodeNumber | None
    others: list[KnownNode]
    cluster: Name = ""
    instruments: list[InstrumentLine] = []
    operator_key_hash: Nonce = b""  # every node of a cluster accepts the same operator key


class Joined(msgspec.Struct, frozen=True, tag_field="type", tag="joined"):
    """A node is new, or has come back, perhaps at another address (C5)."""

    id: NodeNumber
    addr: Address
    nonce: Nonce = b""


class CreateAccount(msgspec.Struct, frozen=True, tag_field="type", tag="C account"):
    """Open this account.  Asked again after a lost answer it is simply answered again (C1)."""

    user_id: Annotated[str, msgspec.Meta(max_length=40)]
    key_hash: Nonce = b""


class Listed(msgspec.Struct, frozen=True, tag_field="type", tag="listed"):
    """An instrument is listed in the cluster."""

    value: InstrumentLine


class Heartbeat(msgspec.Struct, frozen=True, tag_field="type", tag="heartbeat"):
    """Are you there?  A node that does not answer gets no new accounts."""


CoordinatorRequest = Joined | CreateAccount | Listed | Heartbeat


class EnsureValue(msgspec.Struct, frozen=True):
    symbol: Annotated[str, msgspec.Meta(max_length=40)]


class EnsureInstrument(msgspec.Struct, frozen=True, tag_field="type", tag="instrument.ensure"):
    """List the plain ticker if it is not listed yet (M2).  Answer: InstrumentAnswer."""

    id: EpochNumber
    value: EnsureValue


class InstrumentAnswer(msgspec.Struct, frozen=True, tag_field="type", tag="instrument"):
    id: EpochNumber
    value: InstrumentLine


class ErrorValue(msgspec.Struct, frozen=True):
    code: str
    title: str
    detail: str


class ErrorAnswer(msgspec.Struct, frozen=True, tag_field="type", tag="error", omit_defaults=True):
    value: ErrorValue
    id: EpochNumber | None = None


FromCoordinator = CoordinatorRequest | InstrumentAnswer | ErrorAnswer
FromNode = EnsureInstrument | ErrorAnswer | str  # after Register; a string is "ok" or a user id

_ENCODER = msgspec.json.Encoder()
_REGISTER = msgspec.json.Decoder(Register)
_REGISTERED = msgspec.json.Decoder(Registered)
_ERROR = msgspec.json.Decoder(ErrorAnswer)
_FROM_COORDINATOR: msgspec.json.Decoder[FromCoordinator] = msgspec.json.Decoder(FromCoordinator)
_FROM_NODE: msgspec.json.Decoder[FromNode] = msgspec.json.Decoder(FromNode)
Decoded = TypeVar("Decoded")


def encode_line(message: Register | Registered | FromCoordinator | FromNode) -> bytes:
    """Write any message of this module as a line."""
    return _ENCODER.encode(message) + b"\n"


def error_answer(code: str, detail: str, request_id: int | None = None) -> ErrorAnswer:
    """Return the answer to a request that is refused."""
    return ErrorAnswer(ErrorValue(code, title_of(code), detail[:DETAIL_MAX]), request_id)


def decode_register(line: bytes) -> Register:
    """Read the first line of a node; RemoteProtocolError if it is not one."""
    return _decode(_REGISTER, line)


def decode_registered(line: bytes) -> Registered | ErrorAnswer:
    """Read the answer to the first line; RemoteProtocolError if it is not one."""
    try:
        return _decode(_REGISTERED, line)
    except RemoteProtocolError:
        return _decode(_ERROR, line)


def decode_from_coordinator(line: bytes) -> FromCoordinator:
    """Read a request or answer of the coordinator; RemoteProtocolError if it is neither."""
    return _decode(_FROM_COORDINATOR, line)


def decode_from_node(line: bytes) -> FromNode:
    """Read a later line of a node; RemoteProtocolError if it is not one."""
    return _decode(_FROM_NODE, line)


def _decode(decoder: msgspec.json.Decoder[Decoded], line: bytes) -> Decoded:
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RemoteProtocolError("malformed_message", str(error)) from error
