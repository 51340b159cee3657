"""The first line tells clients from peers (interfaces section 1)."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.units import AccountId, make_id
from exchange.wire.errors import RemoteProtocolError, RequestError
from exchange.wire.handshake import ClientHello, NodeHello, first_line
from exchange.wire.requests import Bye, NodeStatus

ACCOUNT = AccountId(make_id(3, 17))


@pytest.mark.parametrize(
    ("line", "hello"),
    [
        (b'"3-17"', ClientHello(ACCOUNT)),
        (b' "3-17"\r', ClientHello(ACCOUNT)),
        (b'{"user_id":"3-17","api_key":"secret"}', ClientHello(ACCOUNT, "secret")),
        (b'{"api_key":"secret","user_id":"3-17"}', ClientHello(ACCOUNT, "secret")),
        (b'{"user_id":"3-17"}', ClientHello(ACCOUNT)),
        (b'{"type":"node","node_id":1,"cluster":"c","to":3}', NodeHello(1, "c", 3)),
        (b'"bye"', Bye()),
    ],
)
def test_first_line_tells_who_is_there(line: bytes, hello: object) -> None:
    """Interfaces section 1."""
    assert first_line(line) == hello


def test_request_may_be_the_first_line() -> None:
    """A status page needs no account; the shell decides what is public."""
    assert isinstance(first_line(b'{"id":1,"type":"node.status"}'), NodeStatus)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'"3-17\\n"', "unknown_account"),
        (b'"three"', "unknown_account"),
        (b'"9999-1"', "unknown_account"),
        (b'"../../etc/passwd"', "unknown_account"),
        (b'{"user_id":"-1"}', "unknown_account"),
        (b'{"user_id":3}', "invalid_handshake"),
        (b'{"user_id":"3-17","password":"x"}', "invalid_handshake"),
        (b'{"user_id":"3-17","api_key":"' + b"x" * 1_000 + b'"}', "invalid_handshake"),
        (b"GET / HTTP/1.1", "malformed_json"),
        (b"\x16\x03\x01", "malformed_json"),
        (b"17", "invalid_value"),
        (b"{}", "missing_field"),
    ],
)
def test_stranger_is_told_what_is_wrong(line: bytes, code: str) -> None:
    """Faults 3: fails closed."""
    with pytest.raises(RequestError) as raised:
        first_line(line)

    assert raised.value.code == code


def test_bad_hello_of_a_node_is_the_fault_of_a_peer() -> None:
    """Faults 3."""
    with pytest.raises(RemoteProtocolError):
        first_line(b'{"type":"node","node_id":0}')


@given(st.binary(max_size=200) | st.text().map(lambda text: f'"{text}"'.encode()))
def test_arbitrary_first_line_raises_nothing_else(line: bytes) -> None:
    """Faults 3."""
    with suppress(RequestError, RemoteProtocolError):
        first_line(line)
