"""`exchange instrument`, `book`, `trades`, `watch`: what the market shows."""

import sys
from typing import TYPE_CHECKING, Any

import click

from exchange.client import output
from exchange.client.errors import Unreachable, UsageError
from exchange.client.session import Session, with_session
from exchange.client.subcommands import Subcommands
from exchange.process.options import Seconds

if TYPE_CHECKING:
    from exchange.client.cluster import Cluster

INSTRUMENT = (
    "symbol",
    "base",
    "quote",
    "tick_size",
    "lot_size",
    "base_decimals",
    "quote_decimals",
)
UNREACHABLE = 3
LEVEL = ("side", "price", "quantity", "orders")
NODE = click.option(
    "--node",
    type=click.IntRange(1),
    metavar="ID",
    help="The node whose view is shown.  [default: the first that is there]",
)
TRADE = ("ts", "price", "quantity", "aggressor", "node", "seq", "trade_id")


@click.group(
    cls=Subcommands,
    epilog="""\b
Examples:
  exchange instrument list
  exchange instrument create BTC/USD --base BTC --tick-size 0.5 --base-decimals 8
""",
)
def instrument() -> None:
    """List what is traded, and what may be."""


@instrument.command(
    "list",
    epilog="""\b
Examples:
  exchange instrument list
  exchange instrument list -o json
""",
)
@with_session(is_account=False)
def list_(session: Session) -> None:
    """List the instruments of the cluster."""
    from exchange.client import results

    async def work(cluster: "Cluster") -> None:
        listed = sorted(await cluster.instruments(), key=lambda one: one.symbol)
        output.show([results.plain(one) for one in listed], session.form, columns=INSTRUMENT)
        output.talk(output.counted(len(listed), "instrument"))

    session.run(work)


@instrument.command(
    epilog="""\b
Examples:
  exchange instrument create AAPL
  exchange instrument create ESH4 --tick-size 0.25
""",
)
@click.argument("symbol")
@click.option("--base", help="The asset that is traded.  [default: SYMBOL]")
@click.option("--quote", default="USD", show_default=True, help="What it is paid in.")
@click.option("--tick-size", default="0.01", show_default=True, help="The smallest price step.")
@click.option("--lot-size", default="1", show_default=True, help="The smallest quantity.")
@click.option("--base-decimals", type=int, default=0, show_default=True)
@click.option("--quote-decimals", type=int, default=2, show_default=True)
@with_session(is_account=False)
def create(
    session: Session,
    symbol: str,
    base: str | None,
    quote: str,
    tick_size: str,
    lot_size: str,
    base_decimals: int,
    quote_decimals: int,
) -> None:
    """List an instrument (an operator's power); listing it twice alike does no harm."""
    from exchange.client import results

    wanted = results.Instrument(
        symbol, base or symbol, quote, tick_size, lot_size, base_decimals, quote_decimals
    )

    async def work(cluster: "Cluster") -> None:
        listed = await cluster.create_instrument(wanted)
        output.show_one(results.plain(listed), session.form, columns=INSTRUMENT)
        output.talk(f"{listed.symbol} is listed")

    session.run(work)


@click.command(
    epilog="""\b
Examples:
  exchange book AAPL
  exchange book AAPL --depth 5 --node 2 -o json
""",
)
@click.argument("symbol")
@click.option("--depth", type=click.IntRange(1, 10_000), default=10, show_default=True)
@NODE
@with_session(is_account=False)
def book(session: Session, symbol: str, depth: int, node: int | None) -> None:
    """Show the bids and asks of SYMBOL, the best next to each other."""
    from exchange.client import results

    async def work(cluster: "Cluster") -> None:
        node_id = await _seen_from(cluster, node)
        found = await cluster.book(node_id, symbol, depth=depth)
        if session.form == "json":
            output.show_one(results.plain(found), "json", columns=())
        else:
            output.show(book_rows(found), session.form, columns=LEVEL)
        output.talk(f"{symbol} as node {node_id} sees it, change {found.seq}")

    session.run(work)


@click.command(
    epilog="""\b
Examples:
  exchange trades AAPL
  exchange trades AAPL --limit 1000 -o csv
""",
)
@click.argument("symbol")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=50,
    show_default=True,
    help="The newest so many.",
)
@with_session(is_account=False)
def trades(session: Session, symbol: str, limit: int) -> int:
    """Show the trades of SYMBOL, oldest first: the tapes of all nodes in one.

    The exit code is 3 if a node is away and its trades are missing.
    """

    async def work(cluster: "Cluster") -> int:
        from exchange.client.tape import Newest

        tape = Newest(cluster, await cluster.node_ids(), symbol)
        await tape.read(limit)
        output.show(tape.rows, session.form, columns=TRADE)
        output.talk(f"{len(tape.rows)} of {output.counted(tape.count, 'trade')} of {symbol}")
        for node_id, why in tape.missing.items():
            output.talk(f"without those of node {node_id}: {why}")
        return UNREACHABLE if tape.missing else 0

    return session.run(work)


@click.command(
    epilog="""\b
Examples:
  exchange watch AAPL
  exchange watch AAPL -o jsonl | grep trade_id
""",
)
@click.argument("symbol")
@click.option(
    "--every",
    type=Seconds(0.05, 60),
    default=0.2,
    show_default=True,
    help="Seconds between two pictures.",
)
@click.option("--depth", type=click.IntRange(1, 50), default=10, show_default=True)
@click.option("--limit", type=click.IntRange(1), help="End after so many events.")
@NODE
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(output.FORMS),
    callback=lambda _context, _param, form: form or _form_here(),
    help="A picture, or one event a line.  [default: table on a terminal, else jsonl]",
)
@with_session(is_account=False, has_data=False)
def watch(
    session: Session, symbol: str, every: float, depth: int, limit: int | None, node: int | None
) -> None:
    """Watch book and tape of SYMBOL as they change, through restarts too; ctrl-C ends it."""

    async def work(cluster: "Cluster") -> None:
        from exchange.client.watch import watch_market

        node_id = await _seen_from(cluster, node)
        await cluster.book(node_id, symbol, depth=1)  # fails here if there is no such thing
        await watch_market(
            cluster,
            symbol,
            node_id=node_id,
            form=session.form,
            depth=depth,
            every=every,
            limit=limit,
        )

    session.run(work)


def _form_here() -> str:
    return "table" if sys.stdout.isatty() else "jsonl"


async def _seen_from(cluster: "Cluster", node: int | None) -> int:
    """Return the node whose view is shown: the one asked for, else the first that is there."""
    if node is not None:
        return await _known(cluster, node)
    info = await cluster.info_if_there()
    if info is None:
        return (await cluster.status(0)).node_id
    if not info.nodes:
        raise Unreachable("no node has joined this cluster yet")
    return min(info.nodes, key=lambda one: (not one.is_connected, one.node_id)).node_id


async def _known(cluster: "Cluster", node: int) -> int:
    node_ids = await cluster.node_ids()
    if node not in node_ids:
        listed = ", ".join(str(node_id) for node_id in node_ids) or "none"
        raise UsageError(f"there is no node {node} in this cluster; its nodes: {listed}")
    return node


def book_rows(book: Any) -> list[dict[str, object]]:  # noqa: ANN401 - imported when it is used
    """Return the levels of a book from the highest price to the lowest."""
    sides = [("ask", reversed(book.asks)), ("bid", book.bids)]
    return [
        {"side": side, "price": price, "quantity": quantity, "orders": orders}
        for side, levels in sides
        for price, quantity, orders in levels
    ]
