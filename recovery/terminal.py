"""What all verbs share: arguments, output, progress, errors as one line and an exit code."""

import errno
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


EXIT_INTERRUPTED = 130
_REMEDIES = {
    errno.ENOENT: "give a path whose directory exists",
    errno.ENOTDIR: "give a path whose directory exists",
    errno.EISDIR: "give the name of a file",
    errno.EACCES: "run it as the owner, or check the permissions",
    errno.EPERM: "run it as the owner, or check the permissions",
    errno.EROFS: "it is mounted read-only: give another place to write to",
    errno.ENOSPC: "make room there, or give a place on another disk",
    errno.EDQUOT: "make room there, or give a place on another disk",
    errno.EIO: "the disk cannot be read or written: copy what it still gives to another, use that",
    errno.EMFILE: "raise `ulimit -n`",
}


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
        except KeyboardInterrupt:
            raise Refused("interrupted", EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Refused(os_sentence(error)) from error
        except RecursionError as error:
            raise Refused("something in the file is nested without end; use salvage", 4) from error


def os_sentence(error: OSError) -> str:
    """Say what the operating system has refused, where, and what to do about it."""
    place = f"{error.filename}: " if error.filename is not None else ""
    remedy = _REMEDIES.get(error.errno or 0, "check the path and the disk")
    return f"{place}{error.strerror or error}; {remedy}"


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
