"""`exchange order`: buy, sell, amend, cancel, show, list; and `exchange fills`."""

from typing import TYPE_CHECKING

import click

from exchange.client import output
from exchange.client.errors import UsageError
from exchange.client.session import Session, with_session
from exchange.client.subcommands import Subcommands

if TYPE_CHECKING:
    from exchange.client.account import AccountClient
    from exchange.client.cluster import Cluster
    from exchange.client.results import Placed

IN_DOUBT = 6
REFUSED = 1
ORDER = (
    "order_id",
    "symbol",
    "side",
    "price",
    "quantity",
    "filled_quantity",
    "remaining_quantity",
    "average_price",
    "status",
    "time_in_force",
    "client_order_id",
)
FILL = ("seq", "ts", "symbol", "side", "quantity", "price", "role", "order_id", "trade_id")


@click.group(
    cls=Subcommands,
    epilog="""\b
Examples:
  exchange order buy AAPL 10 187.50
  exchange order list --status open
""",
)
def order() -> None:
    """Buy, sell, amend, cancel, show, list."""


def _placing(side: str) -> click.Command:
    """Make `buy` or `sell`."""
    other = "187.50" if side == "buy" else "190"

    @click.argument("symbol")
    @click.argument("quantity")
    @click.argument("price")
    @click.option(
        "--ioc",
        "is_ioc",
        is_flag=True,
        help="Immediate or cancel: what does not trade at once is gone.",
    )
    @click.option(
        "--wait",
        "is_done",
        is_flag=True,
        help="Wait until nothing of it is in doubt (always with --ioc).",
    )
    @click.option(
        "--client-order-id",
        metavar="ID",
        help="Your name for it: the same id again is the same order, never a second one.",
    )
    @click.option(
        "--self-trade-prevention",
        type=click.Choice(["cancel_newest", "cancel_oldest", "cancel_both"]),
        help="What happens where it meets an order of your own.  [default: cancel_newest]",
    )
    @with_session()
    def place(
        session: Session,
        symbol: str,
        quantity: str,
        price: str,
        is_ioc: bool,
        is_done: bool,
        client_order_id: str | None,
        self_trade_prevention: str | None,
    ) -> int:
        _check_given(client_order_id, "--client-order-id")

        async def work(cluster: "Cluster") -> int:
            client = await session.account(cluster)
            placed = await client.place(
                symbol,
                side,
                price=price,
                quantity=quantity,
                time_in_force="ioc" if is_ioc else "gtc",
                client_order_id=client_order_id,
                self_trade_prevention=self_trade_prevention,
                is_done=is_done or is_ioc,
            )
            return _tell(session, client, placed)

        return session.run(work)

    place.__doc__ = (
        f"{side.capitalize()} QUANTITY of SYMBOL at PRICE or better.\n\n"
        "Answered once it is durable and in the book of every node; what is left rests there."
    )
    return click.command(
        side,
        epilog=f"""\b
Examples:
  exchange order {side} AAPL 10 {other}
  exchange order {side} AAPL 10 {other} --ioc -o json
""",
    )(place)


order.add_command(_placing("buy"))
order.add_command(_placing("sell"))


@order.command(
    epilog="""\b
Examples:
  exchange order amend 3-42 --price 187.25
  exchange order amend 3-42 --quantity 5
""",
)
@click.argument("order_id")
@click.option("--price", metavar="PRICE", help="The new limit.")
@click.option(
    "--quantity", metavar="QUANTITY", help="The new total, what is filled already included."
)
@with_session()
def amend(session: Session, order_id: str, price: str | None, quantity: str | None) -> int:
    """Change the price or the total of an order.

    It keeps its place in the queue only if it shrinks at the same price.
    """
    if price is None and quantity is None:
        raise UsageError("give --price, --quantity or both")

    async def work(cluster: "Cluster") -> int:
        client = await session.account(cluster)
        placed = await client.amend(order_id, price=price, quantity=quantity)
        return _tell(session, client, placed)

    return session.run(work)


@order.command(
    epilog="""\b
Examples:
  exchange order cancel 3-42
  exchange order cancel --all --symbol AAPL
""",
)
@click.argument("order_id", required=False)
@click.option("--client-order-id", metavar="ID", help="Your name for the order.")
@click.option("--all", "is_all", is_flag=True, help="All open orders of the account.")
@click.option("--symbol", help="With --all: those of one instrument.")
@with_session()
def cancel(
    session: Session,
    order_id: str | None,
    client_order_id: str | None,
    is_all: bool,
    symbol: str | None,
) -> int:
    """Cancel an order, and say what was removed and what is still in doubt."""
    _check_given(symbol, "--symbol")
    if [is_all, bool(order_id), bool(client_order_id)].count(True) != 1:
        raise UsageError("give an order id, --client-order-id or --all, one of them")

    async def work(cluster: "Cluster") -> int:
        client = await session.account(cluster)
        if is_all:
            return await _cancel_all(session, client, symbol or "")
        return await _cancel(session, client, order_id or "", client_order_id or "")

    return session.run(work)


@order.command(
    epilog="""\b
Examples:
  exchange order show 3-42
  exchange order show --client-order-id mine-7 -o json
""",
)
@click.argument("order_id", required=False)
@click.option("--client-order-id", metavar="ID", help="Your name for the order.")
@with_session()
def show(session: Session, order_id: str | None, client_order_id: str | None) -> int:
    """Show one order as it is now, open or done.

    Exit code 6 says that some of it is in doubt, 1 that it was rejected.
    """
    if bool(order_id) == bool(client_order_id):
        raise UsageError("give an order id or --client-order-id, one of them")

    async def work(cluster: "Cluster") -> int:
        client = await session.account(cluster)
        found = await client.order(order_id or "", client_order_id=client_order_id or "")
        return _tell(session, client, found)

    return session.run(work)


@order.command(
    "list",
    epilog="""\b
Examples:
  exchange order list
  exchange order list --status all --symbol AAPL -o jsonl
""",
)
@click.option(
    "--status",
    type=click.Choice(["open", "done", "all"]),
    default="open",
    show_default=True,
    help="Which orders.",
)
@click.option("--symbol", help="Those of one instrument.")
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=1000,
    show_default=True,
    help="At most so many, the oldest first.",
)
@with_session()
def list_(session: Session, status: str, symbol: str | None, limit: int) -> None:
    """List the orders of the account, oldest first."""
    from exchange.client import results

    async def work(cluster: "Cluster") -> None:
        client = await session.account(cluster)
        rows: list[dict[str, object]] = []
        cursor: int | str | None = None
        while len(rows) < limit:
            page = await client.orders(
                status=status, symbol=symbol, cursor=cursor, limit=min(1000, limit - len(rows))
            )
            rows.extend(results.plain(one) for one in page.orders)
            cursor = page.next_cursor
            if cursor is None:
                break
        output.show(rows, session.form, columns=ORDER)
        more = ", and there are more" if cursor is not None else ""
        output.talk(
            f"{output.counted(len(rows), 'order')} of account {client.credentials.user_id}{more}"
        )

    session.run(work)


@click.command(
    epilog="""\b
Examples:
  exchange fills
  exchange fills --from-seq 100 -o csv
""",
)
@click.option(
    "--from-seq",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="The first to show; fills are numbered from 1 without a gap.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=1000, show_default=True)
@with_session()
def fills(session: Session, from_seq: int, limit: int) -> None:
    """Show what the account has traded."""
    from exchange.client import results

    async def work(cluster: "Cluster") -> None:
        client = await session.account(cluster)
        page = await client.fills(from_seq=from_seq, limit=limit)
        output.show([results.plain(one) for one in page.fills], session.form, columns=FILL)
        output.talk(
            f"{output.counted(len(page.fills), 'fill')} of account {client.credentials.user_id}"
        )

    session.run(work)


def _check_given(text: str | None, option: str) -> None:
    """Refuse an option that is empty: in a script a variable that was never set."""
    if text == "":
        raise UsageError(f"{option} is empty")


def told(placed: "Placed", node_id: int) -> str:
    """Say in one line what happened to an order (interfaces 4)."""
    order = placed.order
    if order.is_rejected:
        return f"order {order.order_id} rejected: {order.reason}; durable on node {node_id}"
    done = f"{order.filled_quantity} of {order.quantity} filled"
    if order.average_price is not None:
        done += f" at {order.average_price} on average"
    doubt = f", {order.in_doubt_quantity} in doubt" if order.in_doubt_quantity != "0" else ""
    reason = f" ({order.reason.replace('_', ' ')})" if order.reason else ""
    again = "; nothing was done, this id was used before" if placed.is_replayed else ""
    return (
        f"order {order.order_id} {order.status.replace('_', ' ')}{reason}: "
        f"{order.side} {order.quantity} "
        f"{order.symbol} at {order.price}, {done}{doubt}; {where(placed, node_id)}{again}"
    )


def where(placed: "Placed", node_id: int) -> str:
    """Say where an order is safe and who shows it."""
    durable = f"durable on node {node_id} at LSN {placed.lsn}"
    if placed.visible < 0:
        return durable
    peers = "peer" if placed.visible == 1 else "peers"
    return f"{durable}, visible on {placed.visible} {peers}"


def _tell(session: Session, client: "AccountClient", placed: "Placed") -> int:
    from exchange.client import results

    row = results.plain(placed.order)
    beside = {"lsn": placed.lsn, "visible": placed.visible, "replayed": placed.is_replayed}
    output.show_one({**row, **beside}, session.form, columns=ORDER)
    output.talk(told(placed, client.credentials.node_id))
    if placed.order.is_rejected:
        return REFUSED
    return IN_DOUBT if placed.order.in_doubt_quantity != "0" else 0


async def _cancel(
    session: Session, client: "AccountClient", order_id: str, client_order_id: str
) -> int:
    from exchange.client import results

    gone = await client.cancel(order_id, client_order_id=client_order_id)
    row = {**results.plain(gone.order), "canceled_quantity": gone.canceled_quantity}
    output.show_one(row, session.form, columns=(*ORDER, "canceled_quantity"))
    doubt = gone.in_doubt_quantity
    output.talk(
        f"order {gone.order.order_id} {gone.order.status.replace('_', ' ')}: "
        f"{gone.canceled_quantity} {gone.order.symbol} removed"
        + (f", {doubt} in doubt: removed too if it comes back" if doubt != "0" else "")
        + f"; durable on node {client.credentials.node_id} at LSN {gone.lsn}"
    )
    return IN_DOUBT if doubt != "0" else 0


async def _cancel_all(session: Session, client: "AccountClient", symbol: str) -> int:
    gone = await client.cancel_all(symbol)
    output.show_one({"orders": gone.orders}, session.form, columns=("orders",))
    output.talk(
        f"{output.counted(gone.orders, 'order')} of account {client.credentials.user_id} canceled"
    )
    return 0
