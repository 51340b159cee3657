"""One suite for both books: the naive one and the fast one.  Scenarios a trader can read."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.naive_book import Match, NaiveBook
from exchange.domain.orders import SelfTrade, Side
from exchange.domain.units import Lots, OrderId, Ticks
from tests.exchange.domain.markets import ANN, BOB, BUY, CAT, SELL, FastMarket, Market, rest


@pytest.fixture(params=[NaiveBook, FastMarket], ids=["naive", "fast"])
def market(request: pytest.FixtureRequest) -> Iterable[Market]:
    """Give an empty market, and check it when the test is over."""
    market: Market = request.param()
    yield market
    market.check()


def take(market: Market, side: Side, price: int, quantity: int) -> list[Match]:
    """Enter an immediate-or-cancel order of another account."""
    return market.take(side, Ticks(price), Lots(quantity), CAT)


def test_best_bid_is_the_highest_of_several(market: Market) -> None:
    """Faults 2.11: not the worst, and not the first."""
    for number, price in enumerate([1048, 1050, 1049], start=1):
        rest(market, number, BUY, price, 10)

    assert [level.price for level in market.levels(BUY)] == [1050, 1049, 1048]
    assert take(market, SELL, 1, 15) == [(2, 1050, 10), (3, 1049, 5)]


def test_best_ask_is_the_lowest_of_several(market: Market) -> None:
    """Faults 2.11."""
    for number, price in enumerate([1052, 1050, 1051], start=1):
        rest(market, number, SELL, price, 10)

    assert [level.price for level in market.levels(SELL)] == [1050, 1051, 1052]
    assert take(market, BUY, 9999, 15) == [(2, 1050, 10), (3, 1051, 5)]


def test_older_order_goes_first_at_one_price(market: Market) -> None:
    """Price-time priority (B3)."""
    rest(market, 1, BUY, 1050, 10, ANN)
    rest(market, 2, BUY, 1050, 10, BOB)

    assert take(market, SELL, 1050, 12) == [(1, 1050, 10), (2, 1050, 2)]


def test_age_is_the_stamp_and_not_the_arrival(market: Market) -> None:
    """S2, faults 2.12: nodes hear of orders in different sequences and agree all the same."""
    rest(market, 1, BUY, 1050, 10, ANN, stamp=20)
    rest(market, 2, BUY, 1050, 10, BOB, stamp=10)
    rest(market, 3, BUY, 1050, 10, ANN, stamp=15)

    assert market.orders(BUY) == [2, 3, 1]


def test_trade_is_at_the_price_of_the_resting_order(market: Market) -> None:
    """S2."""
    rest(market, 1, SELL, 1000, 10)

    assert take(market, BUY, 1050, 10) == [(1, 1000, 10)]


def test_order_at_a_worse_price_is_not_reached(market: Market) -> None:
    """A limit is a limit."""
    rest(market, 1, SELL, 1051, 10)

    assert take(market, BUY, 1050, 10) == []


def test_equal_prices_trade(market: Market) -> None:
    """Not one tick off, on either side."""
    rest(market, 1, SELL, 1050, 10)
    rest(market, 2, BUY, 1049, 10)

    assert take(market, BUY, 1050, 1) == [(1, 1050, 1)]
    assert take(market, SELL, 1049, 1) == [(2, 1049, 1)]


def test_partly_filled_order_keeps_its_place(market: Market) -> None:
    """Faults 2.10."""
    rest(market, 1, BUY, 1050, 10, ANN)
    rest(market, 2, BUY, 1050, 10, BOB)
    take(market, SELL, 1050, 4)

    assert take(market, SELL, 1050, 8) == [(1, 1050, 6), (2, 1050, 2)]


def test_level_shows_the_sum_and_the_number_of_its_orders(market: Market) -> None:
    """`book.get`: price, quantity, orders."""
    rest(market, 1, BUY, 1050, 10, ANN)
    rest(market, 2, BUY, 1050, 5, BOB)
    rest(market, 3, BUY, 1049, 1, CAT)

    assert market.levels(BUY) == [(1050, 15, 2), (1049, 1, 1)]


def test_remainder_of_an_order_rests_behind_the_others(market: Market) -> None:
    """GTC: what does not trade at once waits."""
    rest(market, 1, SELL, 1050, 4, ANN)
    matches = market.add(OrderId(2), BUY, Ticks(1050), Lots(10), BOB)

    assert matches == [(1, 1050, 4)]
    assert market.levels(SELL) == []
    assert market.levels(BUY) == [(1050, 6, 1)]


def test_remainder_of_an_immediate_order_never_rests(market: Market) -> None:
    """IOC: what does not trade at once is gone."""
    rest(market, 1, SELL, 1050, 4)
    take(market, BUY, 1050, 10)

    assert market.levels(BUY) == market.levels(SELL) == []


def test_filled_order_leaves_nothing_behind(market: Market) -> None:
    """Faults 2.9: a drained entry is collected at once."""
    rest(market, 1, SELL, 1050, 4)
    take(market, BUY, 1050, 4)

    assert market.orders(SELL) == []
    assert market.cancel(OrderId(1)) == 0
    assert take(market, BUY, 1050, 4) == []


def test_cancel_answers_what_it_removed(market: Market) -> None:
    """S9."""
    rest(market, 1, BUY, 1050, 10)
    take(market, SELL, 1050, 3)

    assert market.cancel(OrderId(1)) == 7
    assert market.cancel(OrderId(1)) == 0
    assert market.levels(BUY) == []


def test_order_lowered_by_a_cancel_keeps_its_place(market: Market) -> None:
    """S9."""
    rest(market, 1, BUY, 1050, 10, ANN)
    rest(market, 2, BUY, 1050, 10, BOB)

    assert market.cancel(OrderId(1), Lots(4)) == 4
    assert market.cancel(OrderId(2), Lots(99)) == 10
    assert take(market, SELL, 1050, 10) == [(1, 1050, 6)]


@pytest.mark.parametrize(
    ("price", "quantity", "sequence"),
    [
        pytest.param(1050, 4, [1, 2], id="smaller"),
        pytest.param(1050, 10, [1, 2], id="the same"),
        pytest.param(1050, 11, [2, 1], id="larger"),
        pytest.param(1051, 4, [1, 2], id="better price"),
        pytest.param(1049, 4, [2, 1], id="worse price"),
        pytest.param(1050, 0, [2], id="nothing"),
    ],
)
def test_amended_order_keeps_its_place_only_if_it_shrinks_at_its_price(
    market: Market, price: int, quantity: int, sequence: list[int]
) -> None:
    """S9."""
    rest(market, 1, BUY, 1050, 10, ANN)
    rest(market, 2, BUY, 1050, 10, BOB)
    market.amend(OrderId(1), Ticks(price), Lots(quantity))

    assert market.orders(BUY) == sequence


def test_order_moved_away_and_back_has_lost_its_place(market: Market) -> None:
    """S9: a new price gets a new stamp."""
    rest(market, 1, BUY, 1050, 10, ANN)
    rest(market, 2, BUY, 1050, 10, BOB)
    market.amend(OrderId(1), Ticks(1049), Lots(10))
    market.amend(OrderId(1), Ticks(1050), Lots(10))

    assert market.orders(BUY) == [2, 1]


def test_amendment_that_crosses_trades_at_once(market: Market) -> None:
    """S9, S3: an amendment is matched like an arrival."""
    rest(market, 1, SELL, 1051, 4, ANN)
    rest(market, 2, BUY, 1049, 10, BOB)

    assert market.amend(OrderId(2), Ticks(1052), Lots(10)) == [(1, 1051, 4)]
    assert market.levels(BUY) == [(1052, 6, 1)]


def test_amendment_of_an_order_that_is_gone_changes_nothing(market: Market) -> None:
    """S9."""
    assert market.amend(OrderId(9), Ticks(1), Lots(1)) == []
    assert market.levels(BUY) == []


@pytest.mark.parametrize(
    ("mode", "matches", "bids", "asks"),
    [
        (SelfTrade.CANCEL_NEWEST, [], [], [(1050, 5, 1), (1051, 5, 1)]),
        (SelfTrade.CANCEL_OLDEST, [(2, 1051, 5)], [(1051, 3, 1)], []),
        (SelfTrade.CANCEL_BOTH, [], [], [(1051, 5, 1)]),
    ],
)
def test_nobody_trades_with_themselves(
    market: Market,
    mode: SelfTrade,
    matches: list[tuple[int, int, int]],
    bids: list[tuple[int, int, int]],
    asks: list[tuple[int, int, int]],
) -> None:
    """S10, faults 2.8: the arriving order says which of the two yields."""
    rest(market, 1, SELL, 1050, 5, ANN)
    rest(market, 2, SELL, 1051, 5, BOB)
    actual = market.add(OrderId(3), BUY, Ticks(1051), Lots(8), ANN, self_trade=mode)

    assert actual == matches
    assert (market.levels(BUY), market.levels(SELL)) == (bids, asks)


def test_self_trade_is_met_only_when_its_turn_comes(market: Market) -> None:
    """S10: better orders of others trade first."""
    rest(market, 1, SELL, 1050, 5, BOB)
    rest(market, 2, SELL, 1051, 5, ANN)

    assert market.take(BUY, Ticks(1051), Lots(8), ANN) == [(1, 1050, 5)]
    assert market.orders(SELL) == [2]


numbers = st.integers(1, 12)  # few ids, few prices: much happens to each
prices = st.integers(10, 14)
quantities = st.integers(1, 9)
accounts = st.integers(1, 4)
sides = st.sampled_from([BUY, SELL])
steps = st.one_of(
    st.tuples(st.just("add"), sides, prices, quantities, accounts, st.sampled_from(SelfTrade)),
    st.tuples(st.just("take"), sides, prices, quantities, accounts, st.sampled_from(SelfTrade)),
    st.tuples(st.just("cancel"), numbers, st.none() | quantities),
    st.tuples(st.just("amend"), numbers, prices, st.integers(0, 9)),
)


def play(market: Market, script: list[tuple[object, ...]]) -> list[object]:
    """Do a script and write down everything that can be seen."""
    seen: list[object] = []
    for number, (verb, *values) in enumerate(script, start=1):
        match verb:
            case "add":
                *values, mode = values
                seen.append(market.add(OrderId(number), *values, self_trade=mode))  # type: ignore[arg-type]
            case "take":
                *values, mode = values
                seen.append(market.take(*values, self_trade=mode))  # type: ignore[arg-type]
            case _:
                seen.append(getattr(market, str(verb))(*values))
        seen.append([(market.levels(side), market.orders(side)) for side in (BUY, SELL)])
        market.check()
    return seen


@given(st.lists(steps, max_size=40))
def test_fast_book_and_naive_book_cannot_be_told_apart(script: list[tuple[object, ...]]) -> None:
    """Price-time priority, on any sequence of orders (B3, S9, S10)."""
    assert play(FastMarket(), script) == play(NaiveBook(), script)
