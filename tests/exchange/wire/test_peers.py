"""The lines of a link between nodes (B1, C3, S2, S6)."""

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.book import OrderEvent
from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import (
    AccountId,
    Clock,
    Epoch,
    Lots,
    NodeId,
    OrderId,
    Seq,
    Stamp,
    Symbol,
    Ticks,
    TradeId,
    make_id,
)
from exchange.engine import errors, messages
from exchange.engine.bounds import MESSAGES_MAX
from exchange.engine.messages import Batch, PeerMessage, Session
from exchange.engine.records import OfferId
from exchange.wire.errors import RemoteProtocolError
from exchange.wire.peers import (
    BATCH_BYTES_MAX,
    REFUSED,
    NodeHello,
    decode_batch,
    decode_hello,
    encode_batch,
    encode_hello,
)
from tests.support.proofs import a_proof

OFFER = OfferId(Epoch(2), Seq(7))
EPOCH = Epoch(2)
LARGEST = (1 << 63) - 1
EVENT = OrderEvent(
    OrderId(make_id(3, 9)),
    Symbol("BTC-USD"),
    Side.SELL,
    Ticks(1050),
    Lots(100),
    Stamp(LARGEST),
    1,
    AccountId(make_id(3, 17)),
)
MESSAGES: list[PeerMessage] = [
    messages.Hello(
        cluster="c",
        nonce=b"\x00\xff" * 8,
        epoch=EPOCH,
        boot_id=b"12345678",
        address="127.0.0.1:7400",
        last_offer=OFFER,
        mark=OFFER,
        watermark=OFFER,
        have=(EPOCH, Seq(5)),
        known=b"\xff" * 16,
        seen=a_proof(9),
    ),
    messages.Refusal("an old copy", a_proof(9)),
    messages.Refusal("another cluster", None),
    messages.Events(EPOCH, Seq(1), [EVENT, EVENT]),
    messages.SnapshotBegin(EPOCH, Seq(3)),
    messages.SnapshotChunk([EVENT]),
    messages.SnapshotEnd(EPOCH, Seq(3), 1, "0" * 32),
    messages.Resumed(EPOCH, Seq(3)),
    messages.Resync(),
    messages.Applied(EPOCH, Seq(3)),
    messages.Offer(
        OFFER,
        TradeId(make_id(1, 5)),
        OrderId(make_id(1, 4)),
        OrderId(make_id(3, 9)),
        Side.BUY,
        Lots(5),
        Ticks(1050),
        Stamp(2),
        Stamp(1),
    ),
    messages.Reply(OFFER, Lots(0)),
    messages.Ack(OFFER),
    messages.Heartbeat(EPOCH, Seq(3), 1, "12345678901234567890123456789012", OFFER),
    messages.Listed([plain_ticker("AAPL")]),
]


def batch(*said: PeerMessage) -> Batch:
    return Batch(Session(EPOCH, 1), Clock(5), a_proof(9), list(said), NodeId(1))


@given(st.lists(st.sampled_from(MESSAGES), max_size=20))
def test_batch_reads_back_as_it_was_written(said: list[PeerMessage]) -> None:
    """B1."""
    line = encode_batch(batch(*said))

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_batch(line[:-1]) == batch(*said)


def test_batch_carries_clock_and_proof_under_a_type_a_person_can_read() -> None:
    """S2, C3: every batch says the clock and the forced LSN with its digest."""
    line = json.loads(encode_batch(batch(messages.Ack(OFFER))))

    assert line == {
        "type": "batch",
        "session": [2, 1],
        "clock": 5,
        "proof": [9, "Li4uLi4uLi4uLi4uLi4uLg==", "YSBib290", "bW1tbW1tbW1tbW1tbW1tbQ=="],
        "messages": [["ack", [2, 7]]],
        "sender": 1,
        "wall": 0,
    }


@given(st.lists(st.sampled_from(MESSAGES), max_size=20))
def test_long_batch_is_sent_as_several_and_stays_in_order(said: list[PeerMessage]) -> None:
    """S6: inside a link everything is in order."""
    lines = encode_batch(batch(*said), bytes_max=600).splitlines()

    batches = [decode_batch(line) for line in lines]
    assert [message for each in batches for message in each.messages] == said
    assert all(msgspec.structs.replace(each, messages=[]) == batch() for each in batches)
    assert all(len(line) <= 600 for line in lines)


@pytest.mark.parametrize(
    "hurt",
    [
        lambda line: line.replace(b'"clock":5', b'"clock":-5'),
        lambda line: line.replace(b'"clock":5', b'"clock": -5'),
        lambda line: line.replace(b'"clock":5', b'"clock":1180591620717411303424'),
        lambda line: line.replace(b'"clock":5', b'"clock":1e400'),
        lambda line: line.replace(b'"clock":5', b'"clock":5.5'),
        lambda line: line.replace(b'"clock":5', b'"clock":' + b"9" * 4_000),
        lambda line: line.replace(b"[2,7]", b"[2,-7]"),
        lambda line: line.replace(b'"ack"', b'"nack"'),
        lambda line: line.replace(b'"batch"', b'"heap"'),
        lambda line: line.replace(b"Li4uLi4u", b"not base"),
        lambda line: line[:-5],
        lambda line: b'{"type":"batch","messages":' + b"[" * 100_000,
        lambda line: b"\xff",
        lambda line: b"",
    ],
)
def test_malformed_batch_is_a_remote_protocol_error(hurt: object) -> None:
    """Faults 3, B7: a peer that lies is dropped, the node keeps running."""
    assert callable(hurt)
    line = encode_batch(batch(messages.Ack(OFFER)))[:-1]

    with pytest.raises(errors.RemoteProtocolError):  # as the engine raises for what is inside
        decode_batch(hurt(line))


def test_digits_inside_a_string_are_no_number_out_of_range() -> None:
    """B4: a sum is 32 hexadecimal digits, sometimes all of them decimal."""
    said = messages.SnapshotEnd(EPOCH, Seq(3), 1, "1" * 32)

    assert decode_batch(encode_batch(batch(said))[:-1]).messages == [said]


def test_batch_of_more_messages_than_a_peer_takes_is_sent_as_several() -> None:
    """B7: what an honest node has to say is never beyond a bound."""
    said = [messages.Resync()] * (2 * MESSAGES_MAX + 1)
    lines = encode_batch(batch(*said)).splitlines()
    heard = [decode_batch(line).messages for line in lines]

    assert max(map(len, heard)) <= MESSAGES_MAX
    assert [one for part in heard for one in part] == said


def test_line_longer_than_a_batch_is_not_decoded() -> None:
    """Faults 3: limit before decoding."""
    with pytest.raises(RemoteProtocolError, match="line_too_long"):
        decode_batch(b" " * (BATCH_BYTES_MAX + 1))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_remote_protocol_errors(line: bytes) -> None:
    """Faults 3."""
    for decode in (decode_batch, decode_hello):
        with suppress(RemoteProtocolError):
            decode(line)


def test_hello_of_a_dialing_node_names_both_ends() -> None:
    """S6: the lower node id dials."""
    hello = NodeHello(node_id=1, cluster="c", to=3)

    assert decode_hello(encode_hello(hello)) == hello
    assert json.loads(encode_hello(hello))["type"] == "node"


@pytest.mark.parametrize("node", [0, -1, 8_192, 1 << 70])
def test_node_that_cannot_be_is_refused(node: int) -> None:
    """Faults 3."""
    with pytest.raises(RemoteProtocolError):
        decode_hello(b'{"type":"node","node_id":%d,"cluster":"c","to":1}' % node)


def test_error_line_is_a_refusal_with_its_reason() -> None:
    """Issue, item 8: a server at the address of a peer that is gone breaks no protocol."""
    line = b'{"type":"error","value":{"code":"wrong_node","title":"Wrong node","detail":"I am 4"}}'

    with pytest.raises(RemoteProtocolError, match="wrong_node: I am 4") as refused:
        decode_batch(line)
    assert refused.value.code == REFUSED
