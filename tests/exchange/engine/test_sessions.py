"""Who may speak, who is suspected, who is an old copy.  Each docstring cites the rule."""

import msgspec
import pytest

from exchange.domain.orders import Side
from exchange.domain.units import Epoch, NodeId, Seq
from exchange.engine import inputs
from exchange.engine.effects import Alarm, CloseLink, OrderAnswer, Send, Stop
from exchange.engine.messages import (
    Applied,
    Batch,
    Heartbeat,
    Hello,
    Offer,
    Resumed,
    Session,
)
from exchange.engine.records import OfferId, PeerSeen
from exchange.engine.soft import Link
from tests.support.engines import START_US, Engines


def link(engines: Engines, node: int, peer: int) -> Link:
    return engines.engine(node).soft.links[NodeId(peer)]


def alarms(engines: Engines) -> list[str]:
    return [effect.code for _, effect in engines.effects if isinstance(effect, Alarm)]


def hello_batch(engines: Engines) -> inputs.PeerBatch:
    """Let node 1 dial node 2 and take the hello off the wire."""
    engines.dial(1, 2)
    for entry in list(engines.wire):
        item = entry[2]
        if isinstance(item, inputs.PeerBatch) and isinstance(item.batch.messages[0], Hello):
            engines.wire.remove(entry)
            return item
    raise AssertionError("no hello on the wire")


def with_hello(item: inputs.PeerBatch, **change: object) -> inputs.PeerBatch:
    hello = msgspec.structs.replace(item.batch.messages[0], **change)
    return inputs.PeerBatch(msgspec.structs.replace(item.batch, messages=[hello]))


def test_epoch_of_a_peer_is_in_the_log_before_its_hello_is_answered() -> None:
    """C3, E3: the answer belongs to the step that logs the incarnation."""
    engines = Engines(2, linked=False)
    records = engines.step(2, hello_batch(engines))

    assert [type(record) for record in records] == [PeerSeen]
    assert len(engines.messages(Hello)) == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cluster": "other"}, "belongs to cluster other"),
        ({"nonce": b"another"}, "another birth nonce"),
        ({"epoch": Epoch(0)}, "an old copy"),
        ({"boot_id": b"twin"}, "runs twice"),
        ({"last_offer": OfferId(Epoch(0), Seq(0))}, "forgotten offers"),
        ({"mark": OfferId(Epoch(0), Seq(0))}, "forgotten answers"),
        ({"watermark": OfferId(Epoch(0), Seq(0))}, "forgotten settlements"),
    ],
)
def test_peer_that_forgot_is_refused(change: dict[str, object], why: str) -> None:
    """C3, faults 2.16: lost or copied state is a refused link, not lost money."""
    engines = Engines(2)
    engines.sell(2, 1000, 5)
    engines.buy(1, 1000, 5)  # node 1 has offered, node 2 has answered
    engines.sell(1, 1000, 5)
    engines.buy(2, 1000, 5)  # and the other way round
    engines.pass_time(3_000_000)
    engines.sell(2, 990, 5)  # so that what is to be forgotten is logged
    engines.step(2, with_hello(hello_batch(engines), **change))

    assert alarms(engines) == ["peer_refused"]
    assert why in link(engines, 2, 1).detail
    assert link(engines, 2, 1).session is None


def test_node_whose_log_lacks_what_a_peer_saw_stops() -> None:
    """C3: it is an old copy of itself, however far it has counted its epoch up."""
    engines = Engines(2)
    engines.sell(1, 1000, 5)
    engines.settle()
    backup = engines.machines[1].log[:5]
    engines.kill(1)
    engines.settle()
    engines.machines[1].log = list(backup)
    engines.machines[1].boot()
    engines.machines[1].engine = None
    engines.machines[1].boot()
    engines.dial(1, 2)
    engines.settle()

    assert [type(effect) for _, effect in engines.effects if isinstance(effect, Stop)] == [Stop]


def test_restart_is_a_new_incarnation_that_is_let_in() -> None:
    """C3: a higher epoch with a new boot id."""
    engines = Engines(2)
    engines.sell(1, 1000, 5)
    engines.kill(1)
    engines.settle()
    engines.restart(1)

    assert link(engines, 2, 1).state == "synced"
    assert engines.state(2).peers[NodeId(1)].epoch == 2
    engines.check_quiet()


def test_message_of_another_session_is_ignored() -> None:
    """S6: on both sides, whatever it says."""
    engines = Engines(2)
    engines.sell(2, 1000, 5)
    engines.step(1, engines.place(1, Side.BUY, 1000, 5))
    late = [entry[2] for entry in engines.wire]
    engines.wire.clear()
    engines.dial(1, 2)
    engines.settle()
    settled = len(engines.log(2))
    for item in late:
        engines.step(2, item)

    assert len(engines.log(2)) == settled
    engines.check_quiet()


def test_nothing_counts_before_the_hello() -> None:
    """S6: an offer that overtakes the hello is not heard."""
    engines = Engines(2)
    engines.sell(2, 1000, 5)
    engines.step(1, engines.place(1, Side.BUY, 1000, 5))
    offers = engines.messages(Offer)
    engines.wire.clear()
    session = engines.dial(1, 2)
    engines.wire.clear()
    engine = engines.engine(1)
    batch = Batch(session, engine.clock, engine.proof, offers, NodeId(1))
    records = engines.step(2, inputs.PeerBatch(batch))

    assert records == []


def test_sessions_only_rise() -> None:
    """S6: a hello of an older session does not replace the current one."""
    engines = Engines(2)
    engines.wire.clear()
    current = link(engines, 2, 1).session
    assert current is not None
    stale = hello_batch(engines)
    old = Session(current.epoch, current.counter)
    batch = msgspec.structs.replace(stale.batch, session=Session(Epoch(0), 9))
    engines.step(2, inputs.PeerBatch(batch))

    assert link(engines, 2, 1).session == old


def test_higher_node_does_not_dial() -> None:
    """S6: the lower node id dials; a session opened by the other is ignored."""
    engines = Engines(2, linked=False)
    engine = engines.engine(2)
    forged = msgspec.structs.replace(
        hello_batch(engines).batch, sender=NodeId(2), clock=engine.clock
    )
    engines.step(1, inputs.PeerBatch(msgspec.structs.replace(forged, session=Session(Epoch(9), 9))))

    assert link(engines, 1, 2).session != Session(Epoch(9), 9)


def test_silent_peer_is_suspected_after_three_seconds_and_not_waited_for() -> None:
    """B5, faults 2.3: one dead node never stops two live ones."""
    engines = Engines(3)
    engines.machines[3].engine = None  # no word from it, and nobody says that it is gone
    item = engines.place(1, Side.BUY, 1000, 5)
    engines.step(1, item)
    engines.settle()
    assert item.ticket not in engines.answers

    engines.pass_time(4_000_000)
    assert isinstance(engines.answers[item.ticket], OrderAnswer)
    assert link(engines, 1, 3).state == "suspected"
    assert link(engines, 1, 2).state == "synced"
    quick = engines.place(1, Side.BUY, 1000, 5)
    engines.order(1, quick)


def test_nobody_waits_for_a_peer_whose_link_is_gone() -> None:
    """B5, faults 2.3: a killed process is suspected as soon as its socket is closed."""
    engines = Engines(3)
    engines.kill(3)
    engines.settle()
    engines.order(1, engines.place(1, Side.BUY, 1000, 5))

    assert link(engines, 1, 3).state == "suspected"


def test_starting_node_gives_a_lost_peer_time() -> None:
    """C5: at most 3 s, for it may be starting too."""
    engines = Engines(2, linked=False)
    session = engines.dial(1, 2)
    engines.step(1, inputs.LinkClosed(NodeId(2), session))
    engines.step(1, inputs.Tick())

    assert not engines.engine(1).is_ready


def test_peer_that_reads_but_applies_nothing_is_suspected() -> None:
    """B5: no `applied` progress for 3 s."""
    engines = Engines(2)
    engines.step(1, engines.place(1, Side.BUY, 1000, 5))
    engines.wire.clear()
    session = link(engines, 1, 2).session
    assert session is not None
    for _ in range(16):
        engines.now_us += 250_000
        engines.step(1, inputs.Tick())
        engine = engines.engine(2)
        beat = Heartbeat(engine.state.scalars.epoch, Seq(0), 0, "0" * 32, OfferId(Epoch(0), Seq(0)))
        batch = Batch(session, engine.clock, engine.proof, [beat], NodeId(2))
        engines.step(1, inputs.PeerBatch(batch))
        engines.wire.clear()

    assert link(engines, 1, 2).is_suspected


def test_suspecting_closes_the_link_and_a_new_session_brings_the_peer_back() -> None:
    """B5, faults 2.17: the only way back is a new session."""
    engines = Engines(2)
    engines.sell(2, 1000, 5)
    engines.now_us += 4_000_000
    engines.step(1, inputs.Tick())
    closed = [effect for _, effect in engines.effects if isinstance(effect, CloseLink)]
    assert closed
    engines.settle()
    engines.link_all()

    assert link(engines, 1, 2).state == "synced"
    engines.check_quiet()


def test_node_that_was_silent_itself_begins_anew() -> None:
    """B5, C6: it was away, and must not match or take orders on what it knew."""
    engines = Engines(3)
    engines.sell(2, 1000, 5)
    engines.now_us += 10_000_000
    order = engines.place(1, Side.BUY, 1000, 5)

    assert engines.step(1, order) == []
    assert engines.answers[order.ticket].code == "not_ready"  # type: ignore[union-attr]
    assert [link(engines, 1, peer).state for peer in (2, 3)] == ["connecting"] * 2
    engines.settle()
    engines.link_all()
    assert engines.engine(1).is_ready


def test_node_that_was_silent_is_mute_until_a_peer_answers_its_hello() -> None:
    """B5, C3: whoever took its place is known to the peers, and not to its clients."""
    engines = Engines(2)
    engines.now_us += 10_000_000
    engines.step(1, inputs.Tick())
    assert engines.engine(1).is_mute

    engines.settle()  # the end of the old link is noticed
    engines.dial(1, 2)
    assert engines.engine(1).is_mute  # a hello of its own proves nothing
    engines.settle()
    assert not engines.engine(1).is_mute


def test_hello_that_waited_while_a_node_was_away_lets_it_in_nowhere() -> None:
    """B5: the peer said it before it could know; only what follows is about this node."""
    engines = Engines(2)
    hello = hello_batch(engines)
    engines.now_us += 10_000_000
    engines.step(2, hello)

    assert engines.engine(2).is_mute
    assert link(engines, 2, 1).is_helloed


def test_node_that_was_silent_goes_on_alone_after_the_time_of_a_start() -> None:
    """B5, C5: with every peer dead it serves again, three seconds later."""
    engines = Engines(2)
    engines.kill(2)
    engines.settle()
    engines.now_us += 10_000_000
    engines.step(1, inputs.Tick())
    engines.pass_time(2_500_000)
    assert engines.engine(1).is_mute
    assert not engines.engine(1).is_ready

    engines.pass_time(1_500_000)
    assert not engines.engine(1).is_mute
    assert engines.engine(1).is_ready


def test_node_without_peers_is_never_mute() -> None:
    """C4: an exchange of one node has nobody to ask, and does not stall."""
    engines = Engines(1, linked=False)
    engines.step(1, inputs.Tick())
    engines.now_us += 10_000_000
    engines.step(1, inputs.Tick())

    assert not engines.engine(1).is_mute
    assert engines.engine(1).is_ready


def test_coordinator_lets_in_whom_it_was_asked_about_since() -> None:
    """B5, C3: an answer of before the silence proves nothing."""
    engines = Engines(1, linked=False, has_coordinator=True)
    before_us = engines.now_us
    engines.now_us += 10_000_000
    engines.step(1, inputs.Tick())
    engines.step(1, inputs.CoordinatorHeard(before_us))
    assert engines.engine(1).is_mute

    engines.step(1, inputs.CoordinatorHeard(engines.now_us))
    assert not engines.engine(1).is_mute


def test_answers_that_waited_when_a_node_fell_silent_wait_for_its_peers_again() -> None:
    """B3, B5: what no peer shows was acknowledged at once, because all were suspected."""
    engines = Engines(2)
    order = engines.place(1, Side.BUY, 1000, 5)
    engines.step(1, order)
    engines.wire.clear()  # the event never arrives
    engines.now_us += 10_000_000
    engines.step(1, inputs.Tick())
    assert order.ticket not in engines.answers

    engines.settle()
    engines.link_all()
    answer = engines.answers[order.ticket]
    assert isinstance(answer, OrderAnswer)
    assert link(engines, 2, 1).replica.orders[answer.order_id].open == 5


def test_stamps_never_fall_behind_the_log() -> None:
    """S2: a restart with a clock that was set back."""
    engines = Engines(2)
    first = engines.state(1).orders[engines.buy(1, 1000, 1)].stamp
    engines.kill(1)
    engines.settle()
    engines.machines[1].boot()
    engine = engines.engine(1)
    engine.begin(wall_us=START_US - 3_600_000_000, mono_us=engines.now_us)

    assert engine.clock >= first >> 13


def test_ready_waits_for_known_peers_but_not_for_ever() -> None:
    """C5, C6: at most 3 s, then the missing are suspected."""
    engines = Engines(2, linked=False)
    engines.kill(2)
    engines.step(1, inputs.Tick())
    assert not engines.engine(1).is_ready

    engines.pass_time(4_000_000)
    assert engines.engine(1).is_ready
    assert link(engines, 1, 2).is_suspected


def test_address_of_a_peer_is_durable() -> None:
    """C5: a restarted node finds its peers itself."""
    engines = Engines(2)
    engines.step(1, inputs.KnowPeer(NodeId(2), b"", "127.0.0.1:7999"))
    engines.kill(1)
    engines.settle()
    engines.machines[1].boot()

    assert engines.state(1).peers[NodeId(2)].address == "127.0.0.1:7999"


def test_quarantined_peer_still_settles_but_trades_no_more() -> None:
    """B7: new offers are durably declined, re-offers, replies and acks go on."""
    engines = Engines(2)
    engines.sell(2, 1000, 5)
    engines.step(1, engines.place(1, Side.BUY, 1000, 3))
    engines.engine(2)._quarantine(link(engines, 2, 1), "test")
    engines.settle()

    assert engines.filled(next(iter(engines.state(2).orders))) == 0
    assert not engines.state(1).offers
    assert link(engines, 1, 2).state == "quarantined"
    item = engines.place(1, Side.BUY, 1000, 3)
    engines.order(1, item)  # answered: nobody waits for a quarantined peer
    assert alarms(engines) == ["peer_quarantined"]


def test_new_incarnation_ends_a_quarantine() -> None:
    """B7."""
    engines = Engines(2)
    engines.engine(2)._quarantine(link(engines, 2, 1), "test")
    engines.step(2, inputs.Tick())
    engines.settle()
    engines.kill(1)
    engines.settle()
    engines.restart(1)

    assert link(engines, 2, 1).state == "synced"
    assert link(engines, 1, 2).state == "synced"


def test_fault_behind_the_end_of_its_session_ends_nothing_more() -> None:
    """S6: heard at all only with sessions off, as marks are tested; there is no link to close."""
    engines = Engines(2, is_session_checked=False)
    session = link(engines, 1, 2).session
    assert session is not None
    engine = engines.engine(2)
    epoch = engine.state.scalars.epoch
    gap = Resumed(epoch, Seq(99))
    batch = Batch(
        session, engine.clock, engine.proof, [gap, gap, Applied(epoch, Seq(99))], NodeId(2)
    )
    engines.effects.clear()
    engines.step(1, inputs.PeerBatch(batch))

    kinds = [type(effect) for _, effect in engines.effects]
    assert kinds.count(CloseLink) == 1
    assert Send not in kinds[kinds.index(CloseLink) :]
    assert link(engines, 1, 2).quarantine  # the third message is a lie, said without a session
