"""The naive model says what a person would say."""

from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import FirstAnswer, Reason, SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    AccountId,
    Asset,
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
    Units,
    make_id,
)
from exchange.engine import records
from exchange.engine.records import OfferId, Record
from fuzz.model import Exchange, Node, hold, open_quantity, sums

NODE = NodeId(1)
ALICE, BOB = AccountId(make_id(1, 1)), AccountId(make_id(1, 2))
NOW = Micros(0)


def an_exchange(*more: Record) -> Node:
    exchange = Exchange()
    log = [
        records.InstrumentListed(plain_ticker("AAPL"), NOW),
        records.AccountOpened(ALICE, b"", NOW),
        records.AccountOpened(BOB, b"", NOW),
        records.Transferred(ALICE, Asset("USD"), Units(1_000), NOW),
        records.Transferred(BOB, Asset("AAPL"), Units(10), NOW),
        *more,
    ]
    for lsn, record in enumerate(log, start=1):
        exchange.learn(NODE, lsn, record)
    return exchange.node(NODE)


def placed(number: int, account: AccountId, side: Side, price: int, quantity: int) -> Record:
    return records.OrderPlaced(
        OrderId(make_id(1, number)),
        account,
        Symbol("AAPL"),
        side,
        TimeInForce.GTC,
        SelfTrade.CANCEL_NEWEST,
        Ticks(price),
        Lots(quantity),
        Stamp(number),
        "",
        FirstAnswer(),
        NOW,
    )


SELL = placed(3, BOB, Side.SELL, 90, 4)
BUY = placed(4, ALICE, Side.BUY, 100, 6)


def test_local_trade_moves_cash_one_way_and_shares_the_other() -> None:
    """S13."""
    maker, taker = OrderId(make_id(1, 3)), OrderId(make_id(1, 4))
    trade = records.LocalTrade(TradeId(make_id(1, 5)), maker, taker, Lots(4), Ticks(90), NOW)
    node = an_exchange(SELL, BUY, trade)

    assert node.balances[ALICE, "USD"] == 1_000 - 360
    assert node.balances[BOB, "USD"] == 360
    assert node.balances[ALICE, "AAPL"] == 4
    assert not any(sums(node).values())
    assert open_quantity(node, node.orders[taker]) == 2
    assert hold(node, node.orders[taker]) == ("USD", 200)


def test_offer_out_holds_at_the_limit_it_was_made_at() -> None:
    """S1, S9."""
    taker = OrderId(make_id(1, 4))
    offer = records.TradeOffered(
        NodeId(2),
        OfferId(Epoch(1), Seq(1)),
        TradeId(make_id(1, 5)),
        taker,
        OrderId(make_id(2, 7)),
        Lots(5),
        Ticks(95),
        Ticks(100),
        Stamp(4),
        Stamp(2),
        NOW,
    )
    amended = records.OrderAmended(taker, Ticks(80), Lots(6), Stamp(9), NOW)
    node = an_exchange(BUY, offer, amended)

    assert open_quantity(node, node.orders[taker]) == 1
    assert hold(node, node.orders[taker]) == ("USD", 5 * 100 + 1 * 80)


def test_canceled_quantity_is_gone_when_it_returns() -> None:
    """S9."""
    maker = OrderId(make_id(1, 3))
    node = an_exchange(SELL, records.OrderCanceled(maker, Reason.CLIENT, NOW))

    assert open_quantity(node, node.orders[maker]) == 0
    assert hold(node, node.orders[maker]) == ("AAPL", 0)
