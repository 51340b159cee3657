"""The market over HTTP: instruments, a book, and the trades of all deciders as one tape.

Each node publishes the trades it decided (S8); the tape of the market is their union, ordered
by (ts, node, seq).  A cursor says how far into each node's tape the reader is, so it is good
at any gateway.
"""

import base64
import binascii
from collections.abc import Sequence
from heapq import merge

import msgspec
import trio

from exchange.client import results
from exchange.client.connection import Repeat, Request
from exchange.client.errors import ClientError, Refused, Unreachable
from exchange.client.link import Answer
from exchange.gateway.http.messages import Reply
from exchange.gateway.http.problems import ProblemError, refuse
from exchange.gateway.nodes import Nodes
from exchange.gateway.resources import schema
from exchange.gateway.resources.refusals import problem_of
from exchange.gateway.resources.resource import Call, Resource, value_reply

_ENCODE = msgspec.json.Encoder().encode
CURSOR_VERSION = 1


class Tape(msgspec.Struct, frozen=True):
    """Some of the market's tape, and where each node's goes on."""

    trades: list[schema.Trade]
    places: dict[int, int]  # next seq by node


async def list_symbols(call: Call) -> Reply:
    """List what is traded."""
    return value_reply(await call.nodes.ask_coordinator(Request("instrument.list", {})))


async def create_symbol(call: Call) -> Reply:
    """List an instrument (operators)."""
    value = call.decode(schema.Instrument)
    if not call.key:
        raise refuse(401, "unauthorized", "send `Authorization: Bearer <operator key>`")
    request = Request("instrument.create", value, Repeat.SAFE, auth=call.key)
    return value_reply(await call.nodes.ask_coordinator(request), status=201)


async def get_book(call: Call) -> Reply:
    """Return the book of a symbol as one node sees it."""
    value = {"symbol": call.path["symbol"], "depth": call.query.depth}
    value = {name: given for name, given in value.items() if given is not None}
    request = Request("book.get", value)
    if call.query.node is not None:
        if not await call.nodes.is_known(call.query.node):
            raise refuse(404, "unknown_node", "there is no such node")
        return value_reply(await call.nodes.ask(call.query.node, request))
    return value_reply(await any_node(call.nodes, request))


async def list_trades(call: Call) -> Reply:
    """List trades of a symbol, of all nodes."""
    symbol, query = call.path["symbol"], call.query
    places = {} if query.cursor is None else read_cursor(query.cursor, symbol)
    is_newest = query.cursor is None
    tape = await read_tape(call.nodes, symbol, places, limit=query.limit, is_newest=is_newest)
    trades = schema.Trades(tape.trades, write_cursor(tape.places, symbol))
    return Reply(_ENCODE(trades))


async def any_node(nodes: Nodes, request: Request) -> Answer:
    """Ask any node that answers; raises ClientError.

    The one in this process first, and one that was lost last: whoever asks would wait for it.
    """
    ids = await nodes.node_ids()
    ids.sort(key=lambda one: (one != nodes.local_id, nodes.is_away(one), not nodes.is_up(one), one))
    error: ClientError | None = None
    for node_id in ids:
        try:
            return await nodes.ask(node_id, request, within=ANSWER_S)
        except Refused:
            raise
        except ClientError as failure:
            error = failure
    raise error or refuse(503, "unavailable", "no node is there")


ANSWER_S = 3.0  # then another node is asked


async def read_tape(
    nodes: Nodes, symbol: str, places: dict[int, int], *, limit: int, is_newest: bool = False
) -> Tape:
    """Read the next trades of all nodes from their places on, or the newest of all.

    Raises ProblemError if a node does not answer: a tape with holes would be a lie.
    """
    ids = await nodes.node_ids()
    pages: dict[int, results.Trades] = {}

    async def read(node_id: int) -> None:
        value = {"symbol": symbol, "limit": limit, "newest": is_newest}
        value["from_seq"] = places.get(node_id, 1)
        try:
            answer = await nodes.ask(node_id, Request("trades.list", value), within=ANSWER_S)
            pages[node_id] = results.decode(answer, results.Trades)
        except Unreachable:
            told = f"node {node_id} is not there just now, and its trades are missing"
            failures.append(refuse(503, "unavailable", told))
        except ClientError as error:
            failures.append(ProblemError(problem_of(error)))

    failures: list[ProblemError] = []
    async with trio.open_nursery() as nursery:
        for node_id in ids:
            nursery.start_soon(read, node_id)
    if failures:
        raise failures[0]
    if not ids:
        raise refuse(503, "unavailable", "no node is there")
    return merged(pages, limit=limit, is_newest=is_newest)


def merged(pages: dict[int, results.Trades], *, limit: int, is_newest: bool) -> Tape:
    """Merge pages by (ts, node, seq); the first of them, or the last."""
    rows: Sequence[schema.Trade] = list(
        merge(
            *(
                [_of_node(node_id, trade) for trade in page.trades]
                for node_id, page in sorted(pages.items())
            ),
            key=lambda trade: (trade.ts, trade.node, trade.seq),
        )
    )
    rows = rows[-limit:] if is_newest else rows[:limit]
    places = {}
    for node_id, page in pages.items():
        taken = [trade.seq for trade in rows if trade.node == node_id]
        first = page.trades[0].seq if page.trades and not is_newest else page.next_seq
        places[node_id] = taken[-1] + 1 if taken else first
    return Tape(list(rows), places)


def write_cursor(places: dict[int, int], symbol: str) -> str:
    """Write where a reader is; opaque to it."""
    content = msgspec.msgpack.encode([CURSOR_VERSION, symbol, sorted(places.items())])
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def read_cursor(text: str, symbol: str) -> dict[int, int]:
    """Read a cursor of this symbol; 400 if it is none."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, of_symbol, places = msgspec.msgpack.decode(
            content, type=tuple[int, str, list[tuple[schema.Node, schema.Seq]]]
        )
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise refuse(400, "invalid_value", "`cursor` is not one of an answer") from error
    if version != CURSOR_VERSION or of_symbol != symbol:
        raise refuse(400, "invalid_value", "`cursor` is one of another list")
    return dict(places)


def _of_node(node_id: int, trade: results.Trade) -> schema.Trade:
    return schema.Trade(
        node_id,
        trade.seq,
        trade.trade_id,
        trade.symbol,
        trade.price,
        trade.quantity,
        trade.aggressor,  # type: ignore[arg-type]  # a side
        trade.ts,
    )


RESOURCES = [
    Resource("GET", "/symbols", list_symbols, "List what is traded.", schema.Instruments),
    Resource(
        "POST",
        "/symbols",
        create_symbol,
        "List an instrument.",
        schema.Instrument,
        access="operator",
        body=schema.Instrument,
        status=201,
        problems=(409, 422),
    ),
    Resource(
        "GET",
        "/book/{symbol}",
        get_book,
        "Return the book of a symbol as one node sees it.",
        schema.Book,
        query=schema.BookQuery,
        problems=(404,),
    ),
    Resource(
        "GET",
        "/trades/{symbol}",
        list_trades,
        "List trades of a symbol, decided anywhere.",
        schema.Trades,
        query=schema.TradesQuery,
        problems=(404,),
    ),
]
