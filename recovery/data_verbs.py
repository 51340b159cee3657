"""The verbs that make files of data: `salvage`, `replay`, `dump`, `load`, `export`, `archive`."""
# ruff: noqa: D301 - \b is click's marker for text that is not wrapped

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from recovery.advice import OTHERS, quoted
from recovery.directory import DataDirectory, NoDirectory
from recovery.problems import EXIT_USAGE, exit_code
from recovery.segments import naming
from recovery.show import counted
from recovery.terminal import Refused, output_option, path_argument, print_json, reading

if TYPE_CHECKING:
    from recovery.salvage import Salvaged

to_option = click.option(
    "--to", required=True, type=click.Path(path_type=Path), help="A new directory, or an empty one."
)
archive_option = click.option(
    "--archive",
    "archived",
    type=click.Path(path_type=Path, exists=True),
    help="Where `archive` has put the beginning of the log.",
)
_AGE = re.compile(r"\A([0-9]{1,6})(d|h|m)\Z", re.ASCII)
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60}


@click.command("salvage")
@path_argument
@to_option
@output_option
def salvage_verb(path: Path, to: Path, output: str) -> None:
    """Bring back what is intact of a damaged directory, and list the rest.

    \b
    Examples:
      exchange-recover salvage node1 --to node1-salvaged
      exchange-recover salvage node1 --to node1-salvaged -o json
    """
    from recovery.salvage import salvage

    with refusals(), reading() as progress:
        result = salvage(path, to, progress=progress)
    if output == "json":
        print_json(result)
    else:
        _print_salvaged(result)
    sys.exit(0 if result.is_state_whole else 4)


@click.command("replay")
@path_argument
@to_option
@click.option("--until", "until", help="An LSN, or a time such as 2026-03-01T12:00:00Z.")
@archive_option
@output_option
def replay_verb(
    path: Path, to: Path, until: str | None, archived: Path | None, output: str
) -> None:
    """Build a directory as the node was after an LSN, or at a time.

    \b
    Examples:
      exchange-recover replay node1 --until 120000 --to node1-then
      exchange-recover replay node1 --until 2026-03-01T12:00:00Z --to node1-then
    """
    from recovery.replay import replay

    lsn, ts = (None, None) if until is None else parse_moment(until)
    with refusals(), reading() as progress:
        result = replay(path, to, until_lsn=lsn, until_ts=ts, archive=archived, progress=progress)
    if output == "json":
        print_json(result)
        return
    click.echo(f"{result.path}: node {result.node} through LSN {result.lsn}")
    click.echo(f"digest {result.digest}{', the last frame was cut' if result.is_cut else ''}")
    click.echo(f"left out: {counted(result.left_out, 'record')}")


@click.command("dump")
@path_argument
@click.option("--file", "file", type=click.File("wb"), default="-", help="Standard output if -.")
@archive_option
def dump_verb(path: Path, file: IO[bytes], archived: Path | None) -> None:
    """Write a log as lines of text, to carry it to another store format.

    \b
    Examples:
      exchange-recover dump node1 --file node1.dump
      exchange-recover dump node1 | gzip > node1.dump.gz
    """
    from recovery.dump import dump

    with refusals(), reading() as progress, naming(Path(getattr(file, "name", "-"))):
        end = dump(path, file, archive=archived, progress=progress)
    records = counted(end.records, "record")
    click.echo(f"{records} through LSN {end.lsn}, digest {end.digest}", err=True)


@click.command("load")
@click.argument("file", type=click.File("rb"))
@to_option
@output_option
def load_verb(file: IO[bytes], to: Path, output: str) -> None:
    """Build a directory from a dump, in this version's store format.

    \b
    Examples:
      exchange-recover load node1.dump --to node1-new
      zcat node1.dump.gz | exchange-recover load - --to node1-new
    """
    from recovery.dump import load

    with refusals(), reading() as progress:
        result = load(file, to, progress=progress)
    if output == "json":
        print_json(result)
        return
    same = "as in the dump" if result.is_same else "not that of the dump: the format has changed"
    click.echo(f"{result.path}: node {result.node}, {counted(result.records, 'record')}")
    click.echo(f"LSN {result.lsn}, digest {result.digest}, {same}")


@click.command("export")
@path_argument
@click.argument("what", type=click.Choice(["orders", "fills", "trades"]))
@click.option("--format", "form", type=click.Choice(["jsonl", "csv", "parquet"]), default="jsonl")
@click.option("--file", "file", type=click.Path(path_type=Path), help="Else standard output.")
def export_verb(path: Path, what: str, form: str, file: Path | None) -> None:
    """Write orders, fills or trades as JSON lines, CSV or Parquet.

    \b
    Examples:
      exchange-recover export node1 trades --format csv --file trades.csv
      exchange-recover export node1 fills --format parquet --file fills.parquet
    """
    from recovery.export import CannotExport, Exporter, write_csv, write_jsonl, write_parquet

    with refusals(), DataDirectory.open(path) as directory:
        rows = Exporter(directory).rows(what)
        try:
            if form == "parquet":
                if file is None:
                    raise Refused("Parquet needs --file", EXIT_USAGE)
                with _whole(file):
                    count = write_parquet(rows, file, what)
            elif form == "csv":
                with _text(file) as text:
                    count = write_csv(rows, text, what)
            else:
                with _binary(file) as binary:
                    count = write_jsonl(rows, binary)
        except CannotExport as refusal:
            raise Refused(str(refusal), refusal.exit_code) from refusal
    click.echo(counted(count, what.removesuffix("s")), err=True)


@click.command("archive")
@path_argument
@click.option("--before", required=True, help="An LSN, an age such as 90d, or a time.")
@click.option("--to", required=True, type=click.Path(path_type=Path), help="Where segments go.")
@output_option
def archive_verb(path: Path, before: str, to: Path, output: str) -> None:
    """Move the beginning of a log into compressed segments, never past the checkpoint.

    \b
    Examples:
      exchange-recover archive node1 --before 90d --to /backup/node1
      exchange-recover archive node1 --before 5000000 --to /backup/node1
    """
    from recovery.archive import archive

    moment: tuple[int | None, int | None]
    age = _AGE.match(before)
    if age is not None:
        seconds = int(age[1]) * _SECONDS[age[2]]
        moment = (None, time.time_ns() // 1_000 - seconds * 1_000_000)
    else:
        moment = parse_moment(before)
    with refusals():
        result = archive(path, to, before=moment[0], before_ts=moment[1])
    if output == "json":
        print_json(result)
        return
    for segment in result.segments:
        click.echo(segment)
    moved = counted(result.frames, "frame")
    click.echo(f"{moved} moved; the log begins behind LSN {result.base_lsn}")


def parse_moment(text: str) -> tuple[int | None, int | None]:
    """Read an LSN, or a time as microseconds; Refused if it is neither."""
    if text.isascii() and text.isdecimal() and len(text) <= 18:
        return int(text), None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(
            f"{text!r} is no LSN and no time, such as 2026-03-01T12:00:00Z", EXIT_USAGE
        ) from None
    if moment.tzinfo is None:
        raise Refused(f"{text!r} needs a time zone, such as Z", EXIT_USAGE)
    return None, int(moment.timestamp() * 1_000_000)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the tools refuse into one line and an exit code."""
    from recovery.replay import CannotReplay

    try:
        yield
    except NoDirectory as nothing:
        found = nothing.problem
        raise Refused(found.sentence, exit_code([found])) from nothing
    except CannotReplay as refusal:
        raise Refused(str(refusal), refusal.exit_code) from refusal


def _print_salvaged(result: "Salvaged") -> None:
    for line in result.damage:
        click.echo(f"damage  {line}")
    for hole in result.lost:
        click.echo(f"lost    LSN {hole.first} to {hole.last}")
    for hole in result.loose:
        click.echo(f"loose   LSN {hole.first} to {hole.last}: readable, nothing vouches for it")
    for segment in result.segments:
        click.echo(f"kept    {segment}")
    if result.path:
        log = f"LSN {result.first_lsn} to {result.last_lsn}"
        frames = counted(result.frames, "frame")
        click.echo(f"{result.path}: node {result.node}, {log}, {frames}")
    if result.is_state_whole:
        click.echo("the newest state is whole")
        click.echo(f"next: exchange-recover verify {quoted(result.path)} {OTHERS}")
        return
    click.echo("the newest state is not whole: it has to come from the other nodes")
    backup = f"--backup {quoted(result.path)} " if result.path and result.last_lsn else ""
    start = f"next: exchange-recover recover-node --node {result.node} {backup}"
    click.echo(f"{start}--to NEWER_DIR {OTHERS}")


@contextmanager
def _text(file: Path | None) -> Iterator[IO[str]]:
    if file is None:
        yield sys.stdout
        return
    with _whole(file), file.open("w", encoding="utf-8", newline="") as opened:
        yield opened


@contextmanager
def _binary(file: Path | None) -> Iterator[IO[bytes]]:
    if file is None:
        yield sys.stdout.buffer
        return
    with _whole(file), file.open("wb") as opened:
        yield opened


@contextmanager
def _whole(file: Path) -> Iterator[None]:
    """Leave no file that ends in the middle: nobody could tell it from a whole one."""
    try:
        with naming(file):
            yield
    except BaseException:
        if file.is_file():
            file.unlink()
        raise


VERBS = (salvage_verb, replay_verb, dump_verb, load_verb, export_verb, archive_verb)
