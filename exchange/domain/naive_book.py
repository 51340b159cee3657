"""The reference book: two sorted lists, no bookkeeping, nothing clever.

It is what `exchange.domain.book` and whole clusters are compared with, so it must be
obviously right rather than fast.  The rules of a market, all of them in `_before`,
`_crosses` and `_match`:

    1. A better price goes first: a higher bid, a lower ask.
    2. At one price the older stamp goes first.
    3. A trade happens at the price of the resting order, the maker.
    4. Nobody trades with themselves: `self_trade` of the arriving order says who yields (S10).
"""

from bisect import insort
from typing import NamedTuple

import msgspec

from exchange.domain.orders import SelfTrade, Side
from exchange.domain.units import AccountId, Lots, OrderId, Stamp, Ticks


class Match(NamedTuple):
    """One resting order that was hit, at its price.  Equal to a plain tuple."""

    maker: OrderId
    price: Ticks
    quantity: Lots


class Level(NamedTuple):
    """All there is at one price."""

    price: Ticks
    quantity: Lots
    orders: int


class Resting(msgspec.Struct, eq=False):
    """An order in the book."""

    order_id: OrderId
    side: Side
    price: Ticks
    quantity: Lots  # open, always above zero
    account: AccountId
    stamp: Stamp
    self_trade: SelfTrade


class NaiveBook:
    """The book of one instrument with strict price-time priority."""

    def __init__(self) -> None:
        self._sides: dict[Side, list[Resting]] = {Side.BUY: [], Side.SELL: []}  # best first
        self._by_id: dict[OrderId, Resting] = {}
        self._youngest = Stamp(0)  # of all orders so far

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
        """Enter a GTC order: trade what crosses, rest what remains.

        Without a stamp it is younger than every order so far.
        """
        assert order_id not in self._by_id, "order id in use"
        order = Resting(order_id, side, price, quantity, account, self._stamp(stamp), self_trade)
        return self._enter(order)

    def take(
        self,
        side: Side,
        price: Ticks,
        quantity: Lots,
        account: AccountId,
        *,
        self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST,
    ) -> list[Match]:
        """Enter an IOC order: trade what crosses, forget what remains."""
        stamp = self._stamp(None)
        order = Resting(OrderId(0), side, price, quantity, account, stamp, self_trade)
        return self._match(order)

    def cancel(self, order_id: OrderId, quantity: Lots | None = None) -> Lots:
        """Remove an order, or lower it by a quantity; it keeps its place.

        Return what was removed: 0 if the order is not in the book.
        """
        order = self._by_id.get(order_id)
        if order is None:
            return Lots(0)
        removed = order.quantity if quantity is None else min(quantity, order.quantity)
        self._lower(order, removed)
        return Lots(removed)

    def amend(
        self, order_id: OrderId, price: Ticks, quantity: Lots, stamp: Stamp | None = None
    ) -> list[Match]:
        """Give a resting order a new price and a new *open* quantity; 0 removes it (S9).

        It keeps its place only if it shrinks at the same price.  Otherwise it is as if it
        had arrived now, and may trade.  An order that is not in the book is left alone.
        """
        order = self._by_id.get(order_id)
        if order is None:
            return []
        if not quantity or (price == order.price and quantity <= order.quantity):
            self._lower(order, order.quantity - quantity)
            return []
        self._lower(order, order.quantity)
        order.price, order.quantity, order.stamp = price, quantity, self._stamp(stamp)
        return self._enter(order)

    def levels(self, side: Side) -> list[Level]:
        """Return the price levels of a side, best first."""
        prices = sorted({order.price for order in self._sides[side]}, reverse=side is Side.BUY)
        return [self._level(side, price) for price in prices]

    def orders(self, side: Side) -> list[OrderId]:
        """Return the resting orders of a side in the order in which they would trade."""
        return [order.order_id for order in self._sides[side]]

    def open_quantity(self, order_id: OrderId) -> Lots:
        """Return how much of an order is in the book, 0 if it is not there."""
        order = self._by_id.get(order_id)
        return order.quantity if order else Lots(0)

    def check(self) -> None:
        """Assert the invariants."""
        bids, asks = self._sides[Side.BUY], self._sides[Side.SELL]
        assert not (bids and asks and bids[0].price >= asks[0].price), "book is crossed"
        for side, orders in self._sides.items():
            assert orders == sorted(orders, key=_before), "book is out of order"
            assert all(order.side is side for order in orders), "order on the wrong side"
            assert all(order.quantity > 0 for order in orders), "drained order"
        assert {*bids, *asks} == set(self._by_id.values()), "orders and sides differ"

    def _enter(self, order: Resting) -> list[Match]:
        matches = self._match(order)
        if order.quantity:
            insort(self._sides[order.side], order, key=_before)
            self._by_id[order.order_id] = order
        return matches

    def _match(self, taker: Resting) -> list[Match]:
        """Trade an arriving order; what is left of it is in `taker.quantity`."""
        makers, matches = self._sides[taker.side.opposite], list[Match]()
        while taker.quantity and makers and _crosses(taker, makers[0]):
            maker = makers[0]
            if maker.account == taker.account:
                self._yield(taker, maker)
                continue
            quantity = Lots(min(taker.quantity, maker.quantity))
            taker.quantity = Lots(taker.quantity - quantity)
            self._lower(maker, quantity)
            matches.append(Match(maker.order_id, maker.price, quantity))
        return matches

    def _yield(self, taker: Resting, maker: Resting) -> None:
        """Cancel the order that gives way where an account meets itself (S10)."""
        if taker.self_trade is not SelfTrade.CANCEL_OLDEST:
            taker.quantity = Lots(0)
        if taker.self_trade is not SelfTrade.CANCEL_NEWEST:
            self._lower(maker, maker.quantity)

    def _lower(self, order: Resting, quantity: int) -> None:
        """Take open quantity away from a resting order, and the order out once it has none."""
        order.quantity = Lots(order.quantity - quantity)
        if not order.quantity:
            self._sides[order.side].remove(order)
            del self._by_id[order.order_id]

    def _stamp(self, stamp: Stamp | None) -> Stamp:
        stamp = Stamp(self._youngest + 1) if stamp is None else stamp
        self._youngest = max(self._youngest, stamp)
        return stamp

    def _level(self, side: Side, price: Ticks) -> Level:
        quantities = [order.quantity for order in self._sides[side] if order.price == price]
        return Level(price, Lots(sum(quantities)), len(quantities))


def _before(order: Resting) -> tuple[int, int]:
    """Return what sorts a side best first, and by age at one price."""
    return (-order.price if order.side is Side.BUY else order.price, order.stamp)


def _crosses(taker: Resting, maker: Resting) -> bool:
    """Tell whether two orders of opposite sides agree on a price."""
    if taker.side is Side.BUY:
        return taker.price >= maker.price
    return taker.price <= maker.price
