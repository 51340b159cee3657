"""What must come of order flow: the naive book, driven action by action.

A plan is made before the first order is sent.  Sequentially driven, a cluster must give
exactly its fills on every line, whatever node an order is at (B3).
"""

from collections import Counter
from collections.abc import Sequence
from itertools import count

import msgspec

from exchange.client.flow import Action, Aggress, Amend, Cancel, Flow, Hit, Place
from exchange.domain.naive_book import Level, Match, NaiveBook
from exchange.domain.orders import Side
from exchange.domain.units import AccountId, Lots, OrderId, Symbol, Ticks


class Step(msgspec.Struct, frozen=True):
    """An action and what the naive book made of it."""

    action: Action
    hits: tuple[Hit, ...]  # resting orders it traded with, in order
    filled: Lots  # of this order, altogether, after the action
    total: Lots | None = None  # `quantity` of an order.amend; None = cancel it
    is_done: bool = False  # nothing of the order is left to amend or cancel


class Oracle:
    """One naive book per instrument, and what has been filled so far."""

    def __init__(self, symbols: Sequence[Symbol]) -> None:
        self.books: dict[Symbol, NaiveBook] = {symbol: NaiveBook() for symbol in symbols}
        self._ids: dict[str, OrderId] = {}
        self._keys: dict[OrderId, str] = {}
        self._numbers = count(1)
        self._price: dict[str, Ticks] = {}
        self._filled: Counter[str] = Counter()

    def step(self, action: Action) -> Step:
        """Do an action to the book."""
        match action:
            case Place():
                return self._place(action)
            case Aggress():
                return self._aggress(action)
            case Amend():
                return self._amend(action)
            case Cancel():
                return self._cancel(action)

    def levels(self, symbol: Symbol, side: Side) -> list[Level]:
        """Return the price levels that must be in every book, best first."""
        return self.books[symbol].levels(side)

    def _place(self, action: Place) -> Step:
        order_id = OrderId(next(self._numbers))
        self._ids[action.key], self._keys[order_id] = order_id, action.key
        self._price[action.key] = action.price
        matches = self.books[action.symbol].add(
            order_id, action.side, action.price, action.quantity, AccountId(action.account)
        )
        return self._traded(action, matches)

    def _aggress(self, action: Aggress) -> Step:
        matches = self.books[action.symbol].take(
            action.side, action.price, action.quantity, AccountId(action.account)
        )
        return self._traded(action, matches)

    def _amend(self, action: Amend) -> Step:
        book, order_id = self.books[action.symbol], self._ids[action.key]
        if not book.open_quantity(order_id):
            return self._done(action)
        total = Lots(self._filled[action.key] + action.open_quantity)
        matches = book.amend(order_id, action.price, action.open_quantity)
        self._price[action.key] = action.price
        return self._traded(action, matches, total)

    def _cancel(self, action: Cancel) -> Step:
        book, order_id = self.books[action.symbol], self._ids[action.key]
        if not book.open_quantity(order_id):
            return self._done(action)
        book.cancel(order_id, action.quantity)
        left = book.open_quantity(order_id)
        filled = Lots(self._filled[action.key])
        return Step(action, (), filled, Lots(filled + left) if left else None)

    def _done(self, action: Amend | Cancel) -> Step:
        return Step(action, (), Lots(self._filled[action.key]), is_done=True)

    def _traded(self, action: Action, matches: list[Match], total: Lots | None = None) -> Step:
        hits = tuple(Hit(self._keys[match.maker], match.quantity) for match in matches)
        for hit in hits:
            self._filled[hit.key] += hit.quantity
            self._filled[action.key] += hit.quantity
        return Step(action, hits, Lots(self._filled[action.key]), total)


class Plan(msgspec.Struct, frozen=True):
    """Order flow with what must come of every action."""

    flow: Flow
    steps: list[Step]
    bids: dict[Symbol, list[Level]]  # what is left in the book, best first
    asks: dict[Symbol, list[Level]]


def rehearse(flow: Flow) -> Plan:
    """Drive the naive book through the whole flow."""
    oracle = Oracle([instrument.symbol for instrument in flow.instruments])
    steps = [oracle.step(action) for action in flow.actions]
    bids = {symbol: oracle.levels(symbol, Side.BUY) for symbol in oracle.books}
    asks = {symbol: oracle.levels(symbol, Side.SELL) for symbol in oracle.books}
    return Plan(flow, steps, bids, asks)


def is_as_expected(expected: Sequence[Hit], hits: Sequence[Hit]) -> bool:
    """Tell whether an aggressor hit the orders the source says, each for as much.

    In which order it hit them is not compared: a trade at one price is one event.
    """
    return sorted(expected) == sorted(hits)


def agreement(steps: Sequence[Step]) -> tuple[int, int]:
    """Return how many aggressors went as the source says, of how many it speaks of."""
    spoken = [
        (step.action.expected, step.hits)
        for step in steps
        if isinstance(step.action, Aggress) and step.action.expected is not None
    ]
    return sum(is_as_expected(expected, hits) for expected, hits in spoken), len(spoken)
