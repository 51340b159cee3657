"""The lines of a link between two nodes: its first line, then batches.

    {"type":"node","node_id":1,"cluster":"...","to":3}      from the node that dials (S6)
    {"type":"node","node_id":3,...,"address":"..."}         a knock: the higher id asks to be dialed
    {"type":"batch","session":[...],"clock":...,"proof":[...],"messages":[...],"sender":1}

Messages are arrays, their tag first (`engine.messages`); bytes are base64.  A batch longer
than a line may be is sent as several: each says the same clock and proof, messages stay in
order, and the receiver cannot tell the difference.
"""

import re
from typing import Annotated

import msgspec

from exchange.domain.units import NODE_MAX
from exchange.engine.bounds import MESSAGES_MAX
from exchange.engine.messages import Batch
from exchange.wire.coordinator_lines import ErrorAnswer
from exchange.wire.errors import RemoteProtocolError

BATCH_BYTES_MAX = 1 << 20  # a message has up to 500 orders of 130 bytes; decoded in 30 ms
REFUSED = "refused"  # by a server that is not the peer
LINK_VERSION = 2  # rises with the shape of what is said: `tests/exchange/wire/test_version.py`
OTHER_VERSION = "other_version"

# Numbers of this exchange are never negative and fit 63 bits, but `int` would take any.
# The expression costs 1 us an event, the hints 0.05: they let through whatever is suspect.
_OUT_OF_RANGE = re.compile(rb"[,\[:]\s*(?:-|[0-9]{20})")
_DIGITS_TO_ZERO = bytes.maketrans(b"0123456789", b"0000000000")
_HINTS = (b",-", b"[-", b":-", b"0" * 20)


class NodeHello(msgspec.Struct, frozen=True, tag_field="type", tag="node"):
    """The first line of a node that dials another: tells it from a client."""

    node_id: Annotated[int, msgspec.Meta(ge=1, le=NODE_MAX)]
    cluster: Annotated[str, msgspec.Meta(max_length=64)]
    to: Annotated[int, msgspec.Meta(ge=1, le=NODE_MAX)]
    version: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] = LINK_VERSION
    address: Annotated[str, msgspec.Meta(max_length=300)] = ""  # where to dial who knocks (C5)


class _Head(msgspec.Struct, frozen=True):
    node_id: int
    version: int


_ENCODER = msgspec.json.Encoder()
_HEAD = msgspec.json.Decoder(_Head)
_BATCH = msgspec.json.Decoder(Batch)
_HELLO = msgspec.json.Decoder(NodeHello)
_ERROR = msgspec.json.Decoder(ErrorAnswer)


def encode_hello(hello: NodeHello) -> bytes:
    """Write the first line of a link."""
    return _ENCODER.encode(hello) + b"\n"


def decode_hello(line: bytes) -> NodeHello:
    """Read the first line of a link; RemoteProtocolError if it is not one."""
    try:
        return _HELLO.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        check_version(*_head(line))
        raise RemoteProtocolError("malformed_hello", str(error)) from error


def check_version(node_id: int, version: int) -> None:
    """Raise RemoteProtocolError if a node speaks another version; before all else it says (S6)."""
    if version != LINK_VERSION:
        told = f"node {node_id} speaks link version {version}, this node {LINK_VERSION}"
        raise RemoteProtocolError(OTHER_VERSION, f"{told}: upgrade the one that is behind")


def _head(line: bytes) -> tuple[int, int]:
    """Read out of a first line what every version has; ours if it has none."""
    try:
        head = _HEAD.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return 0, LINK_VERSION
    return head.node_id, head.version


def encode_batch(batch: Batch, bytes_max: int = BATCH_BYTES_MAX) -> bytes:
    """Write a batch as one line, or as several if one would be too long."""
    messages = batch.messages
    if len(messages) <= MESSAGES_MAX:
        line = _ENCODER.encode(batch)
        if len(line) <= bytes_max:
            return line + b"\n"
    assert len(messages) > 1, "a message fits a line"
    middle = len(messages) // 2
    halves = (messages[:middle], messages[middle:])
    return b"".join(
        encode_batch(msgspec.structs.replace(batch, messages=half), bytes_max) for half in halves
    )


def decode_batch(line: bytes) -> Batch:
    """Read a batch; RemoteProtocolError if it is malformed or a number is out of range."""
    if len(line) > BATCH_BYTES_MAX:
        raise RemoteProtocolError("line_too_long", f"a batch is at most {BATCH_BYTES_MAX} bytes")
    if _is_out_of_range(line):
        raise RemoteProtocolError("number_out_of_range", "a number is negative or above 64 bits")
    try:
        return _BATCH.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        told = _refusal_in(line)
        code = REFUSED if told else "malformed_batch"
        raise RemoteProtocolError(code, told or str(error)) from error


def _refusal_in(line: bytes) -> str:
    """Return what an error line says: a server that is not the peer answers with one."""
    try:
        value = _ERROR.decode(line).value
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return ""
    return f"{value.code}: {value.detail}"


def _is_out_of_range(line: bytes) -> bool:
    """Tell whether a number in the line is; in strings only a name made for it looks so."""
    digits = line.translate(_DIGITS_TO_ZERO, b" \t\r\n")
    return any(hint in digits for hint in _HINTS) and _OUT_OF_RANGE.search(line) is not None
