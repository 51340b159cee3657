"""The verbs that write: `resolve`, `forget`, `recover-node`; they lock what they write (5)."""
# ruff: noqa: D301 - \b is click's marker for text that is not wrapped

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from exchange.domain.units import parse_id
from recovery.advice import quoted
from recovery.data_verbs import archive_option, refusals
from recovery.problems import EXIT_DAMAGED, EXIT_IN_DOUBT, EXIT_USAGE, exit_code
from recovery.segments import naming
from recovery.show import counted
from recovery.terminal import Refused, output_option, print_json, print_lines

if TYPE_CHECKING:
    from recovery.resolution import Applied

ROWS_MAX = 12  # of a list; `-o json` has all of them
LISTS = (
    "replicas",
    "restored",
    "opened",
    "booked",
    "suspense",
    "declined_now",
    "funded",
    "canceled",
)

UNDECIDED = "next: start both nodes of each trade, or make a plan with the decider's directory too"

operator_option = click.option(
    "--operator", default=None, help="Who decides; the user of this shell if not given."
)
reason_option = click.option("--reason", default="", help="Why; it stands in the log for ever.")


@click.command("resolve")
@click.argument("what", metavar="[TRADE_ID] DIR...", nargs=-1)
@click.option("--plan", type=click.Path(path_type=Path), help="Write what can be proven here.")
@click.option("--apply", "plan_file", type=click.Path(path_type=Path), help="Apply this plan.")
@click.option("--commit", is_flag=True, help="Decide that the trade happened.")
@click.option("--abort", is_flag=True, help="Decide that it did not.")
@click.option(
    "--quantity", type=click.IntRange(1), help="Lots to commit; all offered if not given."
)
@operator_option
@reason_option
@output_option
def resolve_verb(
    what: tuple[str, ...],
    plan: Path | None,
    plan_file: Path | None,
    commit: bool,
    abort: bool,
    quantity: int | None,
    operator: str | None,
    reason: str,
    output: str,
) -> None:
    """Resolve trades in doubt, offline.

    What the logs prove is written to a plan, and the plan applied.  Only what nothing can prove
    may be decided, by --commit or --abort; it stands in the log as heuristic, and is compared
    with the decider's own answer when that node returns.

    \b
    Examples:
      exchange-recover resolve node1 node2 node3 --plan plan.json
      exchange-recover resolve --apply plan.json
      exchange-recover resolve 2-41 node2 --abort --reason "node 1 burnt down"
    """
    chosen = [plan is not None, plan_file is not None, commit or abort]
    if sum(chosen) != 1 or (commit and abort):
        raise Refused("give one of --plan, --apply, --commit, --abort", EXIT_USAGE)
    if plan is not None:
        _plan([Path(path) for path in what], plan, output)
    elif plan_file is not None:
        _apply(plan_file, output)
    else:
        lots = 0 if abort else quantity
        _decide(what, quantity=lots, operator=operator, reason=reason, output=output)


@click.command("forget")
@click.argument("trade", metavar="TRADE_ID")
@click.argument("paths", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@operator_option
@reason_option
@output_option
def forget_verb(
    trade: str, paths: tuple[Path, ...], operator: str | None, reason: str, output: str
) -> None:
    """Forget an operator's decision, once both halves of the trade are seen resolved.

    \b
    Examples:
      exchange-recover forget 2-41 node1 node2 --reason "balances corrected, ticket 812"
      exchange-recover forget 2-41 node1 node2 --operator ann --reason "checked" -o json
    """
    from recovery.resolution import CannotResolve, forget

    try:
        done = forget(trade, paths, operator=_operator(operator), reason=reason)
    except CannotResolve as refusal:
        raise Refused(str(refusal), refusal.exit_code) from refusal
    _print_applied([done], output)


@click.command("recover-node")
@click.argument("peers", metavar="[DIR...]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--node", type=click.IntRange(1), help="The id of the lost node.")
@click.option("--to", type=click.Path(path_type=Path), help="A new directory.")
@click.option("--backup", type=click.Path(path_type=Path), help="An old copy of the lost node.")
@archive_option
@click.option(
    "--live",
    "urls",
    metavar="URL",
    multiple=True,
    help="A node that runs elsewhere, to be asked for the orders it shows.",
)
@click.option(
    "--without-replicas", is_flag=True, help="Ask no node that runs; cancel all open orders."
)
@click.option("--accept", "accepted", type=click.Path(path_type=Path), help="Let this one serve.")
@output_option
def recover_node_verb(
    peers: tuple[Path, ...],
    node: int | None,
    to: Path | None,
    backup: Path | None,
    archived: Path | None,
    urls: tuple[str, ...],
    without_replicas: bool,
    accepted: Path | None,
    output: str,
) -> None:
    """Rebuild a lost node from the directories of all others, or bring an old copy forward.

    The first step only reads the others, and prints what could not be recovered.  Let them run
    until then: those that do are asked for the open orders of the lost node, which they have in
    memory alone.  The second step accepts the list, introduces the node to the others and to the
    coordinator, which must be stopped, and lets it serve, as a new incarnation.

    \b
    Examples:
      exchange-recover recover-node --node 1 --to node1-new node2 node3
      exchange-recover recover-node --node 1 --backup old --to node1-new node2 node3
      exchange-recover recover-node --accept node1-new node2 node3 coordinator
    """
    from recovery.rebirth import accept, untold
    from recovery.rebuild import rebuild
    from recovery.replicas import ask

    if without_replicas and urls:
        raise Refused("give --live or --without-replicas, not both", EXIT_USAGE)
    is_building = accepted is None and node is not None and to is not None
    if not peers or is_building == (accepted is not None):
        raise Refused("give --node and --to, or --accept, and the other nodes", EXIT_USAGE)
    with refusals():
        if accepted is not None:
            result = accept(accepted, peers)
        else:
            assert node is not None, "checked above"
            assert to is not None, "checked above"
            shown = [] if without_replicas else ask(peers, urls, node)
            result = rebuild(node, peers, to, backup=backup, archive=archived, shown=shown)
    if output == "json":
        print_json(result)
        return
    click.echo(f"{result.path}: node {result.node}, birth nonce {result.nonce}")
    trades = counted(result.trades, "trade")
    click.echo(f"LSN {result.lsn}, epoch {result.epoch}, {trades} made whole again")
    if accepted is not None:
        click.echo("accepted: it may be started; so may those that were given here")
        if missing := untold(result, peers):
            click.echo(f"not given here: {', '.join(missing)}; who does not know it refuses it")
            click.echo(f"next: exchange-recover recover-node --accept {quoted(result.path)} DIRS")
        return
    for name in LISTS:
        rows: list[str] = getattr(result, name)
        click.echo(f"{name}: {len(rows)}{': ' if rows else ''}{', '.join(rows[:ROWS_MAX])}")
    print_lines(f"NOT RESTORED   {line}" for line in result.not_restored[:ROWS_MAX])
    for line in result.not_recovered:
        click.echo(f"NOT RECOVERED  {line}")
    others = quoted(result.path, *map(str, peers))
    click.echo("next: stop the other nodes and the coordinator, then")
    click.echo(f"      exchange-recover recover-node --accept {others} COORDINATOR_DIR")


def _plan(paths: list[Path], file: Path, output: str) -> None:
    from recovery.report import problems_text, verdict_text
    from recovery.resolution import make_plan

    if not paths:
        raise Refused("give the directories of the nodes", EXIT_USAGE)
    plan, problems = make_plan(paths)
    code = exit_code(problems)
    if code in (EXIT_DAMAGED, EXIT_USAGE):
        print_lines(problems_text(problems))
        raise Refused("no plan was made", code)
    with naming(file):
        file.write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n")
    if output == "json":
        print_json(plan)
    else:
        for verdict in (*plan.decisions, *plan.undecided):
            print_lines(verdict_text(verdict))
        count = len(plan.decisions)
        click.echo(f"{file}: {count} to resolve, {len(plan.undecided)} undecided")
        if count:
            click.echo(f"next: exchange-recover resolve --apply {quoted(str(file))}")
        elif plan.undecided:
            click.echo(UNDECIDED)
    sys.exit(EXIT_IN_DOUBT if plan.decisions or plan.undecided else 0)


def _apply(file: Path, output: str) -> None:
    from recovery.resolution import CannotResolve, apply_plan, read_plan

    try:
        plan = read_plan(file)
        done = apply_plan(plan)
    except CannotResolve as refusal:
        raise Refused(str(refusal), refusal.exit_code) from refusal
    _print_applied(done, output)
    if plan.undecided and output != "json":
        click.echo(f"{len(done)} resolved, {len(plan.undecided)} still undecided")
        click.echo(UNDECIDED)
    sys.exit(EXIT_IN_DOUBT if plan.undecided else 0)


def _decide(
    what: tuple[str, ...],
    *,
    quantity: int | None,
    operator: str | None,
    reason: str,
    output: str,
) -> None:
    from recovery.resolution import CannotResolve, decide

    if len(what) < 2 or parse_id(what[0]) is None:
        raise Refused("give a trade id, such as 2-41, and the proposer's directory", EXIT_USAGE)
    paths = [Path(path) for path in what[1:]]
    name = _operator(operator)
    try:
        done = decide(what[0], paths, quantity=quantity, operator=name, reason=reason)
    except CannotResolve as refusal:
        raise Refused(str(refusal), refusal.exit_code) from refusal
    _print_applied([done], output)


def _operator(name: str | None) -> str:
    return name if name is not None else getpass.getuser()


def _print_applied(done: "Sequence[Applied]", output: str) -> None:
    if output == "json":
        print_json(done)
        return
    for row in done:
        click.echo(
            f"node {row.node} LSN {row.lsn}: {row.record} trade {row.trade_id},"
            f" {counted(row.quantity, 'lot')}"
        )


VERBS = (resolve_verb, forget_verb, recover_node_verb)
