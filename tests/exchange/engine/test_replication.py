"""Streams, snapshots and replicas.  Each docstring cites the rule it tests."""

import msgspec

from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side, TimeInForce
from exchange.domain.units import Clock, Lots, NodeId
from exchange.engine import inputs
from exchange.engine.effects import OrderAnswer
from exchange.engine.messages import (
    Applied,
    Events,
    Resumed,
    Resync,
    SnapshotBegin,
    SnapshotChunk,
)
from exchange.engine.replication import heartbeat
from tests.exchange.engine.streams import link, say, sent
from tests.support.engines import Engines


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


def test_listing_travels_ahead_of_its_first_order() -> None:
    """C1: what a peer knows is compared with what the coordinator tells, and never believed."""
    engines = Engines(2)
    listed = plain_ticker("MSFT")
    engines.step(1, inputs.ListInstrument(0, listed))
    engines.settle()

    link = engines.engine(2).soft.links[NodeId(1)]
    assert link.told_listings[listed.symbol] == listed
    assert listed.symbol not in engines.state(2).instruments


def test_node_does_not_know_itself_as_a_peer() -> None:
    """C5: the coordinator's list has everybody on it."""
    engines = Engines(2)
    engines.step(1, inputs.KnowPeer(NodeId(1), b"", ""))

    assert set(engines.engine(1).soft.links) == {2}
