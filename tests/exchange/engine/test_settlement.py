"""Two-phase commit between two engines.  Each docstring cites the rule it tests."""

import msgspec

from exchange.domain.orders import Side, Status
from exchange.domain.units import Lots, NodeId, Seq
from exchange.engine import inputs
from exchange.engine.effects import OrderAnswer, Refused, Send
from exchange.engine.messages import Ack, Events, Offer, Reply
from exchange.engine.records import (
    LocalTrade,
    OfferId,
    OffersForgotten,
    TradeAccepted,
    TradeDeclined,
    TradeOffered,
    TradeSettled,
)
from tests.exchange.engine.offers import a_trade_in_flight, the_offer
from tests.support.engines import Engines, redo


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


def test_order_that_came_between_a_makers_event_and_the_reply_meets_what_is_left() -> None:
    """S3: until the reply, the quantity that it releases hid the rest of the maker from it."""
    engines = a_trade_in_flight(maker_quantity=10, taker_quantity=6)
    engines.deliver()
    (place, (source, target, item)) = next(
        (place, entry)
        for place, entry in enumerate(engines.wire)
        if isinstance(entry[2], inputs.PeerBatch)
        and any(isinstance(message, Reply) for message in entry[2].batch.messages)
    )
    assert isinstance(item, inputs.PeerBatch)
    said = item.batch.messages
    before = [message for message in said if not isinstance(message, Reply)]
    assert any(isinstance(message, Events) for message in before)
    engines.step(1, inputs.PeerBatch(msgspec.structs.replace(item.batch, messages=before)))
    late = engines.place(1, Side.BUY, 1001, 4)
    engines.step(1, late)
    rest = [message for message in said if isinstance(message, Reply)]
    reply = inputs.PeerBatch(msgspec.structs.replace(item.batch, messages=rest))
    engines.wire[place] = (source, target, reply)
    engines.settle()

    answer = engines.answers[late.ticket]
    assert isinstance(answer, OrderAnswer)
    assert engines.filled(answer.order_id) == 4
    engines.check_quiet()


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
