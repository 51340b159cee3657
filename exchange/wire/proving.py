"""The lines by which the processes of a cluster know each other where there is no TLS.

    caller   {"type":"prove","nonce":"..."}
    server   {"type":"proof","nonce":"...","proof":"...","file":"/.../cluster.secret"}
    caller   {"type":"proof","proof":"..."}           and its own first line behind it

Bytes are base64.  How a proof is made: `coordinator.secret`.
"""

from typing import Annotated

import msgspec

from exchange.wire.coordinator_lines import ErrorAnswer
from exchange.wire.errors import RemoteProtocolError

NONCE_SIZE = 32  # bytes
PROOF_SIZE = 32  # bytes
PROOF_LINE_MAX = 1 << 14  # bytes: a path of 4,096 characters, escaped
_MARK = b'"prove"'

Nonce = Annotated[bytes, msgspec.Meta(max_length=NONCE_SIZE)]
Digest = Annotated[bytes, msgspec.Meta(max_length=PROOF_SIZE)]


class Prove(msgspec.Struct, frozen=True, tag_field="type", tag="prove"):
    """Show that you know the cluster's secret; then I shall."""

    nonce: Nonce


class SecretProof(msgspec.Struct, frozen=True, tag_field="type", tag="proof", omit_defaults=True):
    """That its sender knows the secret.  A server says where on this machine the secret lies."""

    proof: Digest
    nonce: Nonce = b""
    file: Annotated[str, msgspec.Meta(max_length=4_096)] = ""


_ENCODER = msgspec.json.Encoder()
_PROVE = msgspec.json.Decoder(Prove)
_PROOF: msgspec.json.Decoder[SecretProof | ErrorAnswer] = msgspec.json.Decoder(
    SecretProof | ErrorAnswer
)


def encode_proving(message: Prove | SecretProof) -> bytes:
    """Write a message of this module as a line."""
    return _ENCODER.encode(message) + b"\n"


def read_prove(line: bytes) -> Prove | None:
    """Read a first line; None if it asks for no proof."""
    if _MARK not in line:
        return None
    try:
        return _PROVE.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def read_proof(line: bytes) -> SecretProof:
    """Read a proof; RemoteProtocolError if it is none, or with what the server has refused."""
    try:
        told = _PROOF.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RemoteProtocolError("malformed_proof", str(error)) from error
    if isinstance(told, ErrorAnswer):
        raise RemoteProtocolError(told.value.code, told.value.detail)
    return told
