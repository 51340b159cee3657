"""The book, kept per owner and merged when it is matched (B1, price-time priority).

Theory of operation
===================
An `OwnerBook` is everything one node's accounts have in the market: our own, or our replica
of a peer's.  A stale or resynced peer is left out, or swapped, as one object (B4, B5).
Each instrument has two `HalfBook`s.  Their levels are keyed by rank, which is the price for
asks and minus the price for bids, so in both halves the least rank is the best price.

Within a level orders stand in the order of their stamps.  Stamps from one owner nearly
always rise, so an insertion is nearly always an append.  The ranks are a plain sorted array:
with 10,000 prices in one half a new one costs 3 us, with a million half a millisecond.  In
an array they lie side by side; the integers of a list would be fetched from all over memory.

`makers` walks the halves of all owners as one book: best price first, oldest first.
"""

import heapq
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from operator import attrgetter

import msgspec

from exchange.domain.orders import BUY, SELL, Side
from exchange.domain.units import AccountId, Lots, OrderId, Stamp, Symbol, Ticks

NOTHING = 1 << 62  # the best rank of an empty half: crosses no limit
_STAMP = attrgetter("stamp")
_ODD_1 = 0x9E3779B97F4A7C15  # 64-bit odd constants: golden ratio, and one known to mix well
_ODD_2 = 0xD1B54A32D192ED03


class OrderEvent(msgspec.Struct, frozen=True, array_like=True, tag="order", gc=False):
    """An order as its owner has it now: an event of its stream (B1), and what the book holds."""

    order_id: OrderId
    symbol: Symbol
    side: Side
    price: Ticks
    open: Lots  # 0 = not in the book (done, all in doubt, or never resting)
    stamp: Stamp
    version: int
    account: AccountId


def entry_sum(order_id: int, price: int, open_quantity: int, stamp: int) -> int:
    """Mix an open order into a number; their sum compares two copies of a book (B4).

    A product of two sums, as in the hash NH (Black and others, UMAC, 1999).  It finds drift,
    not malice: a peer that lies about its own orders only cheats itself.
    """
    return (order_id + price * _ODD_1) * (stamp + open_quantity * _ODD_2)


class HalfBook:
    """One side of one owner's book of one instrument."""

    __slots__ = ("best", "levels", "ranks", "sign")

    def __init__(self, side: Side) -> None:
        self.sign = 1 if side is SELL else -1
        self.levels: dict[int, list[OrderEvent]] = {}
        self.ranks = array("q")  # keys of `levels`, sorted
        self.best = NOTHING  # the first of `ranks`

    def add(self, entry: OrderEvent) -> None:
        """Put an order into its level, in the order of stamps."""
        rank = entry.price * self.sign
        level = self.levels.get(rank)
        if level is None:
            self.levels[rank] = [entry]
            self.ranks.insert(bisect_left(self.ranks, rank), rank)
            if rank < self.best:
                self.best = rank
        elif level[-1].stamp < entry.stamp:
            level.append(entry)
        else:
            level.insert(bisect_left(level, entry.stamp, key=_STAMP), entry)

    def replace(self, entry: OrderEvent, newer: OrderEvent) -> None:
        """Put an order in the place of what it was: same price, same stamp."""
        level = self.levels[entry.price * self.sign]
        level[_place(level, entry)] = newer

    def remove(self, entry: OrderEvent) -> None:
        """Take an order out of its level."""
        rank = entry.price * self.sign
        level = self.levels[rank]
        if len(level) == 1:
            assert level[0] is entry, "the level holds another order"
            del self.levels[rank]
            del self.ranks[bisect_left(self.ranks, rank)]
            self.best = self.ranks[0] if self.ranks else NOTHING
            return
        del level[_place(level, entry)]

    def oldest(self, limit: int) -> Stamp:
        """Return the oldest stamp up to the limit rank; there is one."""
        ranks = self.ranks[: bisect_right(self.ranks, limit)]
        return min(self.levels[rank][0].stamp for rank in ranks)

    def walk(self, limit: int) -> Iterator[OrderEvent]:
        """Yield orders up to the limit rank, best price first, oldest first."""
        for rank in self.ranks:
            if rank > limit:
                return
            level = self.levels[rank]
            yield from level


class Book:
    """Both halves of one owner's book of one instrument."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = HalfBook(BUY)
        self.asks = HalfBook(SELL)

    def half(self, side: Side) -> HalfBook:
        """Return the half where orders of a side rest."""
        return self.bids if side is BUY else self.asks


class OwnerBook:
    """All open orders of one owner, with the additive hash that replicas are compared by."""

    __slots__ = ("books", "hidden", "orders", "sum")

    def __init__(self) -> None:
        self.hidden: dict[OrderId, Symbol] = {}  # open, but not in a level: see `hide`
        self.orders: dict[OrderId, OrderEvent] = {}
        self.books: dict[Symbol, Book] = {}
        self.sum = 0  # of entry_sum over orders

    def update(self, event: OrderEvent) -> None:
        """Make an order what its owner says it is."""
        order_id, added = event.order_id, 0
        entry = self.orders.get(order_id)
        if event.open:
            self.orders[order_id] = event
            added = entry_sum(order_id, event.price, event.open, event.stamp)
        if entry is not None:
            self._replace(entry, event)
        elif event.open:
            book = self.books.get(event.symbol)
            if book is None:
                book = self.books[event.symbol] = Book()
            half = book.bids if event.side is BUY else book.asks
            half.add(event)
        self.sum += added

    def _replace(self, entry: OrderEvent, event: OrderEvent) -> None:
        """Put what an order is now where it was, or elsewhere, or nowhere."""
        assert (entry.symbol, entry.side) == (event.symbol, event.side), (
            "an order became another one"
        )
        half = self.books[entry.symbol].half(entry.side)
        if self.hidden.pop(entry.order_id, None) is not None:
            half.add(entry)
        self.sum -= entry_sum(entry.order_id, entry.price, entry.open, entry.stamp)
        if event.open and entry.stamp == event.stamp and entry.price == event.price:
            half.replace(entry, event)
            return
        half.remove(entry)
        if event.open:
            half.add(event)
        else:
            del self.orders[entry.order_id]

    def hide(self, order_id: OrderId, symbol: Symbol) -> None:
        """Take an open order out of its level: our own offers reserve all of it (S3).

        Matching would pass it over anyway; hidden, hundreds of them cost it nothing.
        """
        if order_id not in self.hidden:
            entry = self.orders[order_id]
            self.books[symbol].half(entry.side).remove(entry)
            self.hidden[order_id] = symbol

    def show(self, order_id: OrderId) -> None:
        """Put a hidden order back into its level."""
        symbol = self.hidden.pop(order_id, None)
        if symbol is not None:
            entry = self.orders[order_id]
            self.books[symbol].half(entry.side).add(entry)

    def check(self) -> None:
        """Assert the invariants; tests and fuzzing call it after every step."""
        total, count = 0, len(self.hidden)
        assert set(self.hidden) <= set(self.orders), "a hidden order is gone"
        for book in self.books.values():
            for half in (book.bids, book.asks):
                assert half.best == min(half.levels, default=NOTHING), "best rank is not the least"
                assert list(half.ranks) == sorted(half.levels), "ranks are not those of the levels"
                for rank, level in half.levels.items():
                    assert level, "an empty level stays"
                    stamps = [entry.stamp for entry in level]
                    assert stamps == sorted(stamps), "a level is out of time order"
                    assert all(entry.price * half.sign == rank for entry in level), "wrong level"
                    count += len(level)
        for entry in self.orders.values():
            assert entry.open > 0, "an order with nothing open is in the book"
            total += entry_sum(entry.order_id, entry.price, entry.open, entry.stamp)
        assert count == len(self.orders), "an order is in no level, or in two"
        assert total == self.sum, "the additive hash has drifted"


def _place(level: list[OrderEvent], entry: OrderEvent) -> int:
    """Return where an order stands in its level."""
    place = bisect_left(level, entry.stamp, key=_STAMP)
    while level[place] is not entry:  # a peer may have used one stamp twice (B7)
        place += 1
    return place


def limit_rank(side: Side, price: Ticks) -> int:
    """Return the worst rank in the opposite half that an order of `side` at `price` crosses."""
    return price if side is BUY else -price


def makers(
    owners: Iterable[OwnerBook], symbol: Symbol, side: Side, price: Ticks
) -> Iterable[OrderEvent]:
    """Return the orders that an order of `side` at `price` crosses: best price, then oldest."""
    limit = limit_rank(side, price)
    crossing = []
    for owner in owners:
        book = owner.books.get(symbol)
        if book is not None:
            half = book.asks if side is BUY else book.bids
            if half.best <= limit:
                crossing.append(half)
    if not crossing:
        return ()
    if len(crossing) == 1:
        return crossing[0].walk(limit)
    sign = crossing[0].sign
    return heapq.merge(
        *(half.walk(limit) for half in crossing),
        key=lambda entry: (entry.price * sign, entry.stamp),
    )


def crossed_by(owner: OwnerBook, symbol: Symbol, side: Side, price: Ticks) -> list[OrderEvent]:
    """Return the orders of one owner that an order of `side` at `price` crosses, oldest first."""
    book = owner.books.get(symbol)
    limit = limit_rank(side, price)
    if book is None or book.half(side.opposite).best > limit:
        return []
    return sorted(book.half(side.opposite).walk(limit), key=_STAMP)


def crossing(own: OwnerBook, others: Iterable[OwnerBook]) -> list[OrderId]:
    """Return the own orders that cross older ones in other books, oldest first.

    The owner of the younger order acts: an own order that is older than all it crosses would be
    held against each of them, and meet none.
    Instrument by instrument, and only where the best prices cross: in a market that does not
    cross it costs nothing, however many orders rest.
    """
    found: set[tuple[Stamp, OrderId]] = set()
    for other in others:
        for symbol, book in other.books.items():
            mine = own.books.get(symbol)
            if mine is None:
                continue
            for side in (BUY, SELL):
                met, half = book.half(side.opposite), mine.half(side)
                if half.best > -met.best:
                    continue
                oldest = met.oldest(-half.best)
                crossed = (one for one in half.walk(-met.best) if one.stamp > oldest)
                found.update((entry.stamp, entry.order_id) for entry in crossed)
    return [order_id for _, order_id in sorted(found)]


def depth(
    owners: Iterable[OwnerBook], symbol: Symbol, side: Side, levels_max: int | None
) -> list[tuple[Ticks, Lots, int]]:
    """Sum the open quantity of all owners by price: (price, quantity, orders), best first."""
    sign = 1 if side is SELL else -1
    totals: dict[int, list[int]] = {}
    for owner in owners:
        book = owner.books.get(symbol)
        if book is None:
            continue
        half = book.half(side)
        for rank in half.ranks[:levels_max]:
            level = half.levels[rank]
            total = totals.setdefault(rank, [0, 0])
            total[0] += sum(entry.open for entry in level)
            total[1] += len(level)
        for order_id, hidden_symbol in owner.hidden.items():
            entry = owner.orders[order_id]
            if hidden_symbol == symbol and entry.side is side:
                total = totals.setdefault(entry.price * sign, [0, 0])
                total[0] += entry.open
                total[1] += 1
    rows = sorted(totals.items())[:levels_max]
    return [(Ticks(rank * sign), Lots(total[0]), total[1]) for rank, total in rows]
