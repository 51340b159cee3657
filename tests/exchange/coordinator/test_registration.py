"""A registration is the same at both ends of the connection."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.coordinator import registration
from exchange.coordinator.core import KnownNode, Registration
from exchange.coordinator.registry import NodeEntry
from exchange.domain.instruments import plain_ticker
from exchange.domain.units import Epoch, NodeId
from exchange.wire.coordinator_lines import (
    InstrumentLine,
    Registered,
    decode_register,
    decode_registered,
    instrument_line,
)
from exchange.wire.errors import RemoteProtocolError

AAPL = plain_ticker("AAPL")
OTHER = KnownNode(NodeId(2), b"n" * 16, "127.0.0.1:7002")
registrations = st.builds(
    Registration,
    nonce=st.binary(min_size=16, max_size=16),
    address=st.sampled_from(["127.0.0.1:7400", "[::1]:1"]),
    node_id=st.integers(1, 8191).map(NodeId),
    account_number=st.integers(0, 1 << 49),
    epoch=st.integers(1, 1 << 40).map(Epoch),
    boot_id=st.binary(max_size=8),
    cluster=st.text("0123456789abcdef", max_size=32),
    nodes=st.sampled_from([(), (OTHER,)]),
    instruments=st.sampled_from([(), (AAPL,)]),
)


@given(registrations)
def test_registration_arrives_as_it_was_sent(asked: Registration) -> None:
    """C2."""
    line = registration.register_line(asked).rstrip()

    assert registration.is_registration(line)
    assert registration.registration_of(decode_register(line)) == asked


def test_new_node_has_no_state() -> None:
    """C2: `"state": null`, as in the reference."""
    line = registration.register_line(Registration(b"n" * 16, "127.0.0.1:1"))

    assert msgspec.json.decode(line)["state"] is None
    assert registration.registration_of(decode_register(line)).node_id is None


def test_answer_arrives_as_it_was_sent() -> None:
    """C2, C5."""
    entry = NodeEntry(OTHER.node_id, OTHER.nonce, OTHER.address, Epoch(1), b"", 0, True)
    line = registration.registered_line(NodeId(1), "c", [entry], [AAPL], b"hash")
    told = decode_registered(line)

    assert isinstance(told, Registered)
    assert (told.id, told.cluster, told.operator_key_hash) == (1, "c", b"hash")
    assert registration.known_nodes(told) == [OTHER]
    assert registration.listed_instruments(told) == [AAPL]


@pytest.mark.parametrize(
    "line",
    [
        b'"C account"',
        b'{"type":"account.create"}',
        b'{"addr":"a","type":"x"}',
        b"",
        b"[1]",
        b"\xff",
    ],
)
def test_clients_are_told_apart_by_their_first_line(line: bytes) -> None:
    """C2."""
    assert not registration.is_registration(line)


def test_impossible_instrument_of_a_coordinator_is_its_fault() -> None:
    """M2: it must never reach the engine."""
    bad = msgspec.convert(
        {**msgspec.to_builtins(instrument_line(AAPL)), "tick_size": "0.0001"}, InstrumentLine
    )

    with pytest.raises(RemoteProtocolError, match="tick x lot"):
        registration.instrument_of(bad)
