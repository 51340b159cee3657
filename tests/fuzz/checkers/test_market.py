"""Price-time priority, on turns made by hand: what is a fault, and what only looks like one."""

from collections.abc import Sequence

import pytest

from exchange.domain.orders import FirstAnswer, SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    Epoch,
    Lots,
    Lsn,
    Micros,
    NodeId,
    OrderId,
    Seq,
    Stamp,
    Ticks,
    TradeId,
    make_id,
)
from exchange.engine.effects import Answer, Effect, OrderAnswer
from exchange.engine.engine import Step
from exchange.engine.records import (
    LocalTrade,
    OfferId,
    OrderPlaced,
    Record,
    TradeOffered,
    TradeSettled,
)
from fuzz.checkers.market import PriceTimePriority
from fuzz.process import Process
from fuzz.script import MS, SECOND, Script, calm
from fuzz.violation import Violation

OFFER = OfferId(Epoch(1), Seq(1))
NOW = Micros(0)


class Shown:
    """Two nodes; an order of node 2 is acknowledged, and its client has been told."""

    def __init__(self) -> None:
        self.script = Script(calm(delay_us=MS))
        call = self.script.answered(self.script.sell(2, 5, 100))
        assert isinstance(call.body, OrderAnswer)
        self.order = call.body
        self.checker = PriceTimePriority(self.script.cluster)
        self.checker.begin()
        self.here, owner = self.script.process(1), self.script.process(2)
        self.turn(self.here)
        self.turn(owner)
        self.turn(owner, effects=[Answer(7, self.order)])
        self.checker.on_told(call, self.order, 7)

    def turn(
        self, process: Process, records: Sequence[Record] = (), effects: Sequence[Effect] = ()
    ) -> None:
        """Let the checker hear of a turn."""
        step = Step(list(records), list(effects), Lsn(1_000), {})
        self.checker.on_decided(process, step)

    def older(self) -> OrderPlaced:
        """Return an order of node 1 with a stamp below that of the order it was shown."""
        shown = self.script.process(2).engine.state.orders[self.order.order_id]
        return OrderPlaced(
            OrderId(make_id(1, 99)),
            shown.account,
            shown.symbol,
            Side.BUY,
            TimeInForce.GTC,
            SelfTrade.CANCEL_NEWEST,
            Ticks(100),
            Lots(1),
            Stamp(shown.stamp - 1),
            "",
            FirstAnswer(),
            NOW,
        )

    def dearer(self) -> LocalTrade:
        """Return a trade of node 1 with itself that passes over the cheaper order."""
        maker = self.script.answered(self.script.sell(1, 5, 101)).body
        taker = self.script.answered(self.script.buy(1, 5, 99, account=1)).body
        assert isinstance(maker, OrderAnswer)
        assert isinstance(taker, OrderAnswer)
        return LocalTrade(TradeId(1), maker.order_id, taker.order_id, Lots(5), Ticks(101), NOW)


def test_order_is_younger_than_one_that_was_shown_here() -> None:
    """B3."""
    shown = Shown()

    with pytest.raises(Violation, match="was acknowledged, and shown here, before"):
        shown.turn(shown.here, [shown.older()])


def test_node_that_was_silent_gives_its_stamps_before_it_hears_of_others() -> None:
    """B3, B5.  Its peers say hello in that turn, and are linked when it ends: seed 304249."""
    shown = Shown()
    shown.here.silence_us = 4 * SECOND

    shown.turn(shown.here, [shown.older()])


def test_better_order_that_was_shown_here_is_not_skipped() -> None:
    """B3."""
    shown = Shown()
    trade = shown.dearer()

    with pytest.raises(Violation, match="node 1 skips"):
        shown.turn(shown.here, [trade])


def test_order_that_was_all_reserved_when_the_turn_began_is_not_skipped() -> None:
    """B3.  Its offer is settled in that turn, and something of it is left: seed 315253."""
    shown = Shown()
    trade = shown.dearer()
    taker, maker = trade.taker, shown.order.order_id
    offered = TradeOffered(
        *(NodeId(2), OFFER, TradeId(2), taker, maker, Lots(5), Ticks(100), Ticks(100)),
        *(Stamp(2), Stamp(1), NOW),
    )
    shown.checker.exchange.node(1).offers[NodeId(2), OFFER] = offered

    shown.turn(shown.here, [trade, TradeSettled(NodeId(2), OFFER, Lots(2), NOW)])
