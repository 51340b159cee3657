"""Order flow from CSV files with the header `ts_ns,kind,side,price,quantity,order_id`.

Two forms, told apart by their kinds:

With `trade` lines (market by order, an auction first).  Everything before the auction, which
is the first `trade` and has no side, its fills, and the `cancel` and `modify` lines with its
timestamp are folded into a dict without matching: before an auction the book is crossed.
What is left is entered.  After that

    add, modify    a live order; priority is lost if the price changes or the quantity grows
    cancel         lowers or removes an order
    trade          an aggressor; the `fill` lines after it name the orders it hit, in order

With `fill` lines only (order by order, from the first line on): `reduce` lowers, `cancel`
removes, each run of `fill` lines of one moment is one aggressor, `hidden` is ignored, price
and all.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import groupby

import msgspec

from exchange.client.flow import Action, Aggress, Amend, Cancel, Flow, FlowError, Hit, Place, Spread
from exchange.domain.instruments import (
    CASH,
    CASH_DECIMALS,
    Instrument,
    NumberError,
    Rule,
    check_instrument,
    parse_decimal,
)
from exchange.domain.orders import SIDES, Side
from exchange.domain.units import Asset, Lots, Symbol, Ticks

HEADER = ["ts_ns", "kind", "side", "price", "quantity", "order_id"]
KINDS = {"add", "cancel", "modify", "reduce", "trade", "fill", "hidden"}
_SIDES: dict[str, Side | None] = {**SIDES, "": None}
LINE_MAX = 1000  # characters: a row has about 60
KEY_MAX = 40  # characters of an order id: with a line number it is still a client order id


class Row(msgspec.Struct, frozen=True):
    """One line of a file."""

    line: int
    ts: int
    kind: str
    side: Side | None
    price: Ticks
    quantity: Lots
    key: str


def read_flow(lines: Iterable[str], symbol: str, *, accounts: int) -> Flow:
    """Read a file into order flow for one symbol; raises FlowError naming the line."""
    raw = list(_cells(lines))
    instrument = _instrument(symbol, raw)
    rows = [_row(cells, number, instrument.rule) for number, cells in raw]
    reader = _Reader(instrument.symbol, Spread(accounts))
    actions = reader.auction_form(rows) if _has_trades(rows) else reader.order_form(rows)
    return Flow((instrument,), accounts, actions, reader.ignored)


class Folded(msgspec.Struct):
    """An order of the book before the auction."""

    line: int
    side: Side
    price: Ticks
    quantity: Lots


def fold(rows: Sequence[Row]) -> tuple[dict[str, Folded], int]:
    """Fold a file up to its auction without matching, best kept in the order of priority.

    Return what is left, and how many rows that took.
    """
    at = next((place for place, row in enumerate(rows) if row.kind == "trade"), 0)
    if not rows or rows[at].kind != "trade" or rows[at].side is not None:
        return {}, 0  # no auction: the flow is live from its first line
    book: dict[str, Folded] = {}
    for row in rows[:at]:
        _fold_row(book, row)
    end = at + 1
    while end < len(rows) and rows[end].ts == rows[at].ts and rows[end].kind in _RESTATING:
        _fold_row(book, rows[end])
        end += 1
    return book, end


_RESTATING = {"fill", "cancel", "modify"}


def _fold_row(book: dict[str, Folded], row: Row) -> None:
    order = book.get(row.key)
    if row.kind == "add":
        book[row.key] = Folded(row.line, _side(row), row.price, row.quantity)
    elif order is None:
        return  # older than the file, or filled in the auction
    elif row.kind == "modify":
        if row.price != order.price or row.quantity > order.quantity:
            del book[row.key]
            book[row.key] = Folded(row.line, order.side, row.price, row.quantity)
        else:
            order.quantity = row.quantity
    else:
        order.quantity = Lots(order.quantity - row.quantity)
        if order.quantity <= 0:
            del book[row.key]


class _Reader:
    """Turns rows into actions; remembers which orders it has seen."""

    def __init__(self, symbol: Symbol, spread: Spread) -> None:
        self.symbol = symbol
        self.spread = spread
        self.ignored = 0
        self._known: set[str] = set()

    def auction_form(self, rows: Sequence[Row]) -> list[Action]:
        book, start = fold(rows)
        actions: list[Action] = [
            self._place(order.line, key, order.side, order.price, order.quantity)
            for key, order in book.items()
        ]
        for place in range(start, len(rows)):
            row = rows[place]
            if row.kind == "trade":
                actions.append(self._aggress(row, list(_fills_of(rows, place))))
            elif row.kind != "fill":
                actions.extend(self._resting(row))
        return actions

    def order_form(self, rows: Sequence[Row]) -> list[Action]:
        actions: list[Action] = []
        for (ts, kind, _), run in groupby(rows, lambda row: (row.ts, row.kind, row.side)):
            if kind == "fill":
                actions.extend(self._executed(ts, list(run)))
            elif kind != "hidden":
                for row in run:
                    actions.extend(self._resting(row))
        return actions

    def _resting(self, row: Row) -> Iterator[Action]:
        if row.kind == "add":
            yield self._place(row.line, row.key, _side(row), row.price, row.quantity)
        elif row.key not in self._known:
            self.ignored += 1
        elif row.kind == "modify":
            yield Amend(row.line, self.symbol, row.key, row.price, row.quantity)
        else:
            yield Cancel(row.line, self.symbol, row.key, row.quantity)

    def _place(self, line: int, key: str, side: Side, price: Ticks, quantity: Lots) -> Place:
        if key in self._known:
            raise FlowError(f"line {line}: order {key} is added twice")
        self._known.add(key)
        return Place(line, self.symbol, key, self.spread.maker(side), side, price, quantity)

    def _aggress(self, row: Row, fills: list[Row]) -> Aggress:
        key = f"{row.key}@{row.line}"  # one aggressor may have several lines
        expected = tuple(Hit(fill.key, fill.quantity) for fill in fills)
        return Aggress(
            row.line,
            self.symbol,
            key,
            self.spread.taker(),
            _side(row),
            row.price,
            row.quantity,
            expected,
        )

    def _executed(self, ts: int, fills: list[Row]) -> Iterator[Action]:
        known = [fill for fill in fills if fill.key in self._known]
        self.ignored += len(fills) - len(known)
        if not known:
            return
        side = _side(known[0]).opposite
        prices = [fill.price for fill in known]
        price = max(prices) if side is Side.BUY else min(prices)
        quantity = Lots(sum(fill.quantity for fill in known))
        first = known[0]
        yield self._aggress(Row(first.line, ts, "trade", side, price, quantity, "taker"), known)


def _fills_of(rows: Sequence[Row], place: int) -> Iterator[Row]:
    """Yield the fills of an aggressor, without those that name itself."""
    trade = rows[place]
    for row in rows[place + 1 :]:
        if row.kind != "fill":
            return
        if row.key != trade.key:
            yield row


def _has_trades(rows: Sequence[Row]) -> bool:
    return any(row.kind == "trade" for row in rows)


def _side(row: Row) -> Side:
    if row.side is None:
        raise FlowError(f"line {row.line}: a {row.kind} needs a side, buy or sell")
    return row.side


def _cells(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(line[:LINE_MAX] for line in lines)
    try:
        if next(reader, None) != HEADER:
            raise FlowError(f"line 1: the header must be {','.join(HEADER)}")
        for cells in reader:
            yield reader.line_num, cells
    except (csv.Error, UnicodeDecodeError) as error:
        raise FlowError(f"line {reader.line_num + 1}: this is not CSV in UTF-8: {error}") from error


def _row(cells: list[str], line: int, rule: Rule) -> Row:
    try:
        ts, kind, side, price, quantity, key = cells
        if not key or len(key) > KEY_MAX:
            raise FlowError(f"line {line}: an order id has 1 to {KEY_MAX} characters")
        if kind not in KINDS or side not in _SIDES:
            raise FlowError(f"line {line}: unknown kind {kind[:20]!r} or side {side[:20]!r}")
        if kind == "hidden":  # off the grid at times: at the midpoint
            return Row(line, int(ts), kind, _SIDES[side], Ticks(0), Lots(0), key)
        ticks = Ticks(rule.tick.count(price, "price"))
        lots = Lots(rule.lot.count(quantity, "quantity"))
        if ticks <= 0 or lots <= 0:
            raise FlowError(f"line {line}: price and quantity must be above zero")
        return Row(line, int(ts), kind, _SIDES[side], ticks, lots, key)
    except ValueError as error:
        raise FlowError(f"line {line}: {error}; a row is {','.join(HEADER)}") from error


def _instrument(symbol: str, raw: list[tuple[int, list[str]]]) -> Instrument:
    """Return an instrument in which all prices and quantities of a file are whole.

    The tick is the largest that all prices are multiples of.  Where cents are too coarse for
    one tick of one lot the file is paid in dollars of more decimals, an asset of its own.
    """
    if not raw:
        raise FlowError("the file has a header and no rows")
    told = [(line, cells) for line, cells in raw if cells[1:2] != ["hidden"]]
    prices, sizes = _numbers(told, 3, "price"), _numbers(told, 4, "quantity")
    decimals = _decimals_of(prices)
    common = math.gcd(*(int(price.scaleb(decimals)) for price in prices))
    if not common:
        raise FlowError("all prices are zero")
    tick, lot_decimals = Decimal(common).scaleb(-decimals), _decimals_of(sizes)
    cents = max(CASH_DECIMALS, decimals + lot_decimals)
    instrument = Instrument(
        Symbol(symbol),
        Asset(symbol),
        CASH if cents == CASH_DECIMALS else Asset(f"{CASH}-{cents}"),
        f"{tick:f}",
        f"{Decimal(1).scaleb(-lot_decimals):f}",
        lot_decimals,
        cents,
    )
    try:
        check_instrument(instrument)
    except NumberError as error:
        raise FlowError(f"--symbol {symbol}, tick {tick}: {error}") from error
    return instrument


def _numbers(raw: list[tuple[int, list[str]]], column: int, name: str) -> list[Decimal]:
    """Return the numbers of a column, each once."""
    texts: dict[str, int] = {}
    for line, cells in raw:
        texts.setdefault(cells[column] if len(cells) > column else "", line)
    numbers = []
    for text, line in texts.items():
        try:
            numbers.append(parse_decimal(text))
        except NumberError as error:
            raise FlowError(f"line {line}: {name} {text[:40]!r}: {error}") from error
    return numbers


def _decimals_of(numbers: Iterable[Decimal]) -> int:
    exponents = (number.as_tuple().exponent for number in numbers)
    return max([0, *(-exponent for exponent in exponents if isinstance(exponent, int))])
