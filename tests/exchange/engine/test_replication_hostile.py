"""A peer that breaks the rules of streams changes no book: its link ends, or it is quarantined."""

import msgspec
import pytest

from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import AccountId, Epoch, NodeId, OrderId, Seq, make_id
from exchange.engine import inputs
from exchange.engine.effects import Alarm, CloseLink
from exchange.engine.messages import (
    Applied,
    Batch,
    Hello,
    Listed,
    PeerMessage,
    Quarantine,
    Resumed,
    Resync,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
)
from tests.exchange.engine.streams import an_event, link, say, sent
from tests.support.engines import Engines

EPOCH, START = Epoch(2), Seq(0)


def test_gap_inside_a_session_drops_the_link() -> None:
    """B2: a fault of the link, not of the peer."""
    engines = Engines(2)
    events = an_event(engines)
    gap = msgspec.structs.replace(events, first_seq=Seq(events.first_seq + 1))
    engines.effects.clear()
    engines.step(1, say(engines, gap))

    assert [type(e) for _, e in engines.effects if isinstance(e, CloseLink)] == [CloseLink]
    assert not link(engines, 1, 2).quarantine
    engines.settle()
    engines.link_all()
    engines.check_quiet()


@pytest.mark.parametrize(
    "change",
    [
        {"order_id": OrderId(make_id(3, 1))},
        {"account": AccountId(make_id(3, 1))},
        {"price": 0},
        {"price": 10**15},
        {"open": -1},
        {"version": 0},
        {"stamp": 1 << 62},
    ],
)
def test_impossible_event_quarantines_the_peer(change: dict[str, int]) -> None:
    """B7: foreign orders and impossible numbers never crash the node."""
    engines = Engines(2)
    engines.step(1, say(engines, an_event(engines, **change)))

    assert link(engines, 1, 2).quarantine
    assert link(engines, 1, 2).replica.orders == {}


def test_forged_stream_of_foreign_orders_changes_no_book() -> None:
    """B7, issue 5: a peer tells of a third node's orders, and of this node's own."""
    for owner in (3, 1):
        engines = Engines(3)
        engines.sell(3, 1000, 5)
        books = [dict(link(engines, 1, peer).replica.orders) for peer in (2, 3)]
        forged = an_event(
            engines, order_id=OrderId(make_id(owner, 1)), account=AccountId(make_id(owner, 1))
        )
        engines.step(1, say(engines, forged))

        assert link(engines, 1, 2).quarantine
        assert not link(engines, 1, 3).quarantine
        assert [dict(link(engines, 1, peer).replica.orders) for peer in (2, 3)] == books


def test_rewound_order_quarantines_the_peer() -> None:
    """B7."""
    engines = Engines(2)
    engines.step(1, say(engines, an_event(engines, version=5)))
    engines.step(1, say(engines, an_event(engines, version=4)))

    assert link(engines, 1, 2).quarantine


def test_snapshot_that_does_not_add_up_is_not_swapped_in() -> None:
    """B4: validated against the owner's sum first."""
    engines = Engines(2)
    epoch = engines.state(2).scalars.epoch
    seq = engines.engine(2).soft.stream_seq
    engines.step(1, say(engines, SnapshotBegin(epoch, seq)))
    engines.step(1, say(engines, SnapshotEnd(epoch, seq, 7, "0" * 32)))

    assert link(engines, 1, 2).session is None


@pytest.mark.parametrize(
    "message",
    [
        SnapshotChunk([]),
        SnapshotEnd(EPOCH, START, 0, "0" * 32),
        Resumed(EPOCH, Seq(99)),
    ],
)
def test_snapshot_or_stream_out_of_order_drops_the_link(message: PeerMessage) -> None:
    """B2: inside a session a gap is a fault; the next session begins anew."""
    engines = Engines(2)
    engines.step(1, say(engines, message))

    assert link(engines, 1, 2).session is None
    assert not link(engines, 1, 2).quarantine
    engines.settle()
    engines.link_all()
    engines.check_quiet()


def test_events_of_another_epoch_quarantine_the_peer() -> None:
    """B7, C3: a peer speaks of its own incarnation only."""
    engines = Engines(2)
    engines.step(1, say(engines, SnapshotBegin(Epoch(77), START)))

    assert link(engines, 1, 2).quarantine


def test_events_before_any_snapshot_drop_the_link() -> None:
    """B2: there is nothing that they could follow."""
    engines = Engines(2)
    events = an_event(engines)
    link(engines, 1, 2).have = None
    engines.step(1, say(engines, events))

    assert link(engines, 1, 2).session is None


@pytest.mark.parametrize("change", [{"side": Side.BUY}, {"account": AccountId(make_id(2, 9))}])
def test_order_that_becomes_another_one_quarantines_the_peer(change: dict[str, object]) -> None:
    """B7: side, symbol and account of an order never change."""
    engines = Engines(2)
    engines.step(1, say(engines, an_event(engines)))
    engines.step(1, say(engines, an_event(engines, version=2, **change)))

    assert link(engines, 1, 2).quarantine


def test_more_of_a_snapshot_that_nobody_waits_for_is_nothing() -> None:
    """B2: the link may have been closed since the shell was asked to call again."""
    engines = Engines(2)
    session = link(engines, 1, 2).session
    assert session is not None
    engines.effects.clear()
    engines.step(1, inputs.SnapshotMore(NodeId(2), session))
    engines.step(1, inputs.SnapshotMore(NodeId(2), msgspec.structs.replace(session, counter=99)))

    assert sent(engines, 1) == []


def test_second_call_for_a_snapshot_that_is_under_way_is_nothing() -> None:
    """B4: one snapshot at a time."""
    engines = Engines(2, chunk=1)
    for price in range(900, 905):
        engines.buy(1, price, 1)
    engines.effects.clear()
    engines.step(1, say(engines, Resync()))
    engines.step(1, say(engines, Resync()))
    assert sent(engines, 1).count(SnapshotBegin) == 1

    engines.settle()
    engines.check_quiet()


def test_peer_that_applied_what_was_never_sent_is_quarantined() -> None:
    """B7."""
    engines = Engines(2)
    epoch = engines.state(1).scalars.epoch
    engines.step(1, say(engines, Applied(epoch, Seq(99))))

    assert link(engines, 1, 2).quarantine


def test_peer_that_lists_other_terms_is_quarantined() -> None:
    """B7, M2: an instrument never changes."""
    engines = Engines(2)
    apple = plain_ticker("AAPL")
    other = msgspec.structs.replace(apple, tick_size="0.05")
    engines.step(1, say(engines, Listed([other])))

    assert link(engines, 1, 2).quarantine


def test_second_hello_drops_the_link() -> None:
    """S6: one session, one hello."""
    engines = Engines(2, linked=False)
    engines.dial(1, 2)
    hello = next(
        message
        for _, _, item in engines.wire
        if isinstance(item, inputs.PeerBatch)
        for message in item.batch.messages
        if isinstance(message, Hello)
    )
    engines.settle()
    session = link(engines, 2, 1).session
    assert session is not None
    engine = engines.engine(1)
    batch = Batch(session, engine.clock, engine.proof, [hello], NodeId(1))
    engines.step(2, inputs.PeerBatch(batch))

    assert link(engines, 2, 1).session is None


def test_message_of_another_kind_than_peers_exchange_quarantines() -> None:
    """B7: nothing that a peer says crashes the node."""
    engines = Engines(2)
    engines.step(1, say(engines, Batch))  # type: ignore[arg-type]

    assert link(engines, 1, 2).quarantine


def test_quarantine_is_told_again_at_the_next_session() -> None:
    """B7: it is ended by people, not by a new connection."""
    engines = Engines(2)
    engines.step(1, say(engines, an_event(engines, version=0)))
    engines.settle()
    session = link(engines, 1, 2).session
    if session is not None:
        engines.step(1, inputs.LinkClosed(NodeId(2), session))
        engines.step(2, inputs.LinkClosed(NodeId(1), session))
    engines.effects.clear()
    engines.link_all()

    assert Quarantine in sent(engines, 1)
    assert link(engines, 1, 2).quarantine


def test_stamp_ahead_of_its_senders_clock_quarantines_once() -> None:
    """S2, B7: told and alarmed once, however much of it comes."""
    engines = Engines(2)
    events = an_event(engines, stamp=(engines.engine(2).clock + 5) << 13)
    for _ in range(2):
        engines.step(1, say(engines, events))

    alarms = [effect for _, effect in engines.effects if isinstance(effect, Alarm)]
    assert [alarm.code for alarm in alarms] == ["peer_quarantined"]
    assert link(engines, 1, 2).quarantine
