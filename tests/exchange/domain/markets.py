"""A market of the naive book and one of the fast book, with the same verbs.

The fast book holds orders per owner and does not match by itself, so `FastMarket` walks
`makers` as an engine does, with the accounts spread over three owners.
"""

from typing import Protocol

from msgspec.structs import replace

from exchange.domain.book import OrderEvent, OwnerBook, depth, makers
from exchange.domain.naive_book import Level, Match
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
