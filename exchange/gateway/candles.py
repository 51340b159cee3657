"""Candles, computed from the market's tape when they are asked for.

    candle = first, highest, lowest and last price, volume and number of the trades in
             [ts, ts + interval); intervals without a trade have none

A node's tape is in the order of its own decisions, so where a time begins on it is found by
halving.  Trades of all nodes are merged by (ts, node, seq) before the first is the open.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from exchange.client.connection import Request
from exchange.gateway import schema
from exchange.gateway.market import Page, read_tape
from exchange.gateway.nodes import Nodes
from exchange.gateway.problems import refuse
from exchange.gateway.resources import Call, Reply, Resource
from exchange.wire.numbers import time_text

SECONDS = {"1s": 1, "1m": 60, "5m": 300, "15m": 900, "1h": 3_600, "1d": 86_400}
BY_DEFAULT = 100  # candles before `to`
TRADES_MAX = 20_000  # read for one answer; a longer range is asked for in parts
PAGE = 1_000
MICROS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Open:
    """A candle that trades are put into.  Prices are compared as exact numbers."""

    def __init__(self, start_us: int, price: str) -> None:
        self.start_us = start_us
        self.first = self.high = self.low = self.last = price
        self.volume = _Sum()
        self.trades = 0

    def put(self, trade: schema.Trade) -> None:
        """Add a trade."""
        self.last = trade.price
        if _exact(trade.price) > _exact(self.high):
            self.high = trade.price
        if _exact(trade.price) < _exact(self.low):
            self.low = trade.price
        self.volume.add(trade.quantity)
        self.trades += 1

    def closed(self) -> schema.Candle:
        """Return what is shown."""
        return schema.Candle(
            time_text(self.start_us),
            self.first,
            self.high,
            self.low,
            self.last,
            self.volume.text(),
            self.trades,
        )


class _Sum:
    """A sum of decimal texts, exactly."""

    def __init__(self) -> None:
        self._digits = 0
        self._decimals = 0

    def add(self, text: str) -> None:
        """Add a number in its shortest form."""
        whole, _, fraction = text.partition(".")
        more = len(fraction) - self._decimals
        if more > 0:
            self._digits *= 10**more
            self._decimals += more
        self._digits += int(whole + fraction) * 10 ** max(0, -more)

    def text(self) -> str:
        """Return the sum in its shortest form."""
        if not self._decimals:
            return str(self._digits)
        whole, fraction = divmod(self._digits, 10**self._decimals)
        tail = str(fraction).rjust(self._decimals, "0").rstrip("0")
        return f"{whole}.{tail}" if tail else str(whole)


async def list_candles(call: Call) -> Reply:
    """Return the candles of a range."""
    query, symbol = call.query, call.path["symbol"]
    step_us = SECONDS[query.interval] * MICROS
    to_us = _now_us() if query.to is None else read_time(query.to, "to")
    from_us = to_us - BY_DEFAULT * step_us
    if query.from_ is not None:
        from_us = read_time(query.from_, "from")
    if from_us >= to_us:
        raise refuse(400, "invalid_value", "`from` is before `to`")
    if (to_us - from_us) // step_us >= schema.CANDLES_MAX:
        detail = f"a range holds at most {schema.CANDLES_MAX} intervals"
        raise refuse(400, "invalid_value", detail)
    from_us -= from_us % step_us
    trades = await _read(call.nodes, symbol, from_us, to_us)
    answer = schema.Candles([each.closed() for each in fold(trades, step_us)])
    return Reply(msgspec.json.encode(answer))


def fold(trades: Iterable[schema.Trade], step_us: int) -> list[_Open]:
    """Put trades into candles; they come in the order of their times."""
    candles: list[_Open] = []
    for trade in trades:
        at = read_time(trade.ts, "ts")
        start = at - at % step_us
        if not candles or candles[-1].start_us != start:
            candles.append(_Open(start, trade.price))
        candles[-1].put(trade)
    return candles


def read_time(text: str, name: str) -> int:
    """Read an RFC 3339 time as microseconds since 1970; UTC if it names no zone."""
    try:
        told = datetime.fromisoformat(text.replace(" ", "+"))
        told = told if told.tzinfo is not None else told.replace(tzinfo=UTC)
        return (told - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        detail = f"`{name}` is a time such as 2026-01-31T09:30:00Z"
        raise refuse(400, "invalid_value", detail) from error


async def _read(nodes: Nodes, symbol: str, from_us: int, to_us: int) -> list[schema.Trade]:
    """Read the market's tape between two times."""
    places = {
        node_id: await _first_at(nodes, node_id, symbol, from_us)
        for node_id in await nodes.node_ids()
    }
    trades: list[schema.Trade] = []
    while True:
        tape = await read_tape(nodes, symbol, places, limit=PAGE)
        inside = [trade for trade in tape.trades if read_time(trade.ts, "ts") < to_us]
        trades += inside
        if len(trades) > TRADES_MAX:
            detail = f"there are more than {TRADES_MAX} trades in this range; ask for parts of it"
            raise refuse(422, "range_too_long", detail)
        if len(inside) < len(tape.trades) or len(tape.trades) < PAGE:
            return trades
        places = tape.places


async def _first_at(nodes: Nodes, node_id: int, symbol: str, from_us: int) -> int:
    """Return the seq of a node's first trade at or after a time, by halving."""
    newest = await _page(nodes, node_id, symbol, newest=True)
    if not newest.trades:
        return 1
    low, high = 1, newest.trades[0].seq + 1
    while low < high:
        middle = (low + high) // 2
        page = await _page(nodes, node_id, symbol, from_seq=middle)
        if page.trades and read_time(page.trades[0].ts, "ts") < from_us:
            low = middle + 1
        else:
            high = middle
    return low


async def _page(nodes: Nodes, node_id: int, symbol: str, **where: object) -> Page:
    value = {"symbol": symbol, "limit": 1, **where}
    answer = await nodes.ask(node_id, Request("trades.list", value))
    return msgspec.json.decode(answer.value, type=Page)


def _exact(price: str) -> tuple[int, str]:
    whole, _, fraction = price.partition(".")
    return int(whole), fraction


def _now_us() -> int:
    return (datetime.now(UTC) - _EPOCH) // timedelta(microseconds=1)


RESOURCES = [
    Resource(
        "GET",
        "/candles/{symbol}",
        list_candles,
        "Return what was traded, by interval.",
        schema.Candles,
        query=schema.CandlesQuery,
        problems=(404, 422),
    ),
]
