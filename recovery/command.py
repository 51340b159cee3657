"""`exchange-recover`: the tool for the worst night of the year.

Reading verbs never write, take no lock, and work beside a running node and on hostile files.
Exit codes: 0 clean, 1 failed, 2 usage, 4 damaged, 5 directory in use, 6 in doubt.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from exchange import __version__
from exchange.store.frames import FORMAT_VERSION
from recovery.problems import exit_code

EXIT_INTERRUPTED = 130

_paths = click.argument(
    "paths", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
_output = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    help="What to print: text for people, or one JSON value.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message=f"%(prog)s %(version)s (store format {FORMAT_VERSION})")
def cli() -> None:
    """Look into the data directories of an exchange, and repair them.

    \b
    Examples:
      exchange-recover inspect /var/lib/exchange/node1
      exchange-recover verify node1 node2 node3 -o json
    """  # noqa: D301 - click's marker for text that is not wrapped


@cli.command("inspect")
@_paths
@_output
def inspect_verb(paths: tuple[Path, ...], output: str) -> None:
    """Show what is in data directories, and prove the outcome of trades in doubt.

    Give the directories of several nodes to join the halves of their trades.

    \b
    Examples:
      exchange-recover inspect node1
      exchange-recover inspect node1 node2 node3 -o json
    """  # noqa: D301
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


@cli.command("verify")
@_paths
@_output
def verify_verb(paths: tuple[Path, ...], output: str) -> None:
    """Check pages, digests, the log's continuity, the tables and the ledger.

    \b
    Examples:
      exchange-recover verify node1
      exchange-recover verify node1 node2 node3 -o json
    """  # noqa: D301
    from recovery.report import verification_text
    from recovery.verification import verify

    with reading() as progress:
        result = verify(paths, progress)
    code = exit_code(result.problems)
    if output == "json":
        print_json(msgspec.to_builtins(result) | {"exit_code": code})
    else:
        print_lines(verification_text(result))
    sys.exit(code)


@contextmanager
def reading() -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far the reading is."""
    if not sys.stderr.isatty():
        yield lambda _records: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), "records", MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("records", total=None)
        yield lambda records: progress.advance(task, records)


def print_json(value: object) -> None:
    """Print one JSON value, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_lines(lines: Iterable[str]) -> None:
    """Print text line by line."""
    for line in lines:
        click.echo(line)


def main() -> None:
    """Run the command; what goes wrong ends in an exit code, never in a traceback."""
    try:
        cli(prog_name="exchange-recover")
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
