"""Verify: every byte that means something, and what it must add up to; what `verify` prints.

pages     lmdb.verify walks the data file without LMDB, before anything else is believed
log       every frame's digest, the chain, LSN continuity (W4)
tables    every entry's digest, count and sum of each table (W5)
ledger    every asset sums to zero (S13)
halves    what nodes have seen of each other's logs (C3); trades in doubt are judged
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from exchange.store.errors import DamagedTable, StoreError
from exchange.store.frames import DIGEST_SIZE
from exchange.store.meta import Checkpoint, TableSum
from exchange.store.pages import page_problems
from exchange.store.tables import CODECS, Codec
from recovery.directory import DataDirectory, data_file
from recovery.inspection import Node, Progress, check_seen, doubt_problem, open_all
from recovery.pages import BadFile, Walk
from recovery.problems import Problem, problem
from recovery.proof import Verdict, judge_all

TRIES_MAX = 5  # walks over the tables of a running node
ROWS_MAX = 100  # rows about one table


class Verification(msgspec.Struct):
    """All that was found, and how much was looked at."""

    directories: list[Node] = []
    in_doubt: list[Verdict] = []
    problems: list[Problem] = []
    entries: int = 0  # of checkpoint tables
    records: int = 0


def verify(paths: Sequence[Path], progress: Progress = lambda _: None) -> Verification:
    """Verify directories, each in itself and against the others."""
    result = Verification()
    for path in paths:
        result.problems += check_pages(path)
    with ExitStack() as opened:
        looks = open_all(paths, opened, result.problems)
        for look in looks:
            look.read_log(progress)
            problems, entries = check_tables(look.directory)
            look.problems += problems
            result.entries += entries
            if not problems:
                look.load_state()
        first = {look.directory.node_id: look.evidence.last_lsn for look in looks}
        for look in looks:
            if look.is_running:
                look.directory.pages.refresh()
                look.read_log(progress)
            look.finish()
            result.directories.append(look.node)
            result.problems += look.problems
            result.records += look.node.records
        result.in_doubt = judge_all({look.directory.node_id: look.evidence for look in looks})
        result.problems += check_seen(looks, first)
        result.problems += [doubt_problem(verdict) for verdict in result.in_doubt]
    return result


def check_pages(path: Path) -> list[Problem]:
    """Check the page structure of a data file; of a running node as far as it holds still."""
    file = data_file(path)
    try:
        found = page_problems(file)
    except OSError:
        return []  # opening it will say what is wrong
    if not found:
        return []
    for _ in range(TRIES_MAX):
        again = page_problems(file)
        if not again:
            return []
        if again == found:
            break
        found = again
    return [problem("page_damaged", f"{path} {file.name}", detail) for detail in found[:ROWS_MAX]]


def check_tables(directory: DataDirectory) -> tuple[list[Problem], int]:
    """Check every entry, count and sum of the checkpoint tables; return the entries read too."""
    problems: list[Problem] = []
    for _ in range(TRIES_MAX):
        try:
            checkpoint = directory.checkpoint()
            problems, entries = _check_at(directory, checkpoint)
            if directory.checkpoint().lsn == checkpoint.lsn:
                return problems, entries
        except DamagedTable as error:
            return [problem("table_damaged", f"{directory.place} table meta", error.what)], 0
        except (StoreError, BadFile) as error:
            return [problem("page_damaged", directory.place, str(error))], 0
    detail = "checkpoints were made faster than the tables were read"
    return [problem("moving", directory.place, detail)], 0


def _check_at(directory: DataDirectory, checkpoint: Checkpoint) -> tuple[list[Problem], int]:
    problems: list[Problem] = []
    entries = 0
    for name, codec in CODECS.items():
        found, rows = _check_table(directory, name, codec)
        problems += rows
        entries += found.count
        expected = checkpoint.tables.get(name, TableSum())
        if found != expected and not rows:
            if found.count != expected.count:
                detail = f"{found.count} entries, the checkpoint counted {expected.count}"
            else:
                detail = "an entry is old or foreign: the sum of digests differs"
            problems.append(problem("table_count", f"{directory.place} table {name}", detail))
    return problems, entries


def _check_table(
    directory: DataDirectory, name: str, codec: "Codec[object, object]"
) -> tuple[TableSum, list[Problem]]:
    walk = Walk()
    problems: list[Problem] = []
    count = digests = 0
    for entry in directory.pages.scan(name, walk):
        count += 1
        digests += int.from_bytes(entry.value[-DIGEST_SIZE:])
        try:
            codec.open_key(entry.key)
            codec.open(entry.key, entry.value)
        except DamagedTable as error:
            place = f"{directory.place} table {name} key {error.key}"
            problems.append(problem("table_damaged", place, error.what))
    for page, detail in walk.damage:
        problems.append(problem("page_damaged", f"{directory.place} page {page}", detail))
    return TableSum().plus(count=count, digests=digests), problems[:ROWS_MAX]
