"""One suite for both books: the naive one and the fast one.  Scenarios a trader can read.

The fast book holds orders per owner and does not match by itself, so `FastMarket` walks
`makers` as an engine does, with the accounts spread over three owners.
"""

from collections.abc import Iterable
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exchange.domain.book import (
    HalfBook,
    OrderEvent,
    OwnerBook,
    crossed_by,
    depth,
    entry_sum,
    limit_rank,
    makers,
)
from exchange.domain.naive_book import Level, Match, NaiveBook
from exchange.domain.orders import SelfTrade, Side
from exchange.domain.units import AccountId, Lots, OrderId, Stamp, Symbol, Ticks

BUY, SELL = Side.BUY, Side.SELL
AAPL = Symbol("AAPL")
ANN, BOB, CAT = AccountId(1), AccountId(2), AccountId(3)
OWNERS = 3


class Market(Protocol):
    """What both books can do, given a little matching."""

    def add(
        self,
        order_id: OrderId,
        side: Side,
        price: Ticks,
        quantity: Lots,
        account: AccountId,
        stamp: Stamp | None = None,
        *,
        self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST,
    ) -> list[Match]: ...

    def take(
        self,
        side: Side,
        price: Ticks,
        quantity: Lots,
        account: AccountId,
        *,
        self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST,
    ) -> list[Match]: ...

    def cancel(self, order_id: OrderId, quantity: Lots | None = None) -> Lots: ...

    def amend(
        self, order_id: OrderId, price: Ticks, quantity: Lots, stamp: Stamp | None = None
    ) -> list[Match]: ...

    def levels(self, side: Side) -> list[Level]: ...

    def orders(self, side: Side) -> list[OrderId]: ...

    def check(self) -> None: ...


class FastMarket:
    """The fast book of three owners, matched as an engine matches."""

    def __init__(self) -> None:
        self.owners = [OwnerBook() for _ in range(OWNERS)]
        self._youngest = Stamp(0)

    def add(
        self,
        order_id: OrderId,
        side: Side,
        price: Ticks,
        quantity: Lots,
        account: AccountId,
        stamp: Stamp | None = None,
        *,
        self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST,
    ) -> list[Match]:
        stamp = self._stamp(stamp)
        matches, left = self._match(side, price, quantity, account, self_trade)
        owner = self._owner(account)
        owner.update(OrderEvent(order_id, AAPL, side, price, left, stamp, 1, account))
        return matches

    def take(
        self,
        side: Side,
        price: Ticks,
        quantity: Lots,
        account: AccountId,
        *,
        self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST,
    ) -> list[Match]:
        self._stamp(None)
        return self._match(side, price, quantity, account, self_trade)[0]

    def cancel(self, order_id: OrderId, quantity: Lots | None = None) -> Lots:
        entry = self._find(order_id)
        if entry is None:
            return Lots(0)
        removed = entry.open if quantity is None else min(entry.open, quantity)
        self._change(entry, entry.price, entry.open - removed, entry.stamp)
        return Lots(removed)

    def amend(
        self, order_id: OrderId, price: Ticks, quantity: Lots, stamp: Stamp | None = None
    ) -> list[Match]:
        entry = self._find(order_id)
        if entry is None:
            return []
        if not quantity or (price == entry.price and quantity <= entry.open):
            self._change(entry, entry.price, quantity, entry.stamp)
            return []
        stamp = self._stamp(stamp)
        self._change(entry, entry.price, 0, entry.stamp)
        mode = SelfTrade.CANCEL_NEWEST
        matches, left = self._match(entry.side, price, quantity, entry.account, mode)
        self._change(entry, price, left, stamp)
        return matches

    def levels(self, side: Side) -> list[Level]:
        return [Level(*row) for row in depth(self.owners, AAPL, side, None)]

    def orders(self, side: Side) -> list[OrderId]:
        worst = Ticks(10**9 if side is SELL else 0)
        return [entry.order_id for entry in makers(self.owners, AAPL, side.opposite, worst)]

    def check(self) -> None:
        for owner in self.owners:
            owner.check()

    def _match(
        self, side: Side, price: Ticks, quantity: Lots, account: AccountId, mode: SelfTrade
    ) -> tuple[list[Match], Lots]:
        matches, left = list[Match](), int(quantity)
        for maker in list(makers(self.owners, AAPL, side, price)):
            if not left:
                break
            if maker.account == account:
                left = left if mode is SelfTrade.CANCEL_OLDEST else 0
                if mode is not SelfTrade.CANCEL_NEWEST:
                    self._change(maker, maker.price, 0, maker.stamp)
                continue
            traded = min(left, maker.open)
            left -= traded
            matches.append(Match(maker.order_id, maker.price, Lots(traded)))
            self._change(maker, maker.price, maker.open - traded, maker.stamp)
        return matches, Lots(left)

    def _change(self, entry: OrderEvent, price: Ticks, open_quantity: int, stamp: Stamp) -> None:
        version, open_quantity = entry.version + 1, Lots(open_quantity)
        changed = replace(entry, price=price, open=open_quantity, stamp=stamp, version=version)
        self._owner(entry.account).update(changed)

    def _find(self, order_id: OrderId) -> OrderEvent | None:
        found = [owner.orders[order_id] for owner in self.owners if order_id in owner.orders]
        return found[0] if found else None

    def _owner(self, account: AccountId) -> OwnerBook:
        return self.owners[account % OWNERS]

    def _stamp(self, stamp: Stamp | None) -> Stamp:
        stamp = Stamp(self._youngest + 1) if stamp is None else stamp
        self._youngest = max(self._youngest, stamp)
        return stamp


@pytest.fixture(params=[NaiveBook, FastMarket], ids=["naive", "fast"])
def market(request: pytest.FixtureRequest) -> Iterable[Market]:
    """Give an empty market, and check it when the test is over."""
    market: Market = request.param()
    yield market
    market.check()


def rest(
    market: Market,
    number: int,
    side: Side,
    price: int,
    quantity: int,
    account: AccountId = ANN,
    stamp: int | None = None,
) -> None:
    """Enter an order that must not trade."""
    age = None if stamp is None else Stamp(stamp)
    matches = market.add(OrderId(number), side, Ticks(price), Lots(quantity), account, age)
    assert matches == []


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


def test_stale_owner_leaves_the_market_as_one() -> None:
    """B5: its orders are kept, and not matched."""
    market = FastMarket()
    rest(market, 1, SELL, 1050, 5, ANN)
    rest(market, 2, SELL, 1051, 5, BOB)
    fresh = [owner for owner in market.owners if OrderId(1) not in owner.orders]

    assert [maker.order_id for maker in makers(fresh, AAPL, BUY, Ticks(1060))] == [2]
    assert depth(fresh, AAPL, SELL, None) == [(1051, 5, 1)]


def test_depth_shows_the_best_levels_of_the_whole_market() -> None:
    """The top of every owner's book, merged, is the top of the market."""
    market = FastMarket()
    for number, price in enumerate([1050, 1053, 1051, 1054, 1052, 1050], start=1):
        rest(market, number, SELL, price, 5, AccountId(number))

    assert depth(market.owners, AAPL, SELL, 2) == [(1050, 10, 2), (1051, 5, 1)]
    assert depth(market.owners, AAPL, SELL, 0) == []
    assert depth(market.owners, Symbol("MSFT"), SELL, 2) == []


def test_orders_that_an_arrival_elsewhere_crosses_are_found_oldest_first() -> None:
    """S3: every own younger order that new open quantity crosses is matched again."""
    market = FastMarket()
    for number, price in enumerate([1048, 1050, 1049, 1050], start=1):
        rest(market, number, BUY, price, 5, ANN)
    mine, theirs = market.owners[ANN % OWNERS], market.owners[BOB % OWNERS]
    crossed = crossed_by(mine, AAPL, SELL, Ticks(1049))

    assert [entry.order_id for entry in crossed] == [2, 3, 4]
    assert crossed_by(mine, AAPL, SELL, Ticks(1051)) == []
    assert crossed_by(theirs, AAPL, SELL, Ticks(1)) == []
    assert crossed_by(mine, AAPL, BUY, Ticks(9999)) == []


@given(st.permutations(range(1, 6)))
def test_sum_of_a_book_does_not_depend_on_the_sequence_of_events(sequence: list[int]) -> None:
    """B4: an owner and its replicas compare books by one number."""
    straight, shuffled = OwnerBook(), OwnerBook()
    for number in range(1, 6):
        straight.update(an_event(number))
    for number in sequence:
        shuffled.update(an_event(number, price=7))
        shuffled.update(an_event(number))

    assert straight.sum == shuffled.sum != 0
    shuffled.check()


def test_sum_of_an_emptied_book_is_zero() -> None:
    """B4."""
    book = OwnerBook()
    for number in (1, 2):
        book.update(an_event(number))
    for number in (1, 2):
        book.update(an_event(number, open_quantity=0))

    assert (book.sum, book.orders) == (0, {})


@pytest.mark.parametrize("field", range(4))
def test_sum_tells_orders_apart_that_differ_in_one_field(field: int) -> None:
    """B4: id, price, open quantity, stamp."""
    terms = [1, 1050, 10, 99]
    other = [value + (place == field) for place, value in enumerate(terms)]

    assert entry_sum(*terms) != entry_sum(*other)


def test_event_of_an_order_that_is_not_open_leaves_no_entry() -> None:
    """B1: an order enters the stream with open 0 if all of it is offered."""
    book = OwnerBook()

    book.update(an_event(1, open_quantity=0))

    assert book.orders == {}
    book.check()


def test_order_never_becomes_one_of_another_side() -> None:
    """B7: the engine refuses such an event of a peer before it comes here."""
    book = OwnerBook()
    book.update(an_event(1, side=BUY))

    with pytest.raises(AssertionError, match="an order became another one"):
        book.update(an_event(1, side=SELL))


def test_limit_is_the_last_rank_that_an_order_crosses() -> None:
    """Asks are ranked by price, bids by its negative: the least is the best."""
    assert (limit_rank(BUY, Ticks(1050)), limit_rank(SELL, Ticks(1050))) == (1050, -1050)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda book, half: setattr(half, "best", 1), "best rank is not the least"),
        (lambda book, half: half.levels.__setitem__(2000, []), "an empty level stays"),
        (lambda book, half: half.levels[1050].reverse(), "out of time order"),
        (lambda book, half: half.levels[1050].__setitem__(0, an_event(1, price=9)), "wrong level"),
        (
            lambda book, half: book.orders.__setitem__(1, an_event(1, open_quantity=0)),
            "nothing open",
        ),
        (lambda book, half: half.levels[1050].pop(), "in no level"),
        (lambda book, half: setattr(book, "sum", book.sum + 1), "hash has drifted"),
    ],
)
def test_check_finds_a_book_that_contradicts_itself(damage: object, message: str) -> None:
    """Each invariant has its sentence."""
    book = OwnerBook()
    for number in (1, 2):
        book.update(an_event(number, side=SELL))
    half: HalfBook = book.books[AAPL].half(SELL)
    damage(book, half)  # type: ignore[operator]

    with pytest.raises(AssertionError, match=message):
        book.check()


def test_hidden_order_is_not_matched_and_still_shown() -> None:
    """S3: what our own offers reserve whole costs matching nothing, and is in the market."""
    book = OwnerBook()
    for number in (1, 2):
        book.update(an_event(number, side=SELL))
    before = book.sum
    book.hide(OrderId(1), AAPL)
    book.check()

    assert [entry.order_id for entry in makers([book], AAPL, BUY, Ticks(1050))] == [2]
    assert depth([book], AAPL, SELL, None) == [(1050, 20, 2)]
    assert book.sum == before
    book.show(OrderId(1))
    book.check()
    assert [entry.order_id for entry in makers([book], AAPL, BUY, Ticks(1050))] == [1, 2]


@pytest.mark.parametrize("left", [0, 4])
def test_event_shows_a_hidden_order_again(left: int) -> None:
    """B1: the owner's word counts, whatever we have reserved."""
    book = OwnerBook()
    book.update(an_event(1, side=SELL))
    book.hide(OrderId(1), AAPL)
    book.update(an_event(1, side=SELL, open_quantity=left))

    book.check()
    assert depth([book], AAPL, SELL, None) == ([(1050, left, 1)] if left else [])


def an_event(
    number: int, *, side: Side = BUY, price: int = 1050, open_quantity: int = 10
) -> OrderEvent:
    """Tell of an order as its owner's stream does."""
    stamp, open_ = Stamp(100 + number), Lots(open_quantity)
    return OrderEvent(OrderId(number), AAPL, side, Ticks(price), open_, stamp, 1, ANN)
