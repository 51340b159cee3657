"""A peer that is alive and slow is not waited for, and does not flap (B3, B5)."""

import msgspec
import pytest

from exchange.domain.orders import Side
from exchange.domain.units import NodeId, Seq
from exchange.engine import inputs
from exchange.engine.effects import OrderAnswer
from exchange.engine.messages import Applied, Batch, Heartbeat, PeerMessage, Reply
from exchange.engine.pace import (
    CALM_MAX_US,
    CALM_MIN_US,
    OFFER_LATE_US,
    SUSTAINED_US,
    USUAL_MIN_US,
    VISIBLE_WITHIN_US,
    Pace,
)
from exchange.engine.soft import Link
from tests.support.engines import Engines

MS = 1_000


class Paced:
    """A peer that shows what it is sent after a time of the test's choosing."""

    def __init__(self, within_us: int = 0) -> None:
        self.now_us = 1
        self.seq = 0
        self.pace = Pace(within_us)

    def show(self, after_us: int, *, times: int = 1) -> None:
        """Send events; they are shown so much later."""
        for _ in range(times):
            self.seq += 1
            self.pace.sent(Seq(self.seq), self.now_us)
            self.wait(after_us)
            self.pace.applied(Seq(self.seq), self.now_us)

    def wait(self, us: int, offer: object = None) -> None:
        """Let time pass, with a look four times a second."""
        while us > 0:
            self.now_us += min(us, 250 * MS)
            us -= 250 * MS
            self.pace.look(self.now_us, offer)

    def aside_for(self) -> int:
        """Return how long it stays set aside while it has nothing to show."""
        begun_us = self.now_us
        while self.pace.is_aside:
            self.wait(250 * MS)
        return self.now_us - begun_us


def test_quick_peer_is_never_set_aside() -> None:
    """B3."""
    paced = Paced()
    paced.show(5 * MS, times=100)
    paced.wait(60_000 * MS)

    assert not paced.pace.is_aside


def test_one_hiccup_sets_nobody_aside() -> None:
    """B5: a checkpoint or a busy core takes as long; the market is not parted for that."""
    paced = Paced()
    paced.show(5 * MS, times=100)
    paced.show(800 * MS)
    paced.show(5 * MS, times=10)
    paced.wait(10_000 * MS)

    assert not paced.pace.is_aside


def test_peer_that_shows_nothing_for_the_bound_is_set_aside() -> None:
    """B3: answers wait about a second for a slow peer, not three for a dead one."""
    paced = Paced()
    paced.show(5 * MS, times=10)
    paced.pace.sent(Seq(99), paced.now_us)
    paced.wait(VISIBLE_WITHIN_US + 250 * MS)

    assert paced.pace.is_aside


def test_peer_that_is_slow_all_the_time_is_set_aside_below_the_bound() -> None:
    """B3: half a second on every answer, where milliseconds are usual."""
    paced = Paced()
    paced.show(5 * MS, times=100)
    paced.show(500 * MS, times=SUSTAINED_US // (500 * MS) + 1)

    assert paced.pace.is_aside


def test_peer_that_was_always_that_far_away_is_not() -> None:
    """B3: another continent is no fault; the bound adapts to the usual pace."""
    paced = Paced()
    paced.show(400 * MS, times=100)

    assert not paced.pace.is_aside


def test_own_stall_is_no_fault_of_a_peer() -> None:
    """B5: a node without a core for a second saw all its peers as slow, and set them aside."""
    paced = Paced()
    paced.show(5 * MS, times=100)
    paced.pace.sent(Seq(101), paced.now_us)
    paced.now_us += 2_500 * MS
    paced.pace.stood_still(2_500 * MS)
    paced.wait(5 * MS, offer="offer")
    paced.pace.applied(Seq(101), paced.now_us)
    paced.wait(1_000 * MS, offer="offer")

    assert not paced.pace.is_aside


def test_operators_bound_holds_whatever_is_usual() -> None:
    """B3: `--visible-within`."""
    paced = Paced(within_us=300 * MS)
    paced.show(250 * MS, times=20)
    assert not paced.pace.is_aside

    paced.pace.sent(Seq(99), paced.now_us)
    paced.wait(500 * MS)
    assert paced.pace.is_aside


def test_trickle_of_acknowledgements_is_no_pace() -> None:
    """B3: something was applied all the time, and answers piled up behind it for minutes."""
    paced = Paced()
    for seq in range(20):
        paced.seq += 25
        paced.pace.sent(Seq(paced.seq), paced.now_us)
        paced.wait(100 * MS)
        paced.pace.applied(Seq(seq), paced.now_us)

    assert paced.pace.is_aside


def test_peer_that_does_not_answer_an_offer_is_set_aside() -> None:
    """B5: it shows orders and its disk decides nothing; no more takers are risked there."""
    paced = Paced()
    paced.wait(OFFER_LATE_US - 500 * MS, offer="offer")
    assert not paced.pace.is_aside

    paced.wait(1_000 * MS, offer="offer")
    assert paced.pace.is_aside
    paced.wait(CALM_MAX_US, offer="offer")
    assert paced.pace.is_aside, "until it has answered"


def test_peer_that_lapses_soon_is_set_aside_twice_as_long() -> None:
    """B5: no flapping."""
    paced = Paced()
    lasted = []
    for _ in range(6):
        paced.pace.sent(Seq(paced.seq + 1), paced.now_us)
        paced.wait(VISIBLE_WITHIN_US + 250 * MS)
        paced.seq += 1
        paced.pace.applied(Seq(paced.seq), paced.now_us)
        paced.show(5 * MS)
        lasted.append(paced.aside_for())

    assert lasted[0] == pytest.approx(CALM_MIN_US, abs=500 * MS)
    assert lasted[1] == pytest.approx(2 * CALM_MIN_US, abs=500 * MS)
    assert lasted[-1] == pytest.approx(CALM_MAX_US, abs=500 * MS)


def test_bounds_stand_in_the_order_that_the_rules_need() -> None:
    """B3, B5: slow is noticed before dead, and a hiccup is not slow."""
    assert USUAL_MIN_US < VISIBLE_WITHIN_US < 3_000_000


# A node with such a peer.


def link(engines: Engines, node: int, peer: int) -> Link:
    return engines.engine(node).soft.links[NodeId(peer)]


def hold(engines: Engines, *kinds: type) -> list[tuple[int, int, inputs.Input]]:
    """Take off the wire what node 2 says to node 1 of some kinds; return it, to come later."""
    held: list[tuple[int, int, inputs.Input]] = []
    for place, (source, target, item) in enumerate(engines.wire):
        if (source, target) != (2, 1) or not isinstance(item, inputs.PeerBatch):
            continue
        said = item.batch.messages
        late = [message for message in said if isinstance(message, kinds)]
        if late:
            rest = [message for message in said if not isinstance(message, kinds)]
            held.append((source, target, batch_of(item, late)))
            engines.wire[place] = (source, target, batch_of(item, rest))
    return held


def batch_of(item: inputs.PeerBatch, said: list[PeerMessage]) -> inputs.PeerBatch:
    return inputs.PeerBatch(msgspec.structs.replace(item.batch, messages=said))


def slow(engines: Engines, *kinds: type, us: int = 1_500 * MS) -> list[object]:
    """Let time pass in which node 2 is alive, and some of what it says is under way."""
    held: list[object] = []
    end = engines.now_us + us
    while engines.now_us < end:
        engines.now_us += 250 * MS
        for node in engines.machines:
            engines.step(node, inputs.Tick())
        while engines.wire:
            held += hold(engines, *kinds)
            if engines.wire:
                engines.deliver()
    return held


def test_answer_stops_waiting_for_a_slow_peer_and_says_who_shows_the_order() -> None:
    """B3: beyond the bound; the other peer shows it."""
    engines = Engines(3)
    order = engines.place(1, Side.BUY, 1000, 5)
    engines.step(1, order)
    slow(engines, Applied)

    answer = engines.answers[order.ticket]
    assert isinstance(answer, OrderAnswer)
    assert answer.visible == 1
    assert link(engines, 1, 2).state == "slow"
    assert link(engines, 1, 2).session is not None


def test_orders_of_a_slow_peer_leave_matching_and_come_back_with_it() -> None:
    """B5, S3: as those of a suspected one; when it has caught up, they are matched."""
    engines = Engines(3)
    seller = engines.sell(2, 1000, 5)
    engines.step(1, engines.place(1, Side.BUY, 900, 1))
    engines.wire += slow(engines, Applied)  # type: ignore[arg-type]
    buyer = engines.place(1, Side.BUY, 1000, 5)
    engines.step(1, buyer)
    engines.settle()
    assert engines.filled(seller) == 0

    engines.pass_time(CALM_MIN_US + 1_000 * MS)
    assert link(engines, 1, 2).state == "synced"
    assert engines.filled(seller) == 5
    engines.check_quiet()


def test_slow_peer_is_told_and_does_not_count_on_this_node_either() -> None:
    """B3: what is not matched here is not said to be visible here."""
    engines = Engines(2)
    engines.step(1, engines.place(1, Side.BUY, 900, 1))
    slow(engines, Applied)
    order = engines.sell(2, 1000, 5)

    answer = next(one for one in engines.answers.values() if getattr(one, "order_id", 0) == order)
    assert isinstance(answer, OrderAnswer)
    assert answer.visible == 0
    assert link(engines, 2, 1).is_aside_there


def test_settlement_goes_on_with_a_slow_peer() -> None:
    """B5, S4: its offers are decided, and its answers settle ours."""
    engines = Engines(2)
    seller = engines.sell(2, 1000, 5)
    buyer = engines.place(1, Side.BUY, 1000, 5, wait_done=True)
    engines.step(1, buyer)
    held = slow(engines, Reply, us=OFFER_LATE_US + 1_000 * MS)
    assert link(engines, 1, 2).state == "slow"
    answer = engines.answers[buyer.ticket]
    assert isinstance(answer, OrderAnswer)
    assert answer.in_doubt == 5  # who asked to wait for the end of doubt is told of it

    engines.wire += held  # type: ignore[arg-type]
    engines.settle()
    assert engines.filled(seller) == engines.filled(answer.order_id) == 5


def test_peer_that_says_we_are_set_aside_is_not_waited_for() -> None:
    """B3: it shows our orders to nobody."""
    engines = Engines(2)
    session, peer = link(engines, 1, 2).session, engines.engine(2)
    assert session is not None
    beat = Heartbeat(
        *(peer.state.scalars.epoch, Seq(0), 0, "0" * 32),
        peer.state.peer(NodeId(1)).last_offer,
        is_aside=True,
    )
    batch = Batch(session, peer.clock, peer.proof, [beat], NodeId(2))
    engines.step(1, inputs.PeerBatch(batch))
    order = engines.place(1, Side.BUY, 1000, 5)
    engines.step(1, order)

    answer = engines.answers[order.ticket]
    assert isinstance(answer, OrderAnswer)
    assert answer.visible == 0
