"""Matching over the market's book.  Each docstring cites the rule it tests."""

import pytest

from exchange.domain.orders import SelfTrade, Side, Status, TimeInForce
from exchange.domain.units import AccountId, OrderId, Seq, node_of
from exchange.engine import inputs
from exchange.engine.effects import OrderAnswer
from exchange.engine.records import LocalTrade, TradeAccepted, TradeDeclined, TradeOffered
from tests.support.engines import Engines


def one_node(**config: object) -> Engines:
    engines = Engines(1, linked=False, **config)
    engines.step(1, inputs.Tick())
    return engines


def another_account(engines: Engines, number: int = 1) -> AccountId:
    account = AccountId(engines.account(1) + number)
    engines.step(1, inputs.OpenAccount(0, account, b""))
    for asset in ("USD", "AAPL"):
        engines.step(1, inputs.MoveFunds(0, account, asset, 1_000_000))  # type: ignore[arg-type]
    return account


def status(engines: Engines, order_id: OrderId) -> Status:
    order = engines.state(node_of(order_id)).find_order(order_id)
    assert order is not None
    return order.status


def test_best_price_is_met_first_then_the_oldest() -> None:
    """Faults 2.11: with several asks the lowest is the best, and age breaks ties."""
    engines = one_node()
    other = another_account(engines)
    dear = engines.sell(1, 1002, 1)
    first = engines.sell(1, 1001, 1)
    second = engines.sell(1, 1001, 1)
    engines.buy(1, 1002, 2, account=other)

    makers = [r.maker for r in engines.log(1, LocalTrade) if isinstance(r, LocalTrade)]
    assert makers == [first, second]
    assert status(engines, dear) is Status.OPEN


def test_best_price_is_met_across_nodes() -> None:
    """S2: price-time priority over the whole market, wherever an order lives."""
    engines = Engines(3)
    worse = engines.sell(1, 1002, 1)
    older = engines.sell(2, 1001, 1)
    younger = engines.sell(3, 1001, 1)
    engines.buy(1, 1002, 2)

    assert [engines.filled(order) for order in (older, younger, worse)] == [1, 1, 0]
    engines.check_quiet()


def test_older_order_waits_for_the_offer() -> None:
    """S2: when an event shows a younger crossing order, its owner proposes, not we."""
    engines = Engines(2)
    engines.sell(1, 1000, 5)
    engines.buy(2, 1000, 5)

    assert engines.log(1, TradeOffered) == []
    assert len(engines.log(2, TradeOffered)) == 1


def test_remaining_quantity_rests() -> None:
    """S1: what is not matched is held and shown."""
    engines = Engines(2)
    engines.sell(2, 1000, 3)
    order_id = engines.buy(1, 1001, 8)

    assert status(engines, order_id) is Status.PARTIALLY_FILLED
    entry = engines.engine(2).soft.links[1].replica.orders[order_id]  # type: ignore[index]
    assert (entry.price, entry.open) == (1001, 5)


def test_ioc_never_rests() -> None:
    """S2: declined or unmatched quantity of an IOC is canceled."""
    engines = Engines(2)
    engines.sell(2, 1000, 3)
    order_id = engines.buy(1, 1001, 8, time_in_force=TimeInForce.IOC)

    order = engines.state(1).find_order(order_id)
    assert order is not None
    assert (order.filled, order.total, order.status) == (3, 3, Status.CANCELED)
    assert engines.engine(2).soft.links[1].replica.orders == {}  # type: ignore[index]
    engines.check_quiet()


def test_declined_ioc_is_matched_again_with_a_new_stamp() -> None:
    """S2: an order that never rests takes a new stamp for every pass."""
    engines = Engines(2)
    gone = engines.sell(2, 1000, 5)
    engines.step(1, engines.place(1, Side.BUY, 1001, 5, time_in_force=TimeInForce.IOC))
    engines.step(2, inputs.CancelOrder(0, engines.account(2), gone))
    engines.step(2, engines.place(2, Side.SELL, 1001, 5))
    engines.settle()

    first, second = (r for r in engines.log(1, TradeOffered) if isinstance(r, TradeOffered))
    assert second.taker_stamp > first.taker_stamp
    assert second.taker_stamp > second.maker_stamp
    assert engines.balance(1, "AAPL") == 1_000_005
    engines.check_quiet()


def test_two_takers_race_for_one_maker() -> None:
    """S3: the decider serves them in its order; the loser rests, nothing is over-filled."""
    engines = Engines(3)
    maker = engines.sell(1, 1000, 5)
    engines.step(2, engines.place(2, Side.BUY, 1000, 4))
    engines.step(3, engines.place(3, Side.BUY, 1000, 4))
    engines.settle()

    assert engines.filled(maker) == 5
    assert engines.balance(2, "AAPL") + engines.balance(3, "AAPL") == 2_000_005
    engines.check_quiet()


def test_own_released_quantity_is_matched_by_own_younger_orders() -> None:
    """S3: without it one market in forty stays crossed for good."""
    engines = Engines(2)
    other = AccountId(engines.account(1) + 1)
    engines.step(1, inputs.OpenAccount(0, other, b""))
    engines.step(1, inputs.MoveFunds(0, other, "AAPL", 100))  # type: ignore[arg-type]
    maker = engines.sell(2, 1000, 5)
    engines.step(1, engines.place(1, Side.BUY, 1000, 5))
    engines.step(2, inputs.CancelOrder(0, engines.account(2), maker))
    engines.step(1, engines.place(1, Side.SELL, 1000, 5, account=other))
    engines.settle()

    assert len(engines.log(2, TradeDeclined)) == 1
    assert len(engines.log(1, LocalTrade)) == 1
    engines.check_quiet()


@pytest.mark.parametrize(
    ("mode", "maker_open", "taker_open"),
    [
        (SelfTrade.CANCEL_NEWEST, 5, 0),
        (SelfTrade.CANCEL_OLDEST, 0, 8),
        (SelfTrade.CANCEL_BOTH, 0, 0),
    ],
)
def test_order_never_trades_with_its_own_account(
    mode: SelfTrade, maker_open: int, taker_open: int
) -> None:
    """S10, faults 2.8: a self-trade is prevented, and nothing freezes."""
    engines = one_node()
    maker = engines.sell(1, 1000, 5)
    taker = engines.buy(1, 1000, 8, self_trade=mode)

    opened = [engines.state(1).find_order(order_id) for order_id in (maker, taker)]
    assert [order.open for order in opened if order] == [maker_open, taker_open]
    assert not engines.log(1, LocalTrade)


def test_self_trade_stands_behind_better_orders_of_others() -> None:
    """S10: what is met before the own order is traded; only the rest is canceled."""
    engines = one_node()
    other = another_account(engines)
    engines.sell(1, 999, 2, account=other)
    engines.sell(1, 1000, 5)
    taker = engines.buy(1, 1000, 8)

    order = engines.state(1).find_order(taker)
    assert order is not None
    assert (order.filled, order.open, order.reason) == (2, 0, "self_trade")


def test_node_without_a_synced_link_gets_no_offer() -> None:
    """B5: no synced link, no offer."""
    engines = Engines(2)
    engines.sell(2, 1000, 5)
    engines.kill(2)
    engines.settle()
    engines.step(1, engines.place(1, Side.BUY, 1001, 5))

    assert engines.log(1, TradeOffered) == []
    engines.wire.clear()
    engines.restart(2)
    assert engines.balance(1, "AAPL") == 1_000_005
    engines.check_quiet()


def test_crossed_orders_meet_when_a_partition_heals() -> None:
    """S3: a link synced is a reason to match again."""
    engines = Engines(2, linked=False)
    engines.pass_time(4_000_000)
    engines.step(1, engines.place(1, Side.SELL, 1000, 5))
    engines.step(2, engines.place(2, Side.BUY, 1000, 5))
    engines.link_all()

    assert engines.balance(2, "AAPL") == 1_000_005
    engines.check_quiet()


def test_taker_pays_the_makers_price_and_gets_the_rest_back() -> None:
    """S1: price improvement goes back at commit."""
    engines = one_node()
    other = another_account(engines)
    engines.sell(1, 990, 5, account=other)
    item = engines.place(1, Side.BUY, 1000, 5)
    engines.order(1, item)

    account = engines.state(1).accounts[engines.account(1)]
    assert account.available["USD"] == 1_000_000 - 5 * 990  # type: ignore[index]
    assert account.held["USD"] == 0  # type: ignore[index]
    answer = engines.answers[item.ticket]
    assert isinstance(answer, OrderAnswer)
    assert answer.cost == 5 * 990


def test_tape_does_not_go_back_when_the_wall_clock_is_set_back() -> None:
    """S8: candles are cut out of a tape by time, so a minute left is never entered again."""
    engines = one_node()
    other = another_account(engines)
    for back_us in (0, 4_000_000, 0):
        engines.wall_back_us = back_us
        engines.sell(1, 1000, 1)
        engines.buy(1, 1000, 1, account=other)

    first, second, third = (r.ts for r in engines.log(1, LocalTrade) if isinstance(r, LocalTrade))
    assert first == second < third
    assert engines.state(1).fills.find((other, Seq(2))).ts == second  # type: ignore[union-attr]


def test_tape_of_a_decider_does_not_go_back_either_and_no_restart_forgets_it() -> None:
    """S8, W5: where the tape is, is in the log."""
    engines = Engines(2)
    engines.sell(1, 1000, 5)
    engines.buy(2, 1000, 1)
    engines.settle()
    engines.kill(1)
    engines.wall_back_us = 4_000_000
    engines.restart(1)
    engines.buy(2, 1000, 1)
    engines.settle()

    first, second = (r.ts for r in engines.log(1, TradeAccepted) if isinstance(r, TradeAccepted))
    assert first == second
    engines.check_quiet()
