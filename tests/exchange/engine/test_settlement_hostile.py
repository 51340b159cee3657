"""What a peer may not say about a trade, and what it costs it."""

import msgspec
import pytest

from exchange.domain.orders import Side
from exchange.domain.units import Lots, NodeId, OrderId, Seq
from exchange.engine import inputs
from exchange.engine.effects import Alarm
from exchange.engine.messages import Batch, Offer, Reply
from exchange.engine.records import (
    OfferId,
    TradeAccepted,
    TradeSettled,
)
from tests.exchange.engine.offers import a_trade_in_flight, the_offer
from tests.support.engines import Engines


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


def answered(quantity: Lots) -> Engines:
    """Return two nodes, the proposer of which has got this reply out of nowhere."""
    engines = a_trade_in_flight()
    ((_, offer_id),) = engines.state(1).offers
    session = engines.engine(1).soft.links[NodeId(2)].session
    assert session is not None
    decider = engines.engine(2)
    batch = Batch(session, decider.clock, decider.proof, [Reply(offer_id, quantity)], NodeId(2))
    engines.step(1, inputs.PeerBatch(batch))
    return engines


def test_peer_that_accepts_more_than_was_offered_is_quarantined() -> None:
    """B7, S4: an impossible reply ends no doubt."""
    engines = answered(Lots(6))

    assert engines.engine(1).soft.links[NodeId(2)].quarantine
    assert len(engines.state(1).offers) == 1


def test_decline_of_a_maker_that_still_looks_open_closes_the_link() -> None:
    """S3: or the same offer would be made for ever."""
    engines = answered(Lots(0))

    assert engines.engine(1).soft.links[NodeId(2)].session is None
    assert not engines.state(1).offers


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
