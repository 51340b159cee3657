"""What the requests of all servers share: their outer form, and how a bad one is named.

    {"type": verb, "value": ...}                                a verb of the reference
    {"id": scalar, "type": verb, "value": ..., "wait", "auth"}  a richer verb

`id` is echoed as it was received, byte for byte.
"""

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from exchange.wire.choices import with_choices
from exchange.wire.errors import RequestError

ID_BYTES_MAX = 256  # it is echoed with every answer
KEY_MAX = 256  # characters of an API key
Decoded = TypeVar("Decoded")


class Form(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="",
):
    """Any request: its verb is its tag."""


class Rich(Form, frozen=True, kw_only=True, gc=False, tag=""):
    """A richer verb.  `id` is empty if there is none."""

    id: msgspec.Raw = msgspec.Raw()
    wait: Literal["done"] | None = None
    auth: Annotated[str, msgspec.Meta(max_length=KEY_MAX)] | None = None


class _Head(msgspec.Struct, frozen=True):
    """As much as can be told of a request that did not decode."""

    type: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()


_HEAD = msgspec.json.Decoder(_Head)
_TEXT = msgspec.json.Decoder(str)
_BAD_VERB = re.compile(r"\AInvalid value .* - at `\$\.type`\Z", re.DOTALL)


def decode_text(line: bytes) -> str:
    """Read a bare string; RequestError if it is not one."""
    try:
        return _TEXT.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RequestError("malformed_json", _told(error)) from error


_FIRST_ID = re.compile(rb'\A\s*\{\s*"id"\s*:\s*(-?(?:0|[1-9][0-9]{0,18})|"[ !#-\[\]-~]{0,64}")\s*,')


def decode_object(decoder: msgspec.json.Decoder[Decoded], line: bytes) -> Decoded:
    """Read a request; RequestError names what is wrong and carries the request's id."""
    try:
        request = decoder.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _explained(error, line, decoder.type) from error
    if isinstance(request, Rich):
        _check_id(request.id)
    return request


def _check_id(raw: msgspec.Raw) -> None:
    text = bytes(raw)
    if text[:1] in (b"{", b"[") or len(text) > ID_BYTES_MAX or not _is_utf8(text):
        detail = f"id is a string, number, boolean or null of up to {ID_BYTES_MAX} bytes"
        raise RequestError("invalid_value", detail)


def _is_utf8(text: bytes) -> bool:
    """Tell whether an id can be echoed; the decoder skips over what it only keeps."""
    try:
        return text.isascii() or bool(text.decode())
    except UnicodeDecodeError:
        return False


def _explained(
    error: msgspec.MsgspecError | RecursionError | UnicodeDecodeError,
    line: bytes,
    kind: Any,  # noqa: ANN401 - the type that was read
) -> RequestError:
    verb, request_id = _head(line)
    told = with_choices(_told(error), kind, verb=verb)
    if not isinstance(error, msgspec.ValidationError):
        return RequestError("malformed_json", told, request_id)
    if _BAD_VERB.match(told):
        return RequestError("unknown_verb", f"there is no request of type {verb!r}", request_id)
    if "missing required field" in told:
        return RequestError("missing_field", told, request_id)
    if "unknown field" in told:
        return RequestError("unknown_field", told, request_id)
    return RequestError("invalid_value", told, request_id)


def _head(line: bytes) -> tuple[str, bytes]:
    """Return verb and id of a request that is JSON but not valid."""
    try:
        head = _HEAD.decode(line)
        _check_id(head.id)
        verb = _TEXT.decode(head.type) if bytes(head.type)[:1] == b'"' else ""
        return verb, bytes(head.id)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, RequestError):
        first = _FIRST_ID.match(line)  # JSON that no decoder takes: half a surrogate pair, NaN
        return "", first[1] if first else b""


def _told(error: Exception) -> str:
    """Return what the decoder says, without Python's own words."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return str(error)
