"""Holds and fills to the last unit.  Docstrings cite the rule."""

import pytest

from exchange.domain.orders import Side
from exchange.domain.units import Asset, Lots, Micros, Ticks, TradeId, Units, make_id
from exchange.engine.ledger import fill, hold_needed, rehold
from tests.support.engines import Engines

USD, AAPL = Asset("USD"), Asset("AAPL")


def test_fill_below_the_limit_gives_the_difference_back() -> None:
    """S1: what was held is paid at the trade's price, the rest is available again."""
    engines = Engines(1, linked=False)
    engines.pass_time(250_000)
    order = engines.state(1).orders[engines.buy(1, 1000, 5)]
    account = engines.state(1).accounts[engines.account(1)]
    fill(
        engines.state(1),
        order,
        trade_id=TradeId(make_id(1, 99)),
        quantity=Lots(2),
        price=Ticks(900),
        is_maker=True,
        ts=Micros(0),
    )

    assert (account.held[USD], order.held) == (3_000, 3_000)
    assert account.available[USD] == 1_000_000 - 1_800 - 3_000
    assert account.available[AAPL] == 1_000_002


@pytest.mark.parametrize(("side", "held"), [(Side.BUY, 7_000), (Side.SELL, 7)])
def test_hold_is_in_the_asset_that_will_be_paid(side: Side, held: int) -> None:
    """S1: cash for a buyer, shares for a seller."""
    engines = Engines(1, linked=False)
    engines.pass_time(250_000)
    order_id = engines.order(1, engines.place(1, side, 1000, 7))
    order = engines.state(1).orders[order_id]

    assert order.held == hold_needed(engines.state(1), order) == held


def test_hold_that_the_account_does_not_cover_is_our_bug() -> None:
    """S1: every rule that takes an order has checked it before."""
    engines = Engines(1, linked=False)
    engines.pass_time(250_000)
    order = engines.state(1).orders[engines.buy(1, 1000, 5)]
    account = engines.state(1).accounts[engines.account(1)]
    account.available[USD] = Units(0)
    order.total = Lots(6)

    with pytest.raises(AssertionError, match="does not cover"):
        rehold(engines.state(1), order, account)
