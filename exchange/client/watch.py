"""`exchange watch`: book and tape in the terminal, asked for again and again.

A feed that tells of changes comes with a later version; until then a look costs the node two
small queries.
"""

from typing import Any

import trio
from rich.columns import Columns
from rich.console import Console
from rich.live import Live
from rich.panel import Panel

from exchange.client import output
from exchange.client.cluster import Cluster
from exchange.client.commands_market import LEVEL, TRADE, book_rows
from exchange.client.errors import Unreachable
from exchange.client.tape import Tape

TAPE_ROWS = 20
TAPE_COLUMNS = TRADE[:4]


async def watch_market(
    cluster: Cluster, symbol: str, *, every: float, depth: int, looks_max: int | None = None
) -> None:
    """Show book and tape until interrupted, or for so many looks."""
    node_ids = await cluster.node_ids()
    tape = Tape(cluster, node_ids, symbol)
    with Live(console=Console(), screen=False, auto_refresh=False) as live:
        looks = 0
        while looks_max is None or looks < looks_max:
            live.update(await _look(cluster, node_ids[0], symbol, depth, tape), refresh=True)
            looks += 1
            await trio.sleep(every)


async def _look(cluster: Cluster, node_id: int, symbol: str, depth: int, tape: Tape) -> Any:  # noqa: ANN401
    try:
        book = await cluster.book(node_id, symbol, depth=depth)
        await tape.read()
    except Unreachable as error:
        return Panel(str(error), title=f"{symbol}: waiting for the server")
    rows = [{**row, "ts": str(row["ts"])[11:23]} for row in reversed(tape.rows[-TAPE_ROWS:])]
    return Columns(
        [
            Panel(output.table(book_rows(book), LEVEL), title=f"{symbol} on node {node_id}"),
            Panel(output.table(rows, TAPE_COLUMNS), title=f"{len(tape.rows)} trades"),
        ]
    )
