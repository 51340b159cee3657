"""Verify: every byte that means something, and what it must add up to; what `verify` prints.

    pages     lmdb.verify walks the data file without LMDB
    log       every frame's digest, the chain, LSN continuity (W4)
    tables    every row's digest, count and sum of each table (W5)
    ledger    every asset sums to zero (S13)
    audit     a second opinion that shares no code with the engine (`recovery.audit`)
    halves    what nodes have seen of each other's logs (C3); trades in doubt are judged

Large files are audited, and their pages walked, in processes of their own beside the rest.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from exchange.store.errors import DamagedTable, StoreError
from exchange.store.meta import TableSum
from exchange.store.pages import page_problems
from exchange.store.tables import CODECS
from recovery.audit.findings import Finding
from recovery.audit.join import join
from recovery.audit.reader import (
    LogAudit,
    TableAudit,
    add_up_tables,
    audit_log,
    compare,
    uncollected,
)
from recovery.audit.wire import BadBytes
from recovery.directory import DataDirectory, data_file
from recovery.inspection import Inspection, Look, Progress, conclude, open_all
from recovery.pages import BadFile
from recovery.problems import Problem, printable, problem

TRIES_MAX = 5  # walks over the pages of a running node
YIELDING = 5  # of niceness
ROWS_MAX = 100  # rows about one thing
SMALL = 1 << 24  # bytes: a smaller file is looked at sooner than a process starts

T = TypeVar("T")


class Verification(Inspection):
    """All that was found, and how much was looked at."""

    rows: int = 0  # of checkpoint tables
    records: int = 0
    audited: int = 0  # records


def verify(
    paths: Sequence[Path],
    progress: Progress = lambda _: None,
    *,
    archive: Path | None = None,
) -> Verification:
    """Verify directories, each in itself and against the others, from their archived beginning."""
    result = Verification([str(path) for path in paths])
    with uncollected(), ExitStack() as opened:
        looks = open_all(paths, opened, result.problems, archive)
        start = opened.enter_context(_processes())
        audits = [
            start(partial(_audit_file, file, archive, len(looks) > 1), _size(file))
            for file in (data_file(look.directory.path) for look in looks)
        ]
        pages = [start(partial(_walk_pages, path), _size(data_file(path))) for path in paths]
        tables = [_verify_one(look, result, progress) for look in looks]
        for wait in pages:
            result.problems += wait()
        conclude(looks, result, progress)
        result.records = sum(look.node.records for look in looks)
        _audit(looks, [wait_audit() for wait_audit in audits], tables, result, archive)
    return result


def check_pages(path: Path) -> list[Problem]:
    """Check the page structure of a data file; of a running node as far as it holds still."""
    file = data_file(path)
    try:
        found = page_problems(file)
    except OSError:
        return []  # opening it will say what is wrong
    for _ in range(TRIES_MAX):
        if not found:
            return []
        again = page_problems(file)
        if again == found:
            break
        found = again
    return [problem("page_damaged", f"{path} {file.name}", detail) for detail in found[:ROWS_MAX]]


def _walk_pages(path: Path) -> list[Problem]:
    """Check pages behind what takes longer: with it on two cores the end would wait for that."""
    if multiprocessing.parent_process() is not None:
        os.nice(YIELDING)
    return check_pages(path)


def check_tables(directory: DataDirectory) -> tuple[list[Problem], TableAudit | None]:
    """Check every row, count and sum of the checkpoint tables (W5)."""
    try:
        found = add_up_tables(directory.pages)
        if not found.is_still:
            detail = "checkpoints were made faster than the tables were read"
            return [problem("moving", directory.place, detail)], None
        sums = directory.checkpoint().tables
        unknown = sorted(set(directory.pages.tables()) - {"meta", "log", *CODECS})
    except DamagedTable as error:
        return [problem("table_damaged", f"{directory.place} table meta", error.what)], None
    except (StoreError, BadFile, BadBytes) as error:
        return [problem("page_damaged", directory.place, str(error))], None
    bad = {table for table, _ in found.bad}
    problems = [
        problem("table_damaged", f"{directory.place} table {table}", detail)
        for table, detail in found.bad[:ROWS_MAX]
    ]
    problems += [
        problem("table_unknown", f"{directory.place} table {printable(table)}", "nobody knows it")
        for table in unknown
    ]
    for table, count in found.digest_counts.items():
        expected = sums.get(table, TableSum())
        actual = TableSum().plus(count=count, digests=found.digest_sums[table])
        if table not in bad and actual != expected:
            if count != expected.count:
                detail = f"{count} rows, the checkpoint counted {expected.count}"
            else:
                detail = "a row is old or foreign: the sum of digests differs"
            problems.append(problem("table_count", f"{directory.place} table {table}", detail))
    return problems, found


def _verify_one(look: Look, result: Verification, progress: Progress) -> TableAudit | None:
    look.read_log(progress)
    problems, tables = check_tables(look.directory)
    look.problems += problems
    result.rows += sum(tables.digest_counts.values()) if tables else 0
    if not problems:
        look.load_state()
    return None if problems else tables


def _audit(
    looks: Sequence[Look],
    audits: Sequence[LogAudit | str],
    tables: Sequence[TableAudit | None],
    result: Verification,
    archive: Path | None,
) -> None:
    """Add what the auditor found."""
    places = {look.directory.node_id: look.directory.place for look in looks}
    findings: list[Finding] = []
    logs = []
    for look, log, held in zip(looks, audits, tables, strict=True):
        if isinstance(log, str):
            result.problems.append(problem("unread", look.directory.place, f"no audit: {log}"))
            continue
        if log.base_lsn:
            detail = f"no audit: the log through LSN {log.base_lsn} is archived, give --archive"
            result.problems.append(problem("unread", look.directory.place, detail))
        if look.directory.is_accepted:  # until then the others know the log of the lost node
            logs.append(log)
        findings += log.findings
        result.audited += log.records
        if held is not None:
            findings += compare(look.directory.pages, log, held, archive)
    findings += join(logs, {look.directory.node_id: look.is_running for look in looks})
    for found in findings:
        place = places[found.node]  # type: ignore[index]  # a NodeId
        at = f"{place} LSN {found.lsn}" if found.lsn else place
        result.problems.append(problem(found.code, at, found.detail))


class _Start(Protocol):
    """Starts what there is to do with a file of some size; what it returns waits for it."""

    def __call__(self, work: Callable[[], T], size: int) -> Callable[[], T]: ...


@contextmanager
def _processes() -> Iterator[_Start]:
    """Look at large files in processes of their own, at small ones when that is waited for."""
    with ExitStack() as stack:
        pool: ProcessPoolExecutor | None = None

        def start(work: Callable[[], T], size: int) -> Callable[[], T]:
            nonlocal pool
            if size < SMALL:
                return work
            if pool is None:
                context = multiprocessing.get_context("fork")
                workers = os.cpu_count() or 1
                pool = ProcessPoolExecutor(workers, context, initializer=_die_quietly)
                stack.enter_context(pool)
            return pool.submit(work).result

        try:
            yield start
        except BaseException:
            for child in multiprocessing.active_children():
                child.terminate()  # nobody waits for it any more
            raise


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # opening it says what is wrong


def _die_quietly() -> None:
    """Let an interrupt end a process without a word: the one that asked it speaks."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _audit_file(file: Path, archive: Path | None, has_halves: bool) -> LogAudit | str:
    try:
        return audit_log(file, archive=archive, has_halves=has_halves)
    except (BadFile, BadBytes, OSError) as error:
        return str(error)
