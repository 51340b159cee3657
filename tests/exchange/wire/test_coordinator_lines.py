"""The lines between a node and the coordinator (C1, C2, C3), as the reference has them."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.instruments import plain_ticker
from exchange.wire import coordinator_lines as lines
from exchange.wire.errors import RemoteProtocolError

AAPL = lines.instrument_line(plain_ticker("AAPL"))
ERROR = lines.error_answer("draining", "the node is being stopped")


def test_new_node_registers_in_the_form_of_the_reference() -> None:
    """C1."""
    line = b'{"addr":"127.0.0.1:7400","state":null}'

    assert lines.decode_register(line) == lines.Register("127.0.0.1:7400", None)


def test_recovered_node_says_what_the_coordinator_is_rebuilt_from() -> None:
    """C2: id, accounts, and every node and instrument it knows."""
    line = b"""{"addr":"127.0.0.1:7400","state":{"id":3,"account_num":100},"nonce":"AAECAw==",
        "epoch":2,"boot_id":"/w==","peers":[{"id":1,"addr":"127.0.0.1:7410","nonce":""}]}"""

    assert lines.decode_register(line) == lines.Register(
        "127.0.0.1:7400",
        lines.NodeState(3, 100),
        b"\x00\x01\x02\x03",
        2,
        b"\xff",
        peers=[lines.KnownNode(1, "127.0.0.1:7410")],
    )


def test_registration_is_answered_in_the_form_of_the_reference() -> None:
    """C1."""
    answer = lines.Registered(3, [lines.KnownNode(1, "127.0.0.1:7410")], "c", [AAPL])

    line = lines.encode_line(answer)

    value = json.loads(line)
    assert value["id"] == 3
    assert value["others"][0]["id"] == 1
    assert value["others"][0]["addr"] == "127.0.0.1:7410"
    assert value["instruments"][0]["symbol"] == "AAPL"
    assert lines.decode_registered(line) == answer


def test_refused_registration_is_an_error() -> None:
    """C3: the same epoch with another boot id is refused."""
    assert lines.decode_registered(lines.encode_line(ERROR)) == ERROR


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"type":"joined","id":3,"addr":"h:1"}', lines.Joined(3, "h:1")),
        (b'{"type":"C account","user_id":"3-17"}', lines.CreateAccount("3-17")),
        (lines.encode_line(lines.Listed(AAPL)), lines.Listed(AAPL)),
        (lines.encode_line(lines.InstrumentAnswer(1, AAPL)), lines.InstrumentAnswer(1, AAPL)),
        (lines.encode_line(ERROR), ERROR),
    ],
)
def test_message_of_the_coordinator_reads_back(line: bytes, message: object) -> None:
    """C1, C5: joined, accounts and listings."""
    assert lines.decode_from_coordinator(line) == message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'"ok"', "ok"),
        (b'"3-17"', "3-17"),
        (
            b'{"type":"instrument.ensure","id":1,"value":{"symbol":"AAPL"}}',
            lines.EnsureInstrument(1, lines.EnsureValue("AAPL")),
        ),
        (lines.encode_line(ERROR), ERROR),
    ],
)
def test_message_of_a_node_reads_back(line: bytes, message: object) -> None:
    """C1."""
    assert lines.decode_from_node(line) == message


def test_instrument_keeps_all_it_has() -> None:
    """M2."""
    assert AAPL.instrument() == plain_ticker("AAPL")


def test_error_without_an_id_has_none_on_the_line() -> None:
    """Interfaces section 1: exactly code, title and detail."""
    assert json.loads(lines.encode_line(ERROR)) == {
        "type": "error",
        "value": {
            "code": "draining",
            "title": "Draining",
            "detail": "the node is being stopped",
        },
    }


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_remote_protocol_errors(line: bytes) -> None:
    """Faults 3."""
    for decode in (
        lines.decode_register,
        lines.decode_registered,
        lines.decode_from_coordinator,
        lines.decode_from_node,
    ):
        with suppress(RemoteProtocolError):
            decode(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"addr":"h:1","state":{"id":0,"account_num":1}}',
        b'{"addr":"h:1","state":{"id":1,"account_num":-1}}',
        b'{"addr":"h:1","state":{"id":1180591620717411303424,"account_num":1}}',
        b'{"addr":"h:1","state":null,"epoch":1180591620717411303424}',
        b'{"addr":"' + b"x" * 301 + b'","state":null}',
    ],
)
def test_number_or_text_out_of_bounds_is_refused(line: bytes) -> None:
    """Faults 3."""
    with pytest.raises(RemoteProtocolError):
        lines.decode_register(line)
