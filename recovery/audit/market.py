"""Instruments, accounts, orders and the naive book of one node's own orders.

The book is a list of prices and, for each price, its orders in the order of their stamps.
An order stays in its level while it is live, open or not: what comes back from an offer takes
its old place.  Every new stamp is younger than all before it, so a newcomer goes to the end.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

BUY, SELL = 1, 2
IOC = 2
NUMBER_MASK = (1 << 50) - 1
PRICE_MAX = QUANTITY_MAX = 10**12
Amounts = defaultdict[str, int]  # by asset, in its smallest unit


class Instrument:
    """What a tick and a lot are worth, in the smallest units of the assets."""

    __slots__ = ("base", "books", "lot_value", "quote", "row", "tick_value", "trade_ts", "trades")

    def __init__(self, row: list[Any]) -> None:
        _, self.base, self.quote, tick, lot, base_decimals, quote_decimals = row
        tick_value = Fraction(tick) * Fraction(lot) * 10**quote_decimals
        lot_value = Fraction(lot) * 10**base_decimals
        if tick_value.denominator != 1 or lot_value.denominator != 1:
            raise ValueError("tick x lot is not a whole number of units")
        self.row = tuple(row)
        self.tick_value = int(tick_value)
        self.lot_value = int(lot_value)
        self.trades = 0  # on the tape of this node
        self.trade_ts = 0  # of the last of them
        self.books = {BUY: Half(BUY), SELL: Half(SELL)}


class Account:
    """An owned account."""

    __slots__ = (
        "account",
        "available",
        "fill_seq",
        "held",
        "is_closed",
        "key_hash",
        "order_seq",
        "transfer_seq",
    )

    def __init__(self, account: int, key_hash: bytes) -> None:
        self.account = account
        self.key_hash = key_hash
        self.available = Amounts(int)
        self.held = Amounts(int)
        self.is_closed = False
        self.order_seq = self.fill_seq = self.transfer_seq = 0


class Order:
    """One order, as the records have made it.  `row` is what a table must hold of it."""

    __slots__ = (
        "account",
        "account_seq",
        "canceled",
        "client_id",
        "cost",
        "created",
        "filled",
        "first",
        "gets",
        "held",
        "instrument",
        "offered",
        "offers",
        "order_id",
        "owner",
        "pays",
        "price",
        "quantity",
        "reason",
        "self_trade",
        "side",
        "stamp",
        "symbol",
        "time_in_force",
        "total",
        "updated",
        "version",
    )

    total: int
    filled: int
    offered: int
    price: int
    owner: Account

    def __init__(self, placed: list[Any], instrument: Instrument) -> None:
        (
            _,
            self.order_id,
            self.account,
            self.symbol,
            self.side,
            self.time_in_force,
            self.self_trade,
            self.price,
            self.quantity,
            self.stamp,
            self.client_id,
            first,
            self.created,
        ) = placed
        self.first = tuple(first)
        self.instrument = instrument
        self.pays, self.gets = instrument.base, instrument.quote  # assets
        if self.side == BUY:
            self.pays, self.gets = self.gets, self.pays
        self.total = self.quantity
        self.updated = self.created
        self.account_seq = 0
        self.filled = self.offered = self.cost = self.held = 0
        self.version = 1
        self.canceled = False
        self.reason = ""
        self.offers: dict[Any, Any] | None = None  # offers out: key -> (quantity, limit)

    @property
    def open(self) -> int:
        """Return what may be matched: nothing of a canceled order, never below zero."""
        free = self.total - self.filled - self.offered
        return 0 if self.canceled or free < 0 else free

    @property
    def is_done(self) -> bool:
        """Tell whether nothing can happen to it any more."""
        return not self.offered and (self.canceled or self.filled >= self.total)

    def hold(self) -> int:
        """Return what must be held for it: what is open at its limit, offers at the worst (S1)."""
        free = self.total - self.filled - self.offered
        if self.canceled or free < 0:
            free = 0
        if self.side == SELL:
            return (free + self.offered) * self.instrument.lot_value
        needed = self.price * free
        if self.offers:
            for quantity, limit in self.offers.values():
                needed += max(limit, self.price) * quantity
        return needed * self.instrument.tick_value

    def row(self, *, is_rejected: bool = False) -> tuple[Any, ...]:
        """Return the row of the tables `orders` and `done`."""
        return (
            self.order_id,
            self.account,
            self.symbol,
            self.side,
            self.time_in_force,
            self.self_trade,
            self.price,
            self.quantity,
            self.total,
            self.stamp,
            self.created,
            self.updated,
            self.client_id,
            self.account_seq,
            self.filled,
            self.offered,
            self.cost,
            self.held,
            self.version,
            self.canceled,
            self.reason,
            self.first,
            is_rejected,
        )


class Half:
    """One side of the own book: sorted ranks, and a level for each."""

    __slots__ = ("levels", "ranks", "sign")

    def __init__(self, side: int) -> None:
        self.sign = 1 if side == SELL else -1
        self.ranks: list[int] = []  # the least is the best price
        self.levels: dict[int, dict[int, Order]] = {}

    def add(self, order: Order) -> None:
        """Put an order at the end of its level; one that never rests has none."""
        if order.time_in_force == IOC:
            return
        rank = order.price * self.sign
        level = self.levels.get(rank)
        if level is None:
            level = self.levels[rank] = {}
            insort(self.ranks, rank)
        level[order.order_id] = order

    def remove(self, order: Order) -> None:
        """Take an order out of its level."""
        if order.time_in_force == IOC:
            return
        rank = order.price * self.sign
        level = self.levels[rank]
        del level[order.order_id]
        if not level:
            del self.levels[rank]
            del self.ranks[bisect_left(self.ranks, rank)]

    def first(self, before: int) -> Order | None:
        """Return the order that a taker with stamp `before` must meet first: best, then oldest."""
        for rank in self.ranks:
            for order in self.levels[rank].values():
                if order.stamp >= before:
                    break  # stamps rise within a level
                if not order.canceled and order.total > order.filled + order.offered:
                    return order
        return None

    def orders(self) -> Iterator[Order]:
        """Yield every live order, best price first, oldest first."""
        for rank in self.ranks:
            yield from self.levels[rank].values()
