"""A clock that was once wrong banishes nobody, and pushes nobody far (S2)."""

import msgspec
import pytest

from exchange.domain.orders import Side
from exchange.domain.units import (
    CLOCK_APART_MAX_US,
    CLOCK_HEARD_MAX,
    Clock,
    Micros,
    NodeId,
    clock_of,
)
from exchange.engine import clocks, inputs
from exchange.engine.messages import Batch
from exchange.engine.soft import Link
from tests.support.engines import START_US, Engines

DAY_US = 86_400_000_000


def link(engines: Engines, node: int, peer: int) -> Link:
    return engines.engine(node).soft.links[NodeId(peer)]


def batch(engines: Engines, clock: int, wall: int = 0) -> inputs.PeerBatch:
    """Return what node 2 says to node 1, with nothing in it but its clocks."""
    session = link(engines, 1, 2).session
    assert session is not None
    proof = engines.engine(2).proof
    return inputs.PeerBatch(Batch(session, Clock(clock), proof, [], NodeId(2), Micros(wall)))


@pytest.mark.parametrize("ahead_us", [30_000_000, DAY_US, 3650 * DAY_US])
def test_clock_of_a_peer_is_taken_over_however_far_ahead(ahead_us: int) -> None:
    """S2, B3: a stamp given after a message is younger than every stamp in it; no link ends."""
    engines = Engines(2)
    ahead = engines.engine(1).clock + ahead_us
    engines.step(1, batch(engines, ahead))

    assert engines.engine(1).clock == ahead
    order_id = engines.buy(1, 1000, 1)
    assert clock_of(engines.state(1).orders[order_id].stamp) > ahead
    assert link(engines, 1, 2).state == "synced"
    assert link(engines, 2, 1).state == "synced"  # which takes it over in its turn


@pytest.mark.parametrize("clock", [CLOCK_HEARD_MAX + 1, 1 << 62])
def test_clock_that_no_honest_node_can_have_is_not_taken_over(clock: int) -> None:
    """S2, B7: else one lie would use up all stamps there are."""
    engines = Engines(2)
    before = engines.engine(1).clock
    engines.step(1, batch(engines, clock))

    assert engines.engine(1).clock < before + 1_000_000
    assert link(engines, 1, 2).state == "quarantined"
    assert link(engines, 1, 2).session is not None  # what ends doubt goes on (B7)


def test_node_that_was_a_day_ahead_trades_with_its_peers_at_once() -> None:
    """S2: its stamps are in its log; its clock is right again; then it starts."""
    engines = Engines(3)
    engines.step(3, batch_to(engines, 3, DAY_US))
    seller = engines.sell(3, 1000, 5)
    engines.kill(3)
    engines.kill(1)
    engines.kill(2)
    for node in (1, 2, 3):
        engines.machines[node].boot()
    engines.link_all()
    buyer = engines.order(1, engines.place(1, Side.BUY, 1000, 5))

    assert engines.filled(seller) == engines.filled(buyer) == 5
    engines.check_quiet()


def batch_to(engines: Engines, node: int, ahead_us: int) -> inputs.PeerBatch:
    session = link(engines, node, 1).session
    assert session is not None
    clock = Clock(engines.engine(1).clock + ahead_us)
    return inputs.PeerBatch(Batch(session, clock, engines.engine(1).proof, [], NodeId(1)))


def test_own_wall_clock_is_followed_no_further_than_a_minute_ahead_of_all_peers() -> None:
    """S2: one wrong wall clock pushes nobody's stamps, not even its own."""
    engines = Engines(2)
    engine = engines.engine(1)
    wall_us, mono_us = engine.wall + DAY_US, engine.soft.now_us
    before = engine.clock
    engine.begin(wall_us=wall_us, mono_us=mono_us)
    engine.drain()

    assert before < engine.clock <= before + CLOCK_APART_MAX_US + 1_000_000
    assert clocks.apart_us(engine.soft) > DAY_US - 1_000_000


def test_node_that_starts_with_a_wrong_clock_asks_its_peers_first() -> None:
    """S2, C6: its stamps would have been a day ahead before anybody could say so."""
    engines = Engines(2)
    before = engines.engine(1).clock
    engines.kill(1)
    engines.machines[1].boot()
    engine = engines.engine(1)
    engine.begin(wall_us=START_US + engines.now_us + DAY_US, mono_us=engines.now_us)
    engine.drain()
    engines.link_all()

    assert engines.engine(1).clock < before + 2 * CLOCK_APART_MAX_US
    assert engines.engine(2).clock < before + 2 * CLOCK_APART_MAX_US


def test_wall_clock_of_a_node_alone_is_followed() -> None:
    """S2: nobody is linked who could know better."""
    engines = Engines(1, linked=False)
    engines.step(1, inputs.Tick())
    engine = engines.engine(1)
    before = engine.clock
    engine.begin(wall_us=engine.wall + DAY_US, mono_us=engine.soft.now_us)

    assert engine.clock >= before + DAY_US
    assert clocks.apart_us(engine.soft) == 0


def test_stamps_that_are_ahead_of_the_wall_clock_are_told() -> None:
    """S2: a clock was ahead once; nothing is wrong, and status says so."""
    engines = Engines(2)
    engines.step(1, batch(engines, engines.engine(1).clock + DAY_US))

    assert clocks.stamps_ahead_us(engines.engine(1).soft) == pytest.approx(DAY_US, abs=100_000)


def test_peer_whose_wall_clock_is_behind_is_told_by_how_much() -> None:
    """S2."""
    engines = Engines(2)
    engine = engines.engine(1)
    engines.step(1, batch(engines, engine.clock, wall=engine.wall - DAY_US))

    assert clocks.peer_apart_us(engine.soft, link(engines, 1, 2)) == pytest.approx(
        -DAY_US, abs=100_000
    )
    assert clocks.apart_us(engine.soft) == pytest.approx(DAY_US, abs=100_000)


def test_wall_clock_that_shows_no_time_is_left_out_of_account() -> None:
    """S2: a difference to it would not even fit into an answer."""
    engines = Engines(2)
    engine = engines.engine(1)
    engines.step(1, batch(engines, engine.clock, wall=(1 << 64) - 1))

    assert clocks.apart_us(engine.soft) == 0
    assert abs(clocks.peer_apart_us(engine.soft, link(engines, 1, 2))) < 100_000


def test_offer_whose_stamp_is_ahead_of_its_batch_is_refused() -> None:
    """B7: no node gives out a stamp ahead of the clock that it says it has."""
    engines = Engines(2)
    engines.sell(1, 1000, 5)
    engines.step(2, engines.place(2, Side.BUY, 1000, 5))
    offers = [entry for entry in engines.wire if isinstance(entry[2], inputs.PeerBatch)]
    for _, _, item in offers:
        assert isinstance(item, inputs.PeerBatch)
        engines.step(1, inputs.PeerBatch(msgspec.structs.replace(item.batch, clock=Clock(1))))

    assert link(engines, 1, 2).state == "quarantined"
