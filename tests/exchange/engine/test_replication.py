"""Streams, snapshots and replicas.  Each docstring cites the rule it tests."""

import msgspec
import pytest

from exchange.domain.book import OrderEvent
from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side, TimeInForce
from exchange.domain.units import AccountId, Clock, Epoch, Lots, NodeId, OrderId, Seq, make_id
from exchange.engine import inputs
from exchange.engine.effects import Alarm, CloseLink, OrderAnswer, Send
from exchange.engine.messages import (
    Applied,
    Batch,
    Events,
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
from exchange.engine.replication import heartbeat
from exchange.engine.soft import Link
from tests.support.engines import Engines


def link(engines: Engines, node: int, peer: int) -> Link:
    return engines.engine(node).soft.links[NodeId(peer)]


def sent(engines: Engines, node: int) -> list[type[PeerMessage]]:
    return [type(e.message) for n, e in engines.effects if n == node and isinstance(e, Send)]


def say(engines: Engines, message: PeerMessage) -> inputs.PeerBatch:
    """Make a batch that node 2 says to node 1."""
    session = link(engines, 1, 2).session
    assert session is not None
    engine = engines.engine(2)
    return inputs.PeerBatch(Batch(session, engine.clock, engine.proof, [message], NodeId(2)))


def an_event(engines: Engines, **change: object) -> Events:
    """Return the event that would come next from node 2, changed."""
    stamp = engines.engine(2).clock << 13 | 2
    event = OrderEvent(
        OrderId(make_id(2, 77)),
        "AAPL",  # type: ignore[arg-type]
        Side.SELL,
        1000,  # type: ignore[arg-type]
        Lots(5),
        stamp,  # type: ignore[arg-type]
        1,
        AccountId(make_id(2, 1)),
    )
    have = link(engines, 1, 2).have
    assert have is not None
    return Events(have[0], Seq(have[1] + 1), [msgspec.structs.replace(event, **change)])


def test_replica_is_what_the_owner_has() -> None:
    """B1: every order and change enters the stream at once."""
    engines = Engines(3)
    order_id = engines.sell(2, 1000, 5)
    engines.buy(1, 1000, 2)

    for node in (1, 3):
        assert link(engines, node, 2).replica.orders[order_id].open == 3
    engines.check_quiet()


def test_order_that_is_all_offered_enters_the_stream_with_nothing_open() -> None:
    """B1: open quantity excludes what is in outstanding offers."""
    engines = Engines(3)
    engines.sell(2, 1000, 5)
    engines.step(1, engines.place(1, Side.BUY, 1000, 5))
    events = [m for m in engines.messages(Events) if isinstance(m, Events)]

    assert [event.open for message in events for event in message.events] == [0, 0]


def test_stream_resumes_from_what_the_peer_has() -> None:
    """B2: events, not a snapshot, after a short break."""
    engines = Engines(2)
    engines.sell(2, 1000, 5)
    session = link(engines, 1, 2).session
    assert session is not None
    engines.step(1, inputs.LinkClosed(NodeId(2), session))
    engines.step(2, inputs.LinkClosed(NodeId(1), session))
    engines.step(2, engines.place(2, Side.SELL, 1001, 5))
    engines.effects.clear()
    engines.link_all()

    assert Resumed in sent(engines, 2)
    assert SnapshotBegin not in sent(engines, 2)
    engines.check_quiet()


def test_long_absence_costs_a_snapshot() -> None:
    """B2: what the ring does not hold any more."""
    engines = Engines(2, ring=4, chunk=3)
    session = link(engines, 1, 2).session
    assert session is not None
    engines.step(1, inputs.LinkClosed(NodeId(2), session))
    engines.step(2, inputs.LinkClosed(NodeId(1), session))
    for price in range(1000, 1010):
        engines.step(2, engines.place(2, Side.SELL, price, 5))
    engines.effects.clear()
    engines.link_all()

    assert sent(engines, 2).count(SnapshotChunk) == 4
    engines.check_quiet()


def test_restarted_node_has_the_whole_book_again() -> None:
    """B2, C6, faults 2.4: its own orders from its log, the others' from their owners."""
    engines = Engines(3)
    engines.sell(2, 1000, 5)
    mine = engines.buy(1, 900, 5)
    engines.kill(1)
    engines.settle()
    engines.restart(1)

    assert list(engines.engine(1).soft.own.orders) == [mine]
    assert len(link(engines, 1, 2).replica.orders) == 1
    engines.check_quiet()


def test_later_message_wins_in_a_snapshot() -> None:
    """B2: chunks of current state are mixed with live events."""
    engines = Engines(2, linked=False, chunk=1)
    engines.pass_time(4_000_000)
    orders = [engines.place(2, Side.SELL, price, 5) for price in (1000, 1001, 1002)]
    for order in orders:
        engines.step(2, order)
    engines.dial(1, 2)
    while not engines.messages(SnapshotChunk):
        engines.deliver()
    for answer in list(engines.answers.values()):
        if isinstance(answer, OrderAnswer):
            cancel = inputs.CancelOrder(0, engines.account(2), answer.order_id)
            engines.step(2, cancel)
    engines.step(2, engines.place(2, Side.SELL, 1003, 5))
    engines.settle()

    replica = link(engines, 1, 2).replica
    assert [entry.price for entry in replica.orders.values()] == [1003]
    engines.check_quiet()


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


def test_drifted_replica_is_found_and_repaired() -> None:
    """B4: time-based repair beside the event-based one."""
    engines = Engines(2)
    order_id = engines.sell(2, 1000, 5)
    entry = link(engines, 1, 2).replica.orders[order_id]
    link(engines, 1, 2).replica.update(msgspec.structs.replace(entry, open=Lots(4)))
    engines.step(1, say(engines, heartbeat(engines.engine(2).soft, link(engines, 2, 1))))
    assert len(engines.messages(Resync)) == 1
    engines.settle()

    assert link(engines, 1, 2).replica.orders[order_id].open == 5
    engines.check_quiet()


def test_acknowledged_means_visible_at_every_peer() -> None:
    """B3."""
    engines = Engines(3)
    item = engines.place(1, Side.BUY, 1000, 5)
    engines.step(1, item)
    while engines.wire:
        seen = [len(link(engines, node, 1).replica.orders) for node in (2, 3)]
        if item.ticket in engines.answers:
            assert seen == [1, 1]
        engines.deliver()

    assert isinstance(engines.answers[item.ticket], OrderAnswer)


def test_durable_mode_does_not_wait_for_peers() -> None:
    """B3: `--ack durable` skips the second wait."""
    engines = Engines(3, ack="durable")
    item = engines.place(1, Side.BUY, 1000, 5)
    engines.step(1, item)

    assert isinstance(engines.answers[item.ticket], OrderAnswer)


def test_order_after_an_acknowledged_one_is_younger_everywhere() -> None:
    """B3, faults 2.12: nodes agree about priority, with clocks that do not."""
    engines = Engines(2)
    session = link(engines, 1, 2).session
    assert session is not None
    engines.engine(1).soft.clock = Clock(engines.engine(1).clock + 20_000_000)
    first = engines.buy(1, 1000, 1)
    second = engines.buy(2, 1000, 1)

    assert engines.state(2).orders[second].stamp > engines.state(1).orders[first].stamp


def test_retry_waits_for_visibility_like_the_first() -> None:
    """B3."""
    engines = Engines(2)
    item = engines.place(1, Side.BUY, 1000, 5, client_order_id="mine")
    engines.step(1, item)
    engines.wire.clear()
    again = msgspec.structs.replace(item, ticket=item.ticket + 1000)
    engines.step(1, again)

    assert item.ticket not in engines.answers
    assert again.ticket not in engines.answers


def test_joining_node_makes_nobody_wait_for_its_snapshot() -> None:
    """B3: while it takes no orders, events mixed into the snapshot count as applied."""
    engines = Engines(2, chunk=1)
    for price in range(900, 920):
        engines.buy(2, price, 1)
    engines.kill(1)
    engines.settle()
    engines.machines[1].boot()
    engines.step(1, inputs.Tick())
    engines.dial(1, 2)
    for _ in range(6):
        engines.deliver()
    item = engines.place(2, Side.BUY, 800, 1)
    engines.step(2, item)
    while item.ticket not in engines.answers:
        engines.deliver()

    assert link(engines, 1, 2).incoming is not None, "the snapshot was still under way"
    engines.settle()
    engines.check_quiet()


def test_events_of_one_step_travel_together() -> None:
    """E6: one message per run, one `applied` per batch."""
    engines = Engines(2)
    engines.step(1, *(engines.place(1, Side.BUY, price, 1) for price in range(900, 910)))
    events = [m for m in engines.messages(Events) if isinstance(m, Events)]
    assert [len(message.events) for message in events] == [10]

    engines.deliver()
    assert len(engines.messages(Applied)) == 1


def test_ioc_is_never_shown() -> None:
    """B1: what never rests is in the stream with nothing open."""
    engines = Engines(2)
    engines.step(1, engines.place(1, Side.BUY, 1000, 5, time_in_force=TimeInForce.IOC))
    (events,) = (m for m in engines.messages(Events) if isinstance(m, Events))

    assert [event.open for event in events.events] == [0]


def test_instrument_is_known_before_its_first_order() -> None:
    """C1: a listing travels ahead of the orders."""
    engines = Engines(2)
    listed = plain_ticker("MSFT")
    engines.step(1, inputs.ListInstrument(0, listed))
    engines.settle()

    assert engines.state(2).instruments[listed.symbol].instrument == listed


EPOCH, START = Epoch(2), Seq(0)


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


def test_node_does_not_know_itself_as_a_peer() -> None:
    """C5: the coordinator's list has everybody on it."""
    engines = Engines(2)
    engines.step(1, inputs.KnowPeer(NodeId(1), b"", ""))

    assert set(engines.engine(1).soft.links) == {2}


def test_stamp_ahead_of_its_senders_clock_quarantines_once() -> None:
    """S2, B7: told and alarmed once, however much of it comes."""
    engines = Engines(2)
    events = an_event(engines, stamp=(engines.engine(2).clock + 5) << 13)
    for _ in range(2):
        engines.step(1, say(engines, events))

    alarms = [effect for _, effect in engines.effects if isinstance(effect, Alarm)]
    assert [alarm.code for alarm in alarms] == ["peer_quarantined"]
    assert link(engines, 1, 2).quarantine
