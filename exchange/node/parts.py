"""Long answers, gathered in parts: each turn does a little of one, and trading goes on between.

    request     | a part is                  | so its parts
    ------------+----------------------------+------------------------------------------------
    R market    | the books of SYMBOLS       | are each of one moment, the whole is not of one
    R order     | ORDERS of the account      | the same; an order is in one of them
    candles.get | PAGE trades of the tape    | are of a tape that only grows

Parts are asked for in the place of their connection's requests: what a client asked before is
handled before.  At most AT_ONCE answers are being gathered; others wait for their turn.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Protocol

import msgspec
import trio

from exchange.domain.units import AccountId, OrderId, Seq, Symbol
from exchange.engine.effects import AnswerBody, BookAnswer, Done, Refused, SymbolBook, TradesAnswer
from exchange.engine.inputs import Ask, BookQuery, Ticket, TradesQuery
from exchange.engine.state import State
from exchange.node.hub import Item, Later, Tell
from exchange.wire.answers import OwnLevels, error_line, market_line, rich_line
from exchange.wire.candles import Candles, Folding, Range, first_at, read_range
from exchange.wire.reading import RefusedError, read_symbol
from exchange.wire.requests import CandlesFilter, CandlesGet, ReadMarket, ReadOrders
from exchange.wire.values import told_trades

PAGE = 250  # trades of a part: about a millisecond, also if they come from the disk
SYMBOLS = 16  # books of a part
ORDERS = 1_000  # own orders of a part: about a millisecond
AT_ONCE = 4  # answers that are being gathered: bounds what one turn does for all of them

_ENCODE = msgspec.json.Encoder().encode
InParts = ReadMarket | ReadOrders | CandlesGet


class Asks(Protocol):
    """What answers the parts: the hub."""

    async def call(self, question: Callable[[Ticket], Item], source: int = ...) -> AnswerBody: ...


class Parts:
    """Gathers the long answers of one node."""

    def __init__(self, hub: Asks, state: State, *, wall_us: Callable[[], int]) -> None:
        self._hub = hub
        self._state = state
        self._listed = state.instruments
        self._wall_us = wall_us
        self._limit = trio.Semaphore(AT_ONCE)

    async def line(self, request: InParts, account: AccountId, source: int) -> bytes:
        """Return the line that answers a request of a connection, made by an account."""
        async with self._limit:
            if isinstance(request, ReadMarket):
                return await self._market(source)
            if isinstance(request, ReadOrders):
                return await self._own_orders(account, source)
            request_id = bytes(request.id)
            try:
                candles = await self._candles(request.value, source)
            except RefusedError as error:
                return error_line(error.refused.code, error.refused.detail, request_id)
            return rich_line("candles", _ENCODE(candles), request_id)

    async def _market(self, source: int) -> bytes:
        symbols = sorted(self._listed)
        books: dict[Symbol, SymbolBook] = {}

        async def read(symbol: Symbol) -> None:
            answer = await self._hub.call(
                lambda ticket: Ask(ticket, BookQuery(symbol, None)), source
            )
            assert isinstance(answer, BookAnswer), "what is listed stays so"
            books[symbol] = answer.books[0]

        for start in range(0, len(symbols), SYMBOLS):
            async with trio.open_nursery() as nursery:
                for symbol in symbols[start : start + SYMBOLS]:
                    nursery.start_soon(read, symbol)
        return market_line(books[symbol] for symbol in symbols)

    async def _own_orders(self, account: AccountId, source: int) -> bytes:
        gathering = _OwnOrders(self._state, account)
        while gathering.has_more:
            await self._hub.call(gathering.next_part, source)
        return gathering.levels.line()

    async def _candles(self, value: CandlesFilter, source: int) -> Candles:
        """Fold the tape of this node; RefusedError if there is no such range of it."""
        symbol = read_symbol(value.symbol)
        now_us = self._wall_us()
        asked = read_range(value.interval, value.from_, value.to, now_us=now_us)

        async def time_of(seq: int) -> int | None:
            page = await self._page(symbol, seq, 1, source)
            return page.trades[0].ts if page.trades else None

        listing = self._listed.get(symbol)
        last_seq = 0 if listing is None else listing.trade_seq
        seq = await first_at(asked.from_us, last_seq=last_seq, time_of=time_of)
        return await self._fold(symbol, seq, asked, source)

    async def _fold(self, symbol: Symbol, seq: int, asked: Range, source: int) -> Candles:
        folding = Folding(asked)
        while True:
            page = await self._page(symbol, seq, PAGE, source)
            if not folding.put(told_trades(page)) or len(page.trades) < PAGE:
                return folding.candles()
            seq = page.next_seq

    async def _page(self, symbol: Symbol, seq: int, limit: int, source: int) -> TradesAnswer:
        query = TradesQuery(symbol, Seq(seq), limit)
        answer = await self._hub.call(lambda ticket: Ask(ticket, query), source)
        if isinstance(answer, Refused):
            raise RefusedError(answer.code, answer.detail)
        assert isinstance(answer, TradesAnswer), "trades answer this query"
        return answer


class _OwnOrders:
    """The open orders of an account, read between two inputs, some each time."""

    def __init__(self, state: State, account: AccountId) -> None:
        self.levels = OwnLevels()
        self.has_more = True
        self._state = state
        self._account = account
        self._left: Iterator[OrderId] | None = None  # of those that were open at the first look

    def next_part(self, ticket: Ticket) -> Later:
        """Return what reads the next orders."""
        return Later(partial(self._read, ticket))

    def _read(self, ticket: Ticket) -> Tell:
        if self._left is None:
            self._left = iter(list(self._state.open_by_account.get(self._account, ())))
        some = list(islice(self._left, ORDERS))
        self.has_more = len(some) == ORDERS
        for order_id in some:
            order = self._state.orders.get(order_id)
            if order is not None:  # else it is done since
                self.levels.put(order, self._state.instruments[order.symbol].instrument)
        return Tell(ticket, Done())
