"""Candles over HTTP: the tapes of all nodes, merged, and folded when they are asked for."""

import msgspec

from exchange.client import results
from exchange.client.connection import Request
from exchange.gateway.http.messages import Reply
from exchange.gateway.http.problems import ProblemError
from exchange.gateway.nodes import Nodes
from exchange.gateway.resources import schema
from exchange.gateway.resources.market import read_tape
from exchange.gateway.resources.refusals import of_refusal
from exchange.gateway.resources.resource import Call, Resource
from exchange.process.clocks import SystemClocks
from exchange.wire.candles import Candles, Folding, Range, first_at, read_range, read_time
from exchange.wire.reading import RefusedError

PAGE = 1_000


async def list_candles(call: Call) -> Reply:
    """Return the candles of a range."""
    query, symbol = call.query, call.path["symbol"]
    now_us = SystemClocks().wall_us()
    try:
        asked = read_range(query.interval, query.from_, query.to, now_us=now_us)
        candles = await _fold(call.nodes, symbol, asked)
    except RefusedError as error:
        raise ProblemError(of_refusal(error.refused.code, error.refused.detail)) from error
    return Reply(msgspec.json.encode(candles))


async def _fold(nodes: Nodes, symbol: str, asked: Range) -> Candles:
    """Fold the market's tape between two times."""
    places = {
        node_id: await _first_at(nodes, node_id, symbol, asked.from_us)
        for node_id in await nodes.node_ids()
    }
    folding = Folding(asked)
    while True:
        tape = await read_tape(nodes, symbol, places, limit=PAGE)
        if not folding.put(tape.trades) or len(tape.trades) < PAGE:
            return folding.candles()
        places = tape.places


async def _first_at(nodes: Nodes, node_id: int, symbol: str, from_us: int) -> int:
    """Return the seq of a node's first trade at or after a time."""

    async def time_of(seq: int) -> int | None:
        page = await _page(nodes, node_id, symbol, from_seq=seq)
        return read_time(page.trades[0].ts, "ts") if page.trades else None

    newest = await _page(nodes, node_id, symbol, newest=True)
    last_seq = newest.trades[0].seq if newest.trades else 0
    return await first_at(from_us, last_seq=last_seq, time_of=time_of)


async def _page(nodes: Nodes, node_id: int, symbol: str, **where: object) -> results.Trades:
    value = {"symbol": symbol, "limit": 1, **where}
    answer = await nodes.ask(node_id, Request("trades.list", value))
    return results.decode(answer, results.Trades)


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
