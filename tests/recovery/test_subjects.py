"""What a record is about, also where it names no more than an offer."""

from exchange.domain.orders import FirstAnswer, SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    AccountId,
    Epoch,
    Lots,
    Micros,
    NodeId,
    OrderId,
    Seq,
    Stamp,
    Symbol,
    Ticks,
    TradeId,
    make_id,
)
from exchange.engine.records import (
    OfferId,
    OrderPlaced,
    TradeDeclined,
    TradeOffered,
    TradeSettled,
)
from recovery.subjects import OfferName, Subjects, offer_of, orders_in

ONE, TWO = NodeId(1), NodeId(2)
OFFER = OfferId(Epoch(1), Seq(5))
TAKER, MAKER = OrderId(make_id(1, 7)), OrderId(make_id(2, 8))
TRADE, ACCOUNT, TS = TradeId(make_id(1, 9)), AccountId(make_id(1, 1)), Micros(0)
OFFERED = TradeOffered(
    TWO, OFFER, TRADE, TAKER, MAKER, Lots(1), Ticks(1), Ticks(1), Stamp(1), Stamp(1), TS
)
SETTLED = TradeSettled(TWO, OFFER, Lots(1), TS)


def placed(order_id: OrderId) -> OrderPlaced:
    return OrderPlaced(
        order_id, ACCOUNT, Symbol("AAPL"), Side.BUY, TimeInForce.GTC, SelfTrade.CANCEL_NEWEST,
        Ticks(1), Lots(1), Stamp(1), "", FirstAnswer(Lots(0), Lots(0), 0), TS,
    )  # fmt: skip


def test_offers_of_one_number_in_two_directions_are_two() -> None:
    """S5: or a trade is told with the records of a stranger."""
    declined = TradeDeclined(TWO, OFFER, TRADE, "gone", TS)

    assert offer_of(ONE, SETTLED) == OfferName(ONE, TWO, OFFER)
    assert offer_of(ONE, declined) == OfferName(TWO, ONE, OFFER)
    assert offer_of(ONE, placed(TAKER)) is None


def test_zero_is_no_order() -> None:
    """A record that names none is about none."""
    assert orders_in(OFFERED) == {TAKER, MAKER}
    assert not orders_in(SETTLED)


def test_record_that_names_an_offer_is_about_its_orders() -> None:
    """Until the offer is over, and its number is let go."""
    subjects = Subjects(ONE)
    for record in (placed(TAKER), OFFERED):
        subjects.learn(record)

    assert subjects.orders(SETTLED) == {TAKER, MAKER}
    assert subjects.accounts(SETTLED) == {ACCOUNT}
    assert subjects.symbol(SETTLED) == "AAPL"
    subjects.forget(SETTLED)
    assert not subjects.orders(SETTLED)
