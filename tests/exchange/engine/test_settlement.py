"""Two-phase commit between two engines.  Each docstring cites the rule it tests."""

import msgspec
import pytest

from exchange.domain.orders import Side, Status
from exchange.domain.units import Lots, NodeId, OrderId, Seq
from exchange.engine import inputs
from exchange.engine.apply import apply
from exchange.engine.effects import Alarm, OrderAnswer, Refused, Send
from exchange.engine.messages import Ack, Batch, Events, Offer, Reply
from exchange.engine.records import (
    HeuristicChecked,
    HeuristicDecision,
    LocalTrade,
    OfferId,
    OffersForgotten,
    TradeAccepted,
    TradeDeclined,
    TradeOffered,
    TradeSettled,
)
from exchange.engine.settlement import unresolved_offers
from tests.support.engines import Engines, redo


def a_trade_in_flight(*, maker_quantity: int = 5, taker_quantity: int = 5) -> Engines:
    """Node 2 has a resting ask; node 1 has offered for it; the offer is on the wire."""
    engines = Engines(2)
    engines.sell(2, 1000, maker_quantity)
    engines.step(1, engines.place(1, Side.BUY, 1001, taker_quantity))
    return engines


def the_offer(engines: Engines) -> inputs.PeerBatch:
    """Take the offer off the wire, alone; what travelled with it stays."""
    for place, (sender, to, item) in enumerate(engines.wire):
        if not isinstance(item, inputs.PeerBatch):
            continue
        offers = [message for message in item.batch.messages if isinstance(message, Offer)]
        if offers:
            rest = [message for message in item.batch.messages if message not in offers]
            left = inputs.PeerBatch(msgspec.structs.replace(item.batch, messages=rest))
            engines.wire[place] = (sender, to, left)
            return inputs.PeerBatch(msgspec.structs.replace(item.batch, messages=offers))
    raise AssertionError("no offer on the wire")


def test_trade_is_settled_on_both_sides_at_the_makers_price() -> None:
    """S3, S13: maker's price, both halves equal."""
    engines = a_trade_in_flight()
    engines.settle()

    assert (engines.balance(1, "AAPL"), engines.balance(2, "AAPL")) == (1_000_005, 999_995)
    assert (engines.balance(1, "USD"), engines.balance(2, "USD")) == (995_000, 1_005_000)
    engines.check_quiet()


def test_cross_node_trade_costs_two_forces_there_and_one_here() -> None:
    """S3: last-agent two-phase commit; forgetting is lazy and costs none (S7)."""
    engines = a_trade_in_flight()
    engines.settle()

    (offered,) = engines.log(1, TradeOffered)
    (settled,) = engines.log(1, TradeSettled)
    (accepted,) = engines.log(2, TradeAccepted)
    assert isinstance(offered, TradeOffered)
    assert isinstance(settled, TradeSettled)
    assert isinstance(accepted, TradeAccepted)
    assert accepted.quantity == settled.quantity == offered.quantity == 5
    assert not engines.log(2, OffersForgotten)


def test_offer_reserves_the_quantity_before_it_is_sent() -> None:
    """Faults 2.10: quantity under way is not offered twice, here or there."""
    engines = a_trade_in_flight(maker_quantity=5, taker_quantity=3)
    engines.step(1, engines.place(1, Side.BUY, 1001, 9))

    offered = [r.quantity for r in engines.log(1, TradeOffered) if isinstance(r, TradeOffered)]
    assert offered == [3, 2]
    engines.settle()
    engines.check_quiet()


def test_maker_event_comes_before_the_reply() -> None:
    """S3: the proposer's replica is right when the reply releases the quantity."""
    engines = a_trade_in_flight()
    offer = the_offer(engines)
    engines.wire.clear()
    engines.step(2, offer)

    sent = [type(e.message) for n, e in engines.effects if n == 2 and isinstance(e, Send)]
    assert sent[-2:] == [Events, Reply]


def test_partial_acceptance_returns_the_rest() -> None:
    """S3: the decider accepts what the maker has open."""
    engines = a_trade_in_flight(maker_quantity=5)
    maker = next(iter(engines.state(2).orders))
    offer = the_offer(engines)
    engines.step(2, inputs.AmendOrder(0, engines.account(2), maker, price=None, quantity=Lots(2)))
    engines.wire.append((1, 2, offer))
    engines.settle()

    (accepted,) = engines.log(2, TradeAccepted)
    assert isinstance(accepted, TradeAccepted)
    assert accepted.quantity == 2
    assert [order.open for order in engines.state(1).orders.values()] == [3]
    engines.check_quiet()


def test_offer_for_a_maker_that_is_gone_is_declined_and_matched_again() -> None:
    """S3: released quantity looks for the next maker."""
    engines = a_trade_in_flight()
    gone = next(iter(engines.state(2).orders))
    offer = the_offer(engines)
    engines.step(2, inputs.CancelOrder(0, engines.account(2), gone))
    other = engines.place(2, Side.SELL, 1001, 5)
    engines.step(2, other)
    engines.wire.append((1, 2, offer))
    engines.settle()

    answer = engines.answers[other.ticket]
    assert isinstance(answer, OrderAnswer)
    assert engines.filled(answer.order_id) == 5
    assert len(engines.log(2, TradeDeclined)) == 1
    engines.check_quiet()


def test_amended_price_declines_the_offer() -> None:
    """S9: an offer names the maker's stamp and price."""
    engines = a_trade_in_flight()
    maker = next(iter(engines.state(2).orders))
    offer = the_offer(engines)
    amend = inputs.AmendOrder(0, engines.account(2), maker, price=1002, quantity=None)  # type: ignore[arg-type]
    engines.step(2, amend)
    engines.wire.append((1, 2, offer))
    engines.settle()

    (declined,) = engines.log(2, TradeDeclined)
    assert isinstance(declined, TradeDeclined)
    assert declined.reason == "changed"
    engines.check_quiet()


def test_order_told_filled_grows_no_more() -> None:
    """S9: "filled" is final, also while older offers are in doubt (AnswersSurvive, seed 326401)."""
    engines = Engines(3)
    engines.sell(2, 1000, 2)
    engines.sell(3, 1000, 2)
    placed = engines.place(1, Side.BUY, 1001, 4)
    engines.step(1, placed)
    late = the_offer(engines)
    engines.settle()
    (order,) = engines.state(1).orders.values()
    assert (order.filled, order.offered) == (2, 2)

    for ticket, total in ((-1, 2), (-2, 9)):
        amend = inputs.AmendOrder(ticket, engines.account(1), order.order_id, None, Lots(total))
        engines.step(1, amend)
        engines.settle()

    less, more = engines.answers[-1], engines.answers[-2]
    assert isinstance(less, OrderAnswer)
    assert (less.status, less.in_doubt) == (Status.FILLED, 2)
    assert isinstance(more, Refused)
    assert more.code == "order_done"
    engines.wire.append((1, 2, late))
    engines.settle()
    assert engines.filled(order.order_id) == 4
    engines.check_quiet()


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


def test_acknowledged_acceptances_are_forgotten() -> None:
    """S7: one watermark forgets all below it."""
    engines = a_trade_in_flight()
    engines.settle()
    engines.pass_time(3_000_000)

    assert engines.state(2).acceptances == {}
    assert engines.state(2).peers[NodeId(1)].forgotten == OfferId(
        engines.state(1).scalars.epoch, Seq(2)
    )


def test_ack_waits_until_the_settlement_is_durable() -> None:
    """S7, faults 2.16: the ack leaves in the step that logs the settlement, behind it."""
    engines = a_trade_in_flight()
    engines.deliver()
    records = engines.step(1, next(entry for entry in engines.wire if entry[1] == 1)[2])

    assert TradeSettled in [type(record) for record in records]
    assert len(engines.messages(Ack)) == 1


def test_offer_below_the_watermark_quarantines_its_proposer() -> None:
    """S7: state was lost or copied; money is never refused for it."""
    engines = a_trade_in_flight()
    offer = the_offer(engines)
    engines.wire.append((1, 2, offer))
    engines.settle()
    engines.pass_time(3_000_000)
    engines.step(2, offer)

    alarms = [effect for _, effect in engines.effects if isinstance(effect, Alarm)]
    assert [alarm.code for alarm in alarms] == ["peer_quarantined"]
    assert not engines.messages(Reply)


def test_trade_is_published_by_the_decider_alone() -> None:
    """S8: the proposer shows a fill, the tape is the decider's."""
    engines = a_trade_in_flight()

    assert engines.state(1).scalars.trades == 0
    assert engines.state(1).fills == {}
    engines.settle()
    assert (engines.state(1).scalars.trades, engines.state(2).scalars.trades) == (0, 1)


def test_cancel_during_doubt_lets_the_offer_decide() -> None:
    """S9, faults 2.13: the answer says what is in doubt; the trade still happens whole."""
    engines = a_trade_in_flight(maker_quantity=5, taker_quantity=8)
    (taker,) = engines.state(1).orders
    engines.tickets += 1
    engines.step(1, inputs.CancelOrder(engines.tickets, engines.account(1), taker))
    answer = engines.answers[engines.tickets]
    engines.settle()

    assert (answer.removed, answer.in_doubt) == (3, 5)  # type: ignore[union-attr]
    assert engines.filled(taker) == 5
    assert not engines.state(1).orders
    engines.check_quiet()


def test_declined_quantity_of_a_canceled_order_is_gone() -> None:
    """S9: returning quantity takes the new terms."""
    engines = a_trade_in_flight()
    (taker,), (maker,) = engines.state(1).orders, engines.state(2).orders
    offer = the_offer(engines)
    engines.step(2, inputs.CancelOrder(0, engines.account(2), maker))
    engines.step(1, inputs.CancelOrder(0, engines.account(1), taker))
    engines.wire.append((1, 2, offer))
    engines.settle()

    assert engines.filled(taker) == 0
    assert not engines.state(1).orders
    engines.check_quiet()


def test_offer_of_the_older_side_is_declined() -> None:
    """S2: only the owner of the younger order proposes."""
    engines = a_trade_in_flight()
    offer = the_offer(engines)
    engines.wire.clear()
    message = next(m for m in offer.batch.messages if isinstance(m, Offer))
    old = msgspec.structs.replace(message, taker_stamp=message.maker_stamp - 1)
    engines.step(2, inputs.PeerBatch(msgspec.structs.replace(offer.batch, messages=[old])))

    (declined,) = engines.log(2, TradeDeclined)
    assert isinstance(declined, TradeDeclined)
    assert declined.reason == "younger"


@pytest.mark.parametrize(
    "change",
    [{"quantity": 0}, {"quantity": -3}, {"taker": OrderId(3 << 50)}, {"maker": OrderId(1 << 50)}],
)
def test_impossible_offer_quarantines_its_sender(change: dict[str, int]) -> None:
    """B7, faults 2.9: an offer for nothing, or of another's order."""
    engines = a_trade_in_flight()
    offer = the_offer(engines)
    engines.wire.clear()
    message = next(m for m in offer.batch.messages if isinstance(m, Offer))
    forged = msgspec.structs.replace(message, **change)
    engines.step(2, inputs.PeerBatch(msgspec.structs.replace(offer.batch, messages=[forged])))

    assert engines.engine(2).soft.links[NodeId(1)].quarantine
    assert engines.log(2, TradeAccepted) == []


def test_reply_for_an_unknown_offer_changes_nothing() -> None:
    """Faults 2.2: a reply for an unknown trade is old news."""
    engines = Engines(2)
    session = engines.engine(1).soft.links[NodeId(2)].session
    assert session is not None
    engine = engines.engine(2)
    reply = Reply(OfferId(engine.state.scalars.epoch, Seq(7)), Lots(3))
    before = engines.balance(1, "AAPL")
    batch = Batch(session, engine.clock, engine.proof, [reply], NodeId(2))
    records = engines.step(1, inputs.PeerBatch(batch))

    assert records == []
    assert engines.balance(1, "AAPL") == before


def reply_of(engines: Engines, sender: int, offer: Offer, quantity: int) -> inputs.PeerBatch:
    """Forge a reply to an offer of node 1, from a certified peer."""
    session = engines.engine(1).soft.links[NodeId(sender)].session
    assert session is not None
    engine = engines.engine(sender)
    reply = Reply(offer.offer_id, Lots(quantity))
    return inputs.PeerBatch(Batch(session, engine.clock, engine.proof, [reply], NodeId(sender)))


@pytest.mark.parametrize(("sender", "quantity"), [(3, 5), (2, 6), (2, -1)])
def test_forged_reply_to_an_offer_moves_nothing(sender: int, quantity: int) -> None:
    """B7, issue 5: neither a third node nor more than was offered settles a trade."""
    engines = Engines(3)
    engines.sell(2, 1000, 5)
    before = (engines.balance(1, "AAPL"), engines.balance(1, "USD"))
    engines.step(1, engines.place(1, Side.BUY, 1000, 5))
    message = next(m for m in the_offer(engines).batch.messages if isinstance(m, Offer))
    records = engines.step(1, reply_of(engines, sender, message, quantity))

    assert not [record for record in records if isinstance(record, TradeSettled)]
    assert engines.balance(1, "AAPL") == before[0]
    assert engines.log(1, TradeSettled) == []


def test_two_orders_that_cross_at_the_same_instant_make_one_offer() -> None:
    """S2, faults 2.1: no duel, no decline, no livelock; a thousand times."""
    engines = Engines(2)
    for _ in range(1000):
        sell = engines.place(2, Side.SELL, 1000, 1)
        buy = engines.place(1, Side.BUY, 1000, 1)
        engines.step(2, sell)
        engines.step(1, buy)
        engines.settle()

    offers = engines.log(1, TradeOffered) + engines.log(2, TradeOffered)
    assert len(offers) == 1000
    assert not engines.log(1, TradeDeclined) + engines.log(2, TradeDeclined)
    engines.check_quiet()


def test_decided_by_an_operator_and_agreed_is_forgotten() -> None:
    """S4: a heuristic decision is checked against the decider's own answer."""
    engines = a_trade_in_flight()
    (key,) = engines.state(1).offers
    trade_id = engines.state(1).offers[key].trade_id
    engines.deliver()
    engines.kill(1)
    decision = HeuristicDecision(*key, trade_id, Lots(5), "ann", "node 2 is lost", 0)  # type: ignore[arg-type]
    engines.machines[1].log.append(decision)
    engines.settle()
    engines.restart(1)

    (checked,) = engines.log(1, HeuristicChecked)
    assert isinstance(checked, HeuristicChecked)
    assert checked.quantity == 5
    assert engines.state(1).heuristics == {}
    engines.check_quiet()


def test_decided_by_an_operator_and_contradicted_is_frozen() -> None:
    """S4: disagreement is loud and leaves both records."""
    engines = a_trade_in_flight()
    (key,) = engines.state(1).offers
    trade_id = engines.state(1).offers[key].trade_id
    engines.deliver()
    engines.kill(1)
    decision = HeuristicDecision(*key, trade_id, Lots(0), "ann", "node 2 is lost", 0)  # type: ignore[arg-type]
    engines.machines[1].log.append(decision)
    engines.settle()
    engines.restart(1)

    alarms = [effect for _, effect in engines.effects if isinstance(effect, Alarm)]
    assert [alarm.code for alarm in alarms] == ["heuristic_disagrees"]
    assert engines.state(1).heuristics[key].answer == 5
    assert len(engines.state(2).acceptances) == 1


def test_redo_rebuilds_the_live_state() -> None:
    """E2: the log alone tells the whole state."""
    engines = a_trade_in_flight(maker_quantity=3, taker_quantity=8)
    engines.settle()

    for node in (1, 2):
        live, redone = engines.state(node), redo(node, engines.machines[node].log)
        for name, table in live.tables().items():
            assert dict(redone.tables()[name]) == dict(table), name


def test_local_trade_is_one_record_for_both_legs() -> None:
    """S10, faults 2.6: both legs or none; a committed buyer pays."""
    engines = Engines(1, linked=False)
    engines.step(1, inputs.Tick())
    other = engines.account(1) + 1
    engines.step(1, inputs.OpenAccount(0, other, b""))  # type: ignore[arg-type]
    engines.step(1, inputs.MoveFunds(0, other, "USD", 5_000))  # type: ignore[arg-type]
    engines.sell(1, 1000, 5)
    engines.buy(1, 1000, 5, account=other)

    assert len(engines.log(1, LocalTrade)) == 1
    account = engines.state(1).accounts[other]  # type: ignore[index]
    assert (account.available, account.held) == ({"USD": 0, "AAPL": 5}, {"USD": 0})
    engines.check_quiet()


def test_peer_that_accepts_more_than_was_offered_is_quarantined() -> None:
    """B7, S4: an impossible reply ends no doubt."""
    engines = a_trade_in_flight()
    ((_, offer_id),) = engines.state(1).offers
    session = engines.engine(1).soft.links[NodeId(2)].session
    assert session is not None
    decider = engines.engine(2)
    reply = Reply(offer_id, Lots(6))
    batch = Batch(session, decider.clock, decider.proof, [reply], NodeId(2))
    engines.step(1, inputs.PeerBatch(batch))

    assert engines.engine(1).soft.links[NodeId(2)].quarantine
    assert len(engines.state(1).offers) == 1


def test_decline_of_a_maker_that_still_looks_open_closes_the_link() -> None:
    """S3: or the same offer would be made for ever."""
    engines = a_trade_in_flight()
    ((_, offer_id),) = engines.state(1).offers
    session = engines.engine(1).soft.links[NodeId(2)].session
    assert session is not None
    decider = engines.engine(2)
    batch = Batch(session, decider.clock, decider.proof, [Reply(offer_id, Lots(0))], NodeId(2))
    engines.step(1, inputs.PeerBatch(batch))

    assert engines.engine(1).soft.links[NodeId(2)].session is None
    assert not engines.state(1).offers


def test_offer_from_the_side_of_the_maker_is_declined() -> None:
    """S2: a buyer does not buy from a buyer."""
    engines = a_trade_in_flight()
    item = the_offer(engines)
    (offer,) = (message for message in item.batch.messages if isinstance(message, Offer))
    wrong = msgspec.structs.replace(offer, side=Side.SELL)
    batch = msgspec.structs.replace(item.batch, messages=[wrong])
    engines.step(2, inputs.PeerBatch(batch))

    (declined,) = engines.log(2, TradeDeclined)
    assert isinstance(declined, TradeDeclined)
    assert declined.reason == "wrong side"


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


def test_offer_with_a_stamp_ahead_of_its_senders_clock_is_quarantined() -> None:
    """S2, B7: a younger stamp than anybody could have given yet."""
    engines = a_trade_in_flight()
    item = the_offer(engines)
    (offer,) = (message for message in item.batch.messages if isinstance(message, Offer))
    stamp = type(offer.taker_stamp)((item.batch.clock + 5) << 13)
    ahead = msgspec.structs.replace(offer, taker_stamp=stamp)
    batch = msgspec.structs.replace(item.batch, messages=[ahead])
    engines.step(2, inputs.PeerBatch(batch))

    assert engines.engine(2).soft.links[NodeId(1)].quarantine
    assert not engines.log(2, TradeAccepted)


def test_second_impossible_offer_is_no_second_quarantine() -> None:
    """B7: settlement with a quarantined peer goes on, and its people were alarmed once."""
    engines = a_trade_in_flight()
    item = the_offer(engines)
    (offer,) = (message for message in item.batch.messages if isinstance(message, Offer))
    forged = msgspec.structs.replace(offer, quantity=Lots(0))
    batch = msgspec.structs.replace(item.batch, messages=[forged, forged])
    engines.effects.clear()
    engines.step(2, inputs.PeerBatch(batch))

    alarms = [effect for _, effect in engines.effects if isinstance(effect, Alarm)]
    assert [alarm.code for alarm in alarms] == ["peer_quarantined"]
    assert engines.log(2, TradeAccepted) == []
