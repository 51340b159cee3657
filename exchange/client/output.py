"""Data on stdout in four forms, talk on stderr.

    table   for people; a heading and aligned columns
    json    one value: an object, or a list of them
    jsonl   one object a line
    csv     a header and rows; what is nested is written as JSON

Programs may rely on the names of the fields; tables may change.
"""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

FORMS = ("table", "json", "jsonl", "csv")
Row = Mapping[str, Any]


def talk(message: str) -> None:
    """Say something to whoever watches; never data."""
    click.echo(message, err=True)


def counted(number: int, thing: str) -> str:
    """Return "1 order", "2 orders"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def show(rows: Sequence[Row], form: str, *, columns: Sequence[str], title: str = "") -> None:
    """Print rows; tables and CSV have these columns only, JSON has all there is."""
    match form:
        case "json":
            click.echo(_json(list(rows)))
        case "jsonl":
            for row in rows:
                click.echo(msgspec.json.encode(row).decode())
        case "csv":
            click.echo(csv_text(rows, columns), nl=False)
        case _:
            show_table(rows, columns, title=title)


def show_one(row: Row, form: str, *, columns: Sequence[str]) -> None:
    """Print a single thing: JSON has an object instead of a list."""
    if form == "json":
        click.echo(_json(dict(row)))
    else:
        show([row], form, columns=columns)


def show_table(rows: Sequence[Row], columns: Sequence[str], *, title: str = "") -> None:
    """Print an aligned table."""
    from rich.console import Console  # Rich costs 0.1 s of start-up; only tables need it.

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(table(rows, columns, title=title))


def table(rows: Sequence[Row], columns: Sequence[str], *, title: str = "") -> Any:  # noqa: ANN401
    """Return a Rich table; numbers stand to the right."""
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title or None, box=None, pad_edge=False, header_style="bold")
    for column in columns:
        is_number = rows and all(_is_number(row.get(column)) for row in rows)
        made.add_column(column.replace("_", " "), justify="right" if is_number else "left")
    for row in rows:
        made.add_row(*(Text(_cell(row.get(column))) for column in columns))
    return made


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value.replace(".", "", 1).lstrip("-").isdigit() or not value
    return isinstance(value, int | float | None) and not isinstance(value, bool)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def csv_text(rows: Sequence[Row], columns: Sequence[str], *, has_header: bool = True) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if has_header:
        writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
