"""All that can be checked about a store, as problems instead of a refusal.

    pages     the structure of the data file (`pages.page_problems`, before LMDB opens it)
    meta      whose store it is; no row that nobody knows
    log       every frame's digest and its place in the chain; no LSN missing (W4)
    tables    every row's digest; count and sum of each table (W5)
    fold      the tables are what the log, applied from LSN 1, makes of them (E2, W5)

A check goes on behind what it finds.  `exchange-recover` and the tests call these; a node's
start makes the cheaper half of them and refuses at the first problem.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from exchange.domain.units import Lsn
from exchange.engine.messages import Proof
from exchange.engine.state import State
from exchange.store.disk import Disk
from exchange.store.errors import DamagedLog, DamagedTable, StoreError
from exchange.store.frames import DIGEST_SIZE, Identity, check_frame, log_key, read_frame
from exchange.store.meta import (
    BASE,
    CHECKPOINT,
    IDENTITY,
    TableSum,
    check_identity,
    read_base,
    read_checkpoint,
    read_identity,
)
from exchange.store.pages import page_problems
from exchange.store.redo import redo_frame
from exchange.store.tables import CODECS, Codec, Kind, check_entry, digest_sum, key_text

SALVAGE = "do not start the node; salvage into a new directory, then compare with its peers"
REBUILD = "do not start the node; rebuild the tables from the log with `exchange-recover replay`"
META_KEYS = (IDENTITY, CHECKPOINT, BASE)
REPORT = "keep the directory as it is and report it: this is a fault of the exchange"


class Problem(msgspec.Struct, frozen=True):
    """What is wrong, where, and what to do about it."""

    severity: str  # damage, note
    code: str
    place: str
    detail: str
    remedy: str


def verify_file(file: Path) -> Iterator[Problem]:
    """Check the pages of a data file at rest, without opening it through LMDB."""
    for detail in page_problems(file):
        yield Problem("damage", "page_damaged", str(file), detail, SALVAGE)


def verify(disk: Disk, identity: Identity) -> Iterator[Problem]:
    """Check log and tables, and if both are in order, that they tell the same."""
    is_clean = True
    for check in (meta_problems, log_problems, table_problems):
        for found in check(disk, identity):
            is_clean = False
            yield found
    if is_clean:
        yield from fold_problems(disk, identity)


def meta_problems(disk: Disk, identity: Identity) -> Iterator[Problem]:
    """Check that every row of `meta` is one we know, and that the store is whose it should be."""
    keys = []
    for key, row in disk.scan("meta"):
        keys.append(key)
        if key not in META_KEYS:
            place = f"table meta, key {key_text('meta', key)}"
            yield Problem("damage", "table_damaged", place, "there is no such row", REBUILD)
            continue
        try:
            check_entry("meta", key, row)
        except DamagedTable as error:
            yield _of_table(error)
    if IDENTITY not in keys and next(disk.scan("log"), None) is not None:
        yield Problem("damage", "table_damaged", "table meta", "the identity is missing", REBUILD)
        return
    try:
        found = read_identity(disk)
        if found is not None:
            check_identity(found, identity)
    except DamagedTable:
        pass  # told above
    except StoreError as error:
        yield Problem("damage", "other_identity", "table meta", error.what, error.remedy)


def log_problems(disk: Disk, identity: Identity) -> Iterator[Problem]:
    """Check every frame: digest, chain, LSN continuity; and that the checkpoint is behind it."""
    try:
        base, checkpoint = read_base(disk, identity), read_checkpoint(disk, identity)
    except DamagedTable:
        return  # told by `meta_problems`
    proof, has_checkpoint = base, checkpoint.lsn == base.lsn
    for key, value in disk.scan("log"):
        try:
            check_frame(key, value, proof.digest)
        except DamagedLog as error:
            yield _broken("chain_broken", error)
        try:
            frame = read_frame(key, value)
        except StoreError as error:
            yield _broken("frame_damaged", error)
            continue
        if frame.first_lsn != proof.lsn + 1:
            detail = f"LSN {proof.lsn + 1} to {frame.first_lsn - 1} are missing"
            yield Problem("damage", "lsn_gap", f"LSN {proof.lsn + 1}", detail, SALVAGE)
        proof = Proof(frame.last_lsn, value[-DIGEST_SIZE:])
        has_checkpoint |= proof == Proof(checkpoint.lsn, checkpoint.digest)
    if not has_checkpoint:
        detail = f"no frame ends where the checkpoint was made, at LSN {checkpoint.lsn}"
        yield Problem("damage", "log_behind_checkpoint", f"LSN {proof.lsn}", detail, SALVAGE)


def table_problems(disk: Disk, identity: Identity) -> Iterator[Problem]:
    """Check every row of every table, and the tables against their counts and sums."""
    try:
        sums = read_checkpoint(disk, identity).tables
    except DamagedTable:
        return  # told by `meta_problems`
    for name, codec in CODECS.items():
        rows: list[bytes] = []
        for key, row in disk.scan(name):
            rows.append(row[-DIGEST_SIZE:].rjust(DIGEST_SIZE))
            try:
                codec.open_key(key)
                codec.open(key, row)
            except DamagedTable as error:
                yield _of_table(error)
        found = TableSum().plus(count=len(rows), digests=digest_sum(rows))
        expected = sums.get(name, TableSum())
        if found != expected:
            detail = f"{found.count} rows, the checkpoint counted {expected.count}"
            if found.count == expected.count:
                detail = "a row is old or foreign: the sum of the digests differs"
            yield Problem("damage", "table_count", f"table {name}", detail, REBUILD)


def fold_problems(disk: Disk, identity: Identity) -> Iterator[Problem]:
    """Check that the tables hold what the log through the checkpoint makes of them."""
    checkpoint = read_checkpoint(disk, identity).lsn
    if read_base(disk, identity).lsn:
        detail = "the log does not begin at LSN 1: the tables cannot be rebuilt from it"
        yield Problem("note", "unread", "log", detail, "nothing to do")
        return
    try:
        state = fold(disk, identity, until=checkpoint)
    except (AssertionError, KeyError, StoreError) as error:
        yield Problem("damage", "record_impossible", "log", f"{error!r}", REPORT)
        return
    for name, table in state.tables().items():
        codec, left = CODECS[name], dict(table)
        if name == "scalars" and not checkpoint:
            left = {}  # an empty state has counters, an empty store has no row of them
        for key, entry in _entries(disk, codec):
            expected = left.pop(key, None)
            if entry != expected:
                detail = "not in the log" if expected is None else f"the log has {expected}"
                yield _differs(codec, key, detail)
        for key in left:
            yield _differs(codec, key, "in the log, not in the table")


def fold(disk: Disk, identity: Identity, *, until: Lsn | None = None) -> State:
    """Apply the log from LSN 1 to a new state, through the frame that ends at `until`."""
    state = State(node_id=identity.node_id, cluster=identity.cluster, nonce=identity.nonce)
    for key, value in disk.scan("log", log_key(1)):
        if until is not None and state.lsn >= until:
            break
        redo_frame(state, read_frame(key, value))
        state.touched.clear()
    return state


def _entries(disk: Disk, codec: Codec[Any, Any]) -> Iterator[tuple[Any, object]]:
    """Yield the entries of a table, those of runs one by one."""
    for packed, row in disk.scan(codec.name):
        key, value = codec.open_key(packed), codec.open(packed, row)
        if codec.kind is not Kind.HISTORY:
            yield key, value
            continue
        for seq, entry in enumerate(value, key[1]):
            yield (key[0], seq), entry


def _broken(code: str, error: StoreError) -> Problem:
    place = f"LSN {error.lsn}" if isinstance(error, DamagedLog) else "log"
    return Problem("damage", code, place, error.what, SALVAGE)


def _of_table(error: DamagedTable) -> Problem:
    place = f"table {error.table}, key {error.key}"
    return Problem("damage", "table_damaged", place, error.what, REBUILD)


def _differs(codec: Codec[Any, Any], key: object, detail: str) -> Problem:
    place = f"table {codec.name}, key {key_text(codec.name, codec.pack(key))}"
    return Problem("damage", "table_differs", place, detail, REBUILD)
