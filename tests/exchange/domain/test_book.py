"""What the fast book has beside the suite it shares with the naive one in `test_markets.py`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from exchange.domain.orders import Side
from exchange.domain.units import AccountId, Lots, OrderId, Stamp, Symbol, Ticks
from tests.exchange.domain.markets import AAPL, ANN, BOB, BUY, OWNERS, SELL, FastMarket, rest


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
        (lambda book, half: half.ranks.append(2000), "ranks are not those of the levels"),
        (lambda book, half: half.add(an_event(9, price=9)) or half.levels[9].pop(), "empty level"),
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
