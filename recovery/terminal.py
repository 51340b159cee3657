"""What all verbs share: arguments, output, progress, errors as one line and an exit code."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from exchange.store.errors import StoreError

paths_argument = click.argument(
    "paths", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
path_argument = click.argument("path", metavar="DIR", type=click.Path(path_type=Path))
output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    help="What to print: text for people, or one JSON value.",
)


class Refused(click.ClickException):
    """Nothing was done: one line that says why, and an exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click reads it from the instance
        """Return what the process exits with."""
        return self.code


class Verbs(click.Group):
    """Turns the errors of the store into one line and their exit code."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except StoreError as error:
            raise Refused(str(error), error.exit_code) from error


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


def print_line(value: object) -> None:
    """Print one JSON value on one line."""
    click.echo(msgspec.json.encode(value))


def print_lines(lines: Iterable[str]) -> None:
    """Print text line by line."""
    for line in lines:
        click.echo(line)
