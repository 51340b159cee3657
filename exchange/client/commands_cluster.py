"""`exchange status`, `replay` and `demo`: the cluster as a whole."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange.client import output
from exchange.client.errors import UsageError
from exchange.client.session import Session, with_session

if TYPE_CHECKING:
    from exchange.client.cluster import Cluster

WRONG = 1
ACCOUNTS_EACH = 4  # of the demo, on every node
NODE = (
    "node",
    "address",
    "state",
    "epoch",
    "durable_lsn",
    "peers",
    "lag",
    "in_doubt",
    "oldest_s",
    "trades",
    "open_orders",
    "map",
)


@click.command(
    epilog="""\b
Examples:
  exchange status
  exchange status --wait 30 -o json
""",
)
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="Wait up to so long until all nodes are at rest: nothing in doubt, all books equal.",
)
@with_session(is_account=False)
def status(session: Session, wait_s: float | None) -> int:
    """Show all nodes of the cluster, what is in doubt, and whether their books agree.

    Lag is how many of a node's own order events its slowest peer does not show yet.  Exit code
    3: a node cannot be reached; 1: the disk of one is full; 6: a trade is frozen, or has been in
    doubt for a minute.
    """

    async def work(cluster: "Cluster") -> int:
        from exchange.client.overview import overview, rested

        found = await (overview(cluster) if wait_s is None else rested(cluster, within=wait_s))
        if session.form == "json":
            output.show_one(found.plain(), "json", columns=())
        else:
            output.show(found.rows(), session.form, columns=NODE)
        output.talk(found.verdict())
        return found.exit_code

    return session.run(work)


@click.command(
    epilog="""\b
Examples:
  exchange replay esh4.csv.gz --pace sequential
  exchange replay --generate --seed 7 --instruments 50 --accounts 60 --orders 100000 --pace max
""",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option(
    "--pace",
    type=click.Choice(["sequential", "max"]),
    default="sequential",
    show_default=True,
    help="One order at a time, compared with a naive book on every line; or as fast as it goes.",
)
@click.option("--symbol", help="The instrument of a FILE.  [default: the file's name]")
@click.option("--generate", "is_generated", is_flag=True, help="Random order flow, no FILE.")
@click.option("--seed", type=int, default=1, show_default=True, help="With --generate.")
@click.option("--instruments", type=int, default=5, show_default=True, help="With --generate.")
@click.option("--orders", type=int, default=10_000, show_default=True, help="With --generate.")
@click.option(
    "--accounts", type=int, default=12, show_default=True, help="Accounts to spread orders over."
)
@with_session(is_account=False)
def replay(
    session: Session,
    file: Path | None,
    pace: str,
    symbol: str | None,
    is_generated: bool,
    seed: int,
    instruments: int,
    orders: int,
    accounts: int,
) -> int:
    """Trade order flow on a running cluster and check everything.

    FILE is CSV, gzipped or not, with the header ts_ns,kind,side,price,quantity,order_id.
    New accounts are opened and funded for it. At the end fills, books, replicas and balances
    are compared; the exit code is 1 if anything is not as it must be.
    """
    from exchange.client.progress import showing_progress
    from exchange.client.sources import open_flow

    if is_generated == (file is not None):
        if file is not None and file.name.isdigit():
            raise UsageError(f"--generate takes no number; say --generate --orders {file.name}")
        raise UsageError(
            "give a FILE or --generate, not both" if file else "give a FILE, or --generate"
        )
    source, flow = open_flow(
        file,
        symbol=symbol,
        seed=seed,
        instruments=instruments,
        accounts=accounts,
        orders=orders,
    )

    async def work(cluster: "Cluster") -> int:
        from exchange.client.replay import replay as run_replay

        with showing_progress() as progress:
            report = await run_replay(cluster, flow, source=source, pace=pace, progress=progress)
        return _show_report(session, report)

    return session.run(work, reach=math.inf)  # a node may be killed and come back meanwhile


def _show_report(session: Session, report: Any) -> int:  # noqa: ANN401 - imported when it is used
    from exchange.client import report_text, results

    row = results.plain(report)
    if session.form == "table":
        output.show(report_text.rows(report), "table", columns=("what", "found"))
    else:
        output.show_one(row, session.form, columns=list(row))
    for problem in report.first_problems:
        output.talk(f"wrong: {problem}")
    output.talk(report_text.verdict(report))
    return 0 if report.is_right else WRONG


@click.command(
    epilog="""\b
Examples:
  exchange demo
  exchange demo --seed 7 --nodes 4 --keep
""",
)
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Order flow from a CSV file instead of generated.",
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--keep", "is_kept", is_flag=True, help="Leave the data directories to look at.")
@click.option("--nodes", type=click.IntRange(2, 20), default=3, show_default=True)
@click.option("--instruments", type=int, default=3, show_default=True)
@click.option("--orders", type=int, default=6000, show_default=True)
def demo(
    file: Path | None, seed: int, is_kept: bool, nodes: int, instruments: int, orders: int
) -> int:
    """Trade on several nodes, kill one, bring it back, and prove that nothing was lost.

    Everything runs on this machine in a temporary directory and is gone afterwards.
    """
    import trio

    from exchange.client.demo import run_demo
    from exchange.client.sources import open_flow

    _, flow = open_flow(
        file,
        symbol=None,
        seed=seed,
        instruments=instruments,
        accounts=ACCOUNTS_EACH * nodes,
        orders=orders,
    )
    return trio.run(run_demo, flow, nodes, is_kept, click.echo)
