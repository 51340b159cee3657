"""What ends doubt, and what never does: repeats, restarts, silence, an operator's word."""

import msgspec
import pytest

from exchange.domain.orders import Side
from exchange.domain.units import Lots, NodeId, Seq
from exchange.engine import inputs
from exchange.engine.apply import apply
from exchange.engine.effects import Alarm
from exchange.engine.messages import Offer, Reply
from exchange.engine.records import (
    HeuristicChecked,
    HeuristicDecision,
    OfferId,
    TradeAccepted,
    TradeDeclined,
    TradeSettled,
)
from exchange.engine.settlement import unresolved_offers
from tests.exchange.engine.offers import a_trade_in_flight, the_offer
from tests.support.engines import Engines


def test_offer_sent_again_gets_the_same_answer_and_logs_nothing() -> None:
    """S5, faults 2.2: a re-delivered offer debits once."""
    engines = a_trade_in_flight()
    offer = the_offer(engines)
    engines.wire.clear()
    engines.step(2, offer)
    records = engines.step(2, offer)

    replies = [m for m in engines.messages(Reply) if isinstance(m, Reply)]
    assert records == []
    assert [reply.quantity for reply in replies] == [5, 5]
    assert engines.balance(2, "AAPL") == 999_995


def test_offer_below_the_mark_is_declined_for_ever() -> None:
    """S5: a delayed offer that is accepted after an abort creates money."""
    engines = a_trade_in_flight()
    offer = the_offer(engines)
    engines.wire.clear()
    message = next(m for m in offer.batch.messages if isinstance(m, Offer))
    later = msgspec.structs.replace(
        message, offer_id=OfferId(message.offer_id.epoch, Seq(9)), quantity=Lots(1)
    )
    batch = msgspec.structs.replace(offer.batch, messages=[later, message])
    engines.step(2, inputs.PeerBatch(batch))

    replies = [m for m in engines.messages(Reply) if isinstance(m, Reply)]
    assert [reply.quantity for reply in replies] == [1, 0]


def test_mark_alone_stops_a_late_offer() -> None:
    """S5: with sessions off, so that nothing else can (S6 backs the mark up)."""
    engines = Engines(2, is_session_checked=False)
    engines.sell(2, 1000, 5)
    engines.step(1, engines.place(1, Side.BUY, 1001, 5))
    late = the_offer(engines)
    engines.wire.append((1, 2, late))
    engines.settle()
    engines.sell(2, 1000, 5)
    engines.step(2, late)
    engines.settle()

    assert len(engines.log(2, TradeAccepted)) == 1
    assert engines.balance(2, "AAPL") == 999_995


def test_decline_is_durable_before_it_is_sent() -> None:
    """S5: the record and the reply belong to one step; E3 gates the reply on it."""
    engines = a_trade_in_flight()
    maker = next(iter(engines.state(2).orders))
    offer = the_offer(engines)
    engines.wire.clear()
    engines.step(2, inputs.CancelOrder(0, engines.account(2), maker))
    engines.wire.clear()
    records = engines.step(2, offer)

    assert [type(record) for record in records] == [TradeDeclined]
    assert len(engines.messages(Reply)) == 1


def test_offer_is_sent_again_after_the_proposer_restarts() -> None:
    """S4, S6, faults 2.2: an offer in doubt is in the log, and kept under its own id."""
    engines = a_trade_in_flight()
    first = next(iter(engines.state(1).offers))
    engines.kill(1)
    engines.settle()
    engines.restart(1)

    (settled,) = engines.log(1, TradeSettled)
    assert isinstance(settled, TradeSettled)
    assert (settled.decider, settled.offer_id) == first
    assert settled.quantity == 5
    engines.check_quiet()


def test_offer_still_in_flight_is_never_taken_for_an_abort() -> None:
    """S5, faults 2.14: the inquiry is the offer itself, so "no record" cannot mean abort."""
    engines = a_trade_in_flight()
    in_flight = the_offer(engines)
    engines.kill(1)
    engines.settle()
    engines.restart(1)  # asks by sending the offer again
    engines.step(2, in_flight)  # only now does the first one arrive
    engines.settle()

    (settled,) = engines.log(1, TradeSettled)
    assert isinstance(settled, TradeSettled)
    assert settled.quantity == 5
    assert len(engines.log(2, TradeAccepted)) == 1
    engines.check_quiet()


@pytest.mark.parametrize("forced", [True, False])
def test_decider_dies_around_its_force(forced: bool) -> None:
    """S3: the forced acceptance is the commit point, whether or not the reply left."""
    engines = a_trade_in_flight()
    offer = the_offer(engines)
    engines.wire.clear()
    engines.step(2, offer, forced=forced, sent=False)
    engines.settle()
    engines.restart(2)

    assert len(engines.log(2, TradeAccepted)) == 1
    assert engines.balance(1, "AAPL") == 1_000_005
    engines.check_quiet()


@pytest.mark.parametrize("forced", [True, False])
def test_proposer_dies_around_the_force_of_its_settlement(forced: bool) -> None:
    """S4: the decider answers the offer again from its log."""
    engines = a_trade_in_flight()
    engines.deliver()
    reply = next(entry for entry in engines.wire if entry[1] == 1)
    engines.wire.clear()
    engines.step(1, reply[2], forced=forced, sent=False)
    engines.settle()
    engines.restart(1)

    assert len(engines.log(1, TradeSettled)) == 1
    assert engines.balance(2, "USD") == 1_005_000
    engines.check_quiet()


def test_silence_never_releases_a_reservation() -> None:
    """S4: no timeout ends doubt."""
    engines = a_trade_in_flight()
    engines.kill(2)
    engines.pass_time(60_000_000)

    assert len(engines.state(1).offers) == 1
    (order,) = engines.state(1).orders.values()
    assert (order.offered, order.open) == (5, 0)


def decided_by_an_operator(quantity: Lots) -> Engines:
    """Return two nodes that meet again: one handled the offer, one was told what became of it."""
    engines = a_trade_in_flight()
    (key,) = engines.state(1).offers
    trade_id = engines.state(1).offers[key].trade_id
    engines.deliver()
    engines.kill(1)
    decision = HeuristicDecision(*key, trade_id, quantity, "ann", "node 2 is lost", 0)  # type: ignore[arg-type]
    engines.machines[1].log.append(decision)
    engines.settle()
    engines.restart(1)
    return engines


def test_decided_by_an_operator_and_agreed_is_forgotten() -> None:
    """S4: a heuristic decision is checked against the decider's own answer."""
    engines = decided_by_an_operator(Lots(5))

    (checked,) = engines.log(1, HeuristicChecked)
    assert isinstance(checked, HeuristicChecked)
    assert checked.quantity == 5
    assert engines.state(1).heuristics == {}
    engines.check_quiet()


def test_decided_by_an_operator_and_contradicted_is_frozen() -> None:
    """S4: disagreement is loud and leaves both records."""
    engines = decided_by_an_operator(Lots(0))

    alarms = [effect for _, effect in engines.effects if isinstance(effect, Alarm)]
    assert [alarm.code for alarm in alarms] == ["heuristic_disagrees"]
    assert [row.answer for row in engines.state(1).heuristics.values()] == [5]
    assert len(engines.state(2).acceptances) == 1


@pytest.mark.parametrize("decided", [0, 2])
def test_decider_is_asked_for_what_an_operator_decided_and_no_more(decided: int) -> None:
    """S4, S5: whoever has not handled the offer may still do just that; others are not asked."""
    engines = a_trade_in_flight()
    state, soft = engines.state(1), engines.engine(1).soft
    (((decider, offer_id), offer),) = state.offers.items()
    decision = HeuristicDecision(
        *(decider, offer_id, offer.trade_id, Lots(decided), "operator", "gone for good"), soft.wall
    )
    apply(state, decision)

    (asked,) = unresolved_offers(soft, NodeId(2))
    assert asked.is_withdrawn is not bool(decided)
    assert not decided or asked.quantity == decided
    assert unresolved_offers(soft, NodeId(3)) == []
