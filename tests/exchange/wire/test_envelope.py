"""The outer form of a request, and how a bad one is named (interfaces section 1)."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.wire.envelope import ID_BYTES_MAX, Rich, decode_object, decode_text
from exchange.wire.errors import RequestError


class Ping(Rich, frozen=True, tag="ping"):
    value: int = 0


class Ring(Rich, frozen=True, tag="ring"):
    value: int


VERBS: msgspec.json.Decoder[Ping | Ring] = msgspec.json.Decoder(Ping | Ring)


def decoded(line: bytes) -> Ping | Ring:
    return decode_object(VERBS, line)


@pytest.mark.parametrize(
    "scalar",
    [
        b"7",
        b'"a\\u00e9"',
        '"é"'.encode(),
        b"null",
        b"true",
        b"-1.50",
        b"1e999",
        b"12345678901234567890123",
    ],
)
def test_id_is_echoed_byte_for_byte(scalar: bytes) -> None:
    """Interfaces section 1: `id` is any JSON scalar."""
    assert bytes(decoded(b'{"type":"ping","id": ' + scalar + b" }").id) == scalar


@pytest.mark.parametrize("bad", [b"[1]", b"{}", b'"\xff"', b'"' + b"x" * ID_BYTES_MAX + b'"'])
def test_id_that_is_no_scalar_or_too_long_is_refused(bad: bytes) -> None:
    with pytest.raises(RequestError, match="invalid_value: id is"):
        decoded(b'{"type":"ping","id":' + bad + b"}")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b'{"type":"ping"} {}', "malformed_json"),
        (b'{"type":"ping","value":NaN}', "malformed_json"),
        (b'{"a":' * 100_000, "malformed_json"),
        (b"[" * 100_000, "invalid_value"),
        (b'{"type":"ping","id":' + b"[" * 30_000 + b"]" * 30_000 + b"}", "malformed_json"),
        (b'{"type":"\xff"}', "malformed_json"),
        (b"7", "invalid_value"),
        (b"[]", "invalid_value"),
        (b'{"type":7}', "invalid_value"),
        (b'{"type":"ping","value":"x"}', "invalid_value"),
        (b'{"type":"ping","wait":"later"}', "invalid_value"),
        (b"{}", "missing_field"),
        (b'{"type":"ping","other":1}', "unknown_field"),
        (b'{"type":"pung"}', "unknown_verb"),
    ],
)
def test_bad_request_is_named(line: bytes, code: str) -> None:
    """Faults 3."""
    with pytest.raises(RequestError) as raised:
        decoded(line)

    assert raised.value.code == code


def test_error_carries_the_id_of_the_request() -> None:
    """Interfaces section 1."""
    with pytest.raises(RequestError) as raised:
        decoded(b'{"id":"x-1","type":"ping","value":{}}')

    assert raised.value.request_id == b'"x-1"'


@pytest.mark.parametrize(
    ("line", "request_id"),
    [
        (b'{"id":7,"type":"ping","value":"\\ud800"}', b"7"),
        (b'{"id":"x-1","type":"ping","value":NaN}', b'"x-1"'),
        (b'{"id":"\\ud800","type":"ping"}', b""),
        (b'{"id":[7],"type":"ping","value":NaN}', b""),
        (b'{"id":7}x', b""),
    ],
)
def test_malformed_line_is_answered_by_its_id_where_that_can_be_read(
    line: bytes, request_id: bytes
) -> None:
    """Interfaces section 1: half a surrogate pair in a value is no reason to lose the id."""
    with pytest.raises(RequestError) as raised:
        decoded(line)

    assert raised.value.request_id == request_id


def test_error_never_echoes_a_whole_request() -> None:
    """Faults 3: an unknown field may be 64 KiB long."""
    with pytest.raises(RequestError) as raised:
        decoded(b'{"type":"ping","' + b"x" * 60_000 + b'":1}')

    assert len(raised.value.detail) <= 300


def test_duplicate_key_is_taken_by_its_last_value() -> None:
    """Faults 3."""
    assert decoded(b'{"type":"ping","value":1,"value":2}').value == 2


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_request_errors(line: bytes) -> None:
    """Faults 3."""
    for decode in (decoded, decode_text):
        with suppress(RequestError):
            decode(line)
