"""The verbs that read: `inspect`, `verify`, `log`, `timeline`, `bisect`."""
# ruff: noqa: D301 - \b is click's marker for text that is not wrapped

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from exchange.store.frames import Frame
from recovery.data_verbs import archive_option, refusals
from recovery.problems import EXIT_DAMAGED, EXIT_FAILED, EXIT_USAGE, exit_code
from recovery.show import counted
from recovery.terminal import (
    Refused,
    output_option,
    path_argument,
    paths_argument,
    print_json,
    print_line,
    print_lines,
    reading,
)

if TYPE_CHECKING:
    from recovery.selection import Selection
    from recovery.statistics import Statistics

FOLLOW_SECONDS = 0.2


@click.command("inspect")
@paths_argument
@output_option
def inspect_verb(paths: tuple[Path, ...], output: str) -> None:
    """Show what is in data directories, and prove the outcome of trades in doubt.

    Give the directories of several nodes to join the halves of their trades.

    \b
    Examples:
      exchange-recover inspect node1
      exchange-recover inspect node1 node2 node3 -o json
    """
    from recovery.inspection import inspect
    from recovery.report import inspection_text, next_command, sentence

    with reading() as progress:
        result = inspect(paths, progress)
    code = exit_code(result.problems)
    if output == "json":
        answer = msgspec.to_builtins(result)
        answer |= {"exit_code": code, "sentence": sentence(result), "next": next_command(result)}
        print_json(answer)
    else:
        print_lines(inspection_text(result))
    sys.exit(code)


@click.command("verify")
@paths_argument
@archive_option
@output_option
def verify_verb(paths: tuple[Path, ...], archived: Path | None, output: str) -> None:
    """Check pages, digests, the log, the tables and the ledger, and audit every record.

    \b
    Examples:
      exchange-recover verify node1
      exchange-recover verify node1 node2 node3 -o json
      exchange-recover verify node1 --archive /backup/node1
    """
    from recovery.report import verification_text
    from recovery.verification import verify

    with reading() as progress:
        result = verify(paths, progress, archive=archived)
    code = exit_code(result.problems)
    if output == "json":
        print_json(msgspec.to_builtins(result) | {"exit_code": code})
    else:
        print_lines(verification_text(result))
    sys.exit(code)


@click.command("log")
@path_argument
@click.option("--from", "first_lsn", type=click.IntRange(1), default=1, help="First LSN.")
@click.option("--to", "last_lsn", type=click.IntRange(1), help="Last LSN.")
@click.option("--type", "kinds", multiple=True, metavar="KIND", help="Only this kind of record.")
@click.option("--account", metavar="ID", help="Only what concerns an account, such as 3-17.")
@click.option("--order", metavar="ID", help="Only what concerns an order.")
@click.option("--symbol", help="Only what concerns an instrument.")
@click.option("--stats", is_flag=True, help="Count instead of printing.")
@click.option("--follow", is_flag=True, help="Wait for more records, until interrupted.")
@archive_option
@click.option("-o", "--output", type=click.Choice(["table", "json", "jsonl"]), default="table")
def log_verb(
    path: Path,
    first_lsn: int,
    last_lsn: int | None,
    kinds: tuple[str, ...],
    account: str | None,
    order: str | None,
    symbol: str | None,
    stats: bool,
    follow: bool,
    archived: Path | None,
    output: str,
) -> None:
    """Print the records of a log.

    Prices, quantities and amounts are decimals with their units; JSON has ticks, lots and smallest
    units in `record`, and beside it the same as decimals in `amounts`.

    \b
    Examples:
      exchange-recover log node1 --type TradeAccepted --from 1000
      exchange-recover log node1 --account 1-17 -o jsonl
      exchange-recover log node1 --stats
    """
    from recovery.report import fields_text
    from recovery.selection import Selection
    from recovery.statistics import Counting

    try:
        selection = Selection(
            first_lsn=first_lsn,
            last_lsn=last_lsn,
            kinds=kinds,
            account=account,
            order=order,
            symbol=symbol,
        )
    except ValueError as error:
        raise Refused(str(error), EXIT_USAGE) from error
    counting = Counting()
    problems = Frames(path, archived)
    rows = []
    for frame in problems.read(follow=follow, selection=selection):
        if stats:
            counting.add(frame)
            continue
        for row in selection.rows(frame):
            if output == "json":
                rows.append(row)
            elif output == "jsonl":
                print_line(row)
            else:
                click.echo(f"{row.lsn:>9} {row.type:<17} {fields_text(row)}")
    if stats:
        _print_statistics(counting.finish(), output)
    elif output == "json":
        print_json(rows)
    if problems.broken:
        raise Refused(problems.broken, EXIT_DAMAGED)


@click.command("timeline")
@click.argument("trade", metavar="TRADE_ID")
@paths_argument
@archive_option
@output_option
def timeline_verb(trade: str, paths: tuple[Path, ...], archived: Path | None, output: str) -> None:
    """Tell one trade across the nodes, by time.

    \b
    Examples:
      exchange-recover timeline 2-41 node1 node2
      exchange-recover timeline 2-41 node1 node2 -o json
    """
    from recovery.report import problems_text, verdict_text, witness_text
    from recovery.timeline import tell

    try:
        result = tell(trade, paths, archived)
    except ValueError as error:
        raise Refused(str(error), EXIT_USAGE) from error
    if output == "json":
        print_json(result)
    else:
        for event in result.events:
            click.echo(witness_text(event))
        click.echo(f"trade {trade}: {result.outcome}{result.terms and ', '}{result.terms}")
        if result.verdict is not None:
            print_lines(verdict_text(result.verdict))
    code = exit_code(result.problems)
    if output != "json":
        print_lines(problems_text(result.problems))
    if not result.events:
        told = f"no record of trade {trade} in these directories; give those of both its nodes"
        raise Refused(told, code or EXIT_FAILED)
    sys.exit(code or (6 if result.outcome in ("in doubt", "frozen") else 0))


@click.command("bisect")
@path_argument
@click.option("--invariant", "name", required=True, help="What must hold; --help lists them.")
@archive_option
@output_option
def bisect_verb(path: Path, name: str, archived: Path | None, output: str) -> None:
    """Find the first record after which an invariant fails.

    Invariants: ledger, available, holds, orders, offers, apply, audit.

    \b
    Examples:
      exchange-recover bisect node1 --invariant ledger
      exchange-recover bisect node1 --invariant audit -o json
    """
    from recovery.bisection import NAMES, bisect

    if name not in NAMES:
        raise Refused(f"{name} is no invariant; there are {', '.join(NAMES)}", EXIT_USAGE)
    with refusals():
        result = bisect(path, name, archive=archived)
    if output == "json":
        print_json(result)
    elif result.holds:
        click.echo(f"{name} holds after every record ({counted(result.replays, 'replay')})")
    else:
        fields = " ".join(f"{field}={value}" for field, value in result.record.items())
        click.echo(f"{name} fails first at LSN {result.lsn}: {result.type} {fields}")
        click.echo(f"{result.detail} ({counted(result.replays, 'replay')})")
    sys.exit(0 if result.holds else EXIT_DAMAGED)


class Frames:
    """The intact frames of a log; `broken` says why they end early."""

    def __init__(self, path: Path, archive: Path | None = None) -> None:
        self.path = path
        self.archive = archive
        self.broken = ""

    def read(self, *, follow: bool, selection: "Selection | None" = None) -> Iterator[Frame]:
        """Yield frames in order; with `follow`, for ever.  A selection is told whose they are."""
        from recovery.chain import Chain
        from recovery.directory import DataDirectory, NoDirectory
        from recovery.subjects import Subjects

        try:
            directory = DataDirectory.open(self.path)
            if self.archive is not None:
                directory.add_archive(self.archive)
        except NoDirectory as nothing:
            found = nothing.problem
            raise Refused(found.sentence, exit_code([found])) from nothing
        with directory:
            if selection is not None:
                selection.subjects = Subjects(directory.node_id, directory.disk)
            chain = Chain(directory.base(), directory.place)
            while True:
                yield from chain.frames(directory.log)
                if chain.problems:
                    self.broken = f"{chain.problems[0].place}: {chain.problems[0].detail}"
                if not follow or self.broken:
                    return
                time.sleep(FOLLOW_SECONDS)
                directory.pages.refresh()


def _print_statistics(result: "Statistics", output: str) -> None:
    if output != "table":
        print_json(result)
        return
    for name, value in msgspec.to_builtins(result).items():
        if isinstance(value, dict):
            click.echo(f"{name}:")
            print_lines(f"  {key:<18} {count:>10}" for key, count in value.items())
        else:
            click.echo(f"{name:<18} {value}")


VERBS = (inspect_verb, verify_verb, log_verb, timeline_verb, bisect_verb)
