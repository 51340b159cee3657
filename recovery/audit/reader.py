"""One data file for the auditor: the log folded, the tables added up.

The two are separate, because they can run side by side: `audit_log` returns what the tables
must hold, `add_up_tables` what they do hold, and `compare` reports the difference.
"""

import gc
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from recovery.audit.findings import Finding
from recovery.audit.halves import Halves
from recovery.audit.node import NodeAudit
from recovery.audit.tables import TABLES, reader_of
from recovery.audit.wire import (
    DIGEST,
    BadBytes,
    Mark,
    follows,
    genesis,
    open_row,
    read_frame,
    read_mark,
    read_whose,
)
from recovery.pages import PageFile, Walk
from recovery.segments import LogSource, find_segments

TRIES_MAX = 5  # readings of the tables of a running node
ROWS_MAX = 20  # rows of one table that are named

Progress = Callable[[int], None]


class LogAudit(NamedTuple):
    """What a log says, and what is wrong with it."""

    node: int
    cluster: str
    records: int
    base_lsn: int  # above 0 the log before was archived: nothing was folded
    last_lsn: int
    is_broken: bool
    findings: list[Finding]
    halves: Halves
    checkpoint_lsn: int
    is_standing: bool  # a frame ends at the checkpoint
    counts: dict[str, int]  # of the rows that the tables must hold at the checkpoint
    sums: dict[str, int]
    lsns: "array[int]"  # where frames end
    digests: bytes

    def digest_at(self, lsn: int) -> bytes | None:
        """Return the digest of the log through `lsn`; None if no frame ends there."""
        index = bisect_left(self.lsns, lsn)
        if index == len(self.lsns) or self.lsns[index] != lsn:
            return None
        return self.digests[index * DIGEST : (index + 1) * DIGEST]


class TableAudit(NamedTuple):
    """What the tables hold."""

    checkpoint_lsn: int
    is_still: bool  # no checkpoint was made while they were read
    counts: dict[str, int]
    sums: dict[str, int]
    bad: list[tuple[str, str]]  # table, what is wrong with a row
    digest_counts: dict[str, int]  # of rows, and of their digests: what the store keeps
    digest_sums: dict[str, int]


def audit_log(
    file: Path,
    *,
    archive: Path | None = None,
    has_halves: bool = True,
    progress: Progress = lambda _: None,
) -> LogAudit:
    """Fold a log from its first record, which may be in an archive."""
    with uncollected(), PageFile(file) as pages:
        return _audit(pages, archive, has_halves, progress)


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no cycles: there are millions of tuples, and none among them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def add_up_tables(pages: PageFile) -> TableAudit:
    """Add up the checkpoint tables; several times if a running node changes them meanwhile."""
    for _ in range(TRIES_MAX):
        pages.refresh()
        found = _add_up(pages, checkpoint_lsn(pages))
        if found.is_still:
            break
    return found


def checkpoint_lsn(pages: PageFile) -> int:
    """Return the LSN at which the tables stand; 0 if there are none."""
    mark = read_mark(pages.get("meta", b"checkpoint"), b"checkpoint")
    return mark.lsn if mark else 0


def compare(
    pages: PageFile, log: LogAudit, tables: TableAudit, archive: Path | None = None
) -> list[Finding]:
    """Hold the tables against the fold of the log."""

    def finding(detail: str) -> Finding:
        return Finding("audit_table", log.node, tables.checkpoint_lsn, detail)

    found = [finding(f"table {table}: {detail}") for table, detail in tables.bad[:ROWS_MAX]]
    if log.base_lsn or log.is_broken or tables.checkpoint_lsn != log.checkpoint_lsn:
        return found
    if not log.is_standing:
        return [*found, finding("no frame ends at the checkpoint")]
    for table in TABLES:
        theirs = (tables.counts[table], tables.sums[table])
        if theirs != (log.counts[table], log.sums[table]):
            named = differing(pages, table, log.checkpoint_lsn, archive)[:ROWS_MAX]
            named = named or ["a row stands there twice"]
            found += [finding(f"table {table}: {detail}") for detail in named]
    return found


def differing(pages: PageFile, table: str, lsn: int, archive: Path | None = None) -> list[str]:
    """Fold the log again and name the rows of a table that are not its fold at `lsn`."""
    whose = read_whose(pages.get("meta", b"identity"))
    node = NodeAudit(whose.node, previous=genesis(whose), checkpoint_lsn=lsn)
    node.rows.keep(table)
    source = LogSource(pages, find_segments(archive, whose.node) if archive else ())
    for entry in source.entries(Walk()):
        if node.rows.is_standing:
            break
        node.add(read_frame(entry.key, entry.value))
    folded, found, read = node.rows.kept[table], list[str](), reader_of(table)
    for entry in pages.scan(table, Walk()):
        for key, content in read(entry.key, open_row(entry.key, entry.value)):
            expected = folded.pop(key, None)
            if expected is None:
                found.append(f"row {key} follows from no record")
            elif expected != content:
                found.append(f"row {key} is {content}, the log makes it {expected}")
    return found + [f"row {key} is missing" for key in folded]


def _audit(pages: PageFile, archive: Path | None, has_halves: bool, progress: Progress) -> LogAudit:
    whose = read_whose(pages.get("meta", b"identity"))
    base = read_mark(pages.get("meta", b"base"), b"base") or Mark(0, genesis(whose))
    source = LogSource(pages, find_segments(archive, whose.node) if archive else ())
    if source.segments and not source.segments[0].header.base_lsn:
        base = Mark(0, genesis(whose))
    node = NodeAudit(whose.node, previous=base.digest, checkpoint_lsn=checkpoint_lsn(pages))
    lsns, digests = array("Q", [base.lsn]), bytearray(base.digest)
    is_broken = False
    for entry in source.entries(Walk()):
        if base.lsn:
            break
        frame = None
        try:
            if follows(entry.value, node.digest):
                frame = read_frame(entry.key, entry.value)
            else:
                detail = "the digest does not follow the frame before"
                node.findings.add("audit_chain", int.from_bytes(entry.key[:8]), detail)
        except BadBytes as bad:
            node.findings.add("audit_malformed", int.from_bytes(entry.key[:8]), str(bad))
        if frame is None:
            is_broken = True
            break
        node.add(frame)
        lsns.append(node.trades.lsn)
        digests += frame.digest
        progress(len(frame.records))
    rows = node.rows
    return LogAudit(
        whose.node,
        whose.cluster,
        node.records,
        base.lsn,
        node.trades.lsn,
        is_broken,
        list(node.findings),
        node.trades.halves() if has_halves else Halves.none(whose.node),
        rows.checkpoint_lsn,
        rows.is_standing,
        rows.counts,
        rows.sums,
        lsns,
        bytes(digests),
    )


def _add_up(pages: PageFile, lsn: int) -> TableAudit:
    counts, sums = dict.fromkeys(TABLES, 0), dict.fromkeys(TABLES, 0)
    digest_counts, digest_sums = dict.fromkeys(TABLES, 0), dict.fromkeys(TABLES, 0)
    bad: list[tuple[str, str]] = []
    for table in TABLES:
        count = total = entries = digests = 0
        walk, read = Walk(), reader_of(table)
        for entry in pages.scan(table, walk):
            key, value = entry.key, entry.value
            entries += 1
            digests += int.from_bytes(value[-DIGEST:])
            try:
                hashes = list(map(hash, read(key, open_row(key, value))))
            except (BadBytes, ValueError, TypeError, IndexError) as error:
                bad.append((table, f"key {key.hex()}: {error}"))
                continue
            total += sum(hashes)
            count += len(hashes)
        bad += [(table, f"page {page}: {detail}") for page, detail in walk.damage]
        counts[table], sums[table] = count, total
        digest_counts[table], digest_sums[table] = entries, digests
    is_still = checkpoint_lsn(pages) == lsn
    return TableAudit(lsn, is_still, counts, sums, bad, digest_counts, digest_sums)
