"""Bring back what is intact of a damaged data file, into a new directory, and list the rest.

Theory of operation
===================
Frames are looked for on every page of the file, so it does not matter whether the way to them is
destroyed.  A frame is **proven** if its digest follows from the frame before it, from the digest
that a damaged frame before it still shows, or from the checkpoint's.  It is **loose** if it is
readable and nothing vouches for it.

What the new directory holds depends on where the holes are:

    holes                        | new directory
    -----------------------------+--------------------------------------------------------
    none                         | the whole log, tables made anew
    before the checkpoint only,  | the tables as they are and the log behind the checkpoint;
    tables intact                | older frames go into segment files: nothing of the state is
                                 | lost, only history
    everything of the beginning  | none
    behind the checkpoint, or    | the log through the first hole, tables made anew; later
    tables damaged               | frames go into segment files.  An old copy: its peers will
                                 | not let it in, `recover-node` brings it forward
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from exchange.domain.units import Lsn
from exchange.engine.messages import Proof
from exchange.store.directory import IDENTITY
from exchange.store.errors import DamagedLog, NewerFormat, StoreError
from exchange.store.frames import DIGEST_SIZE, Frame, Identity, check_frame, genesis, read_frame
from exchange.store.meta import BASE, Checkpoint, checkpoint_change
from exchange.store.store import Store
from exchange.store.tables import CODECS, seal
from recovery.bulk import NewDirectory, Unfinished
from recovery.directory import DataDirectory, NoDirectory
from recovery.pages import HEADER, LEAF, OVERFLOW, BadFile, PageFile, Walk
from recovery.problems import EXIT_DAMAGED
from recovery.replay import CannotReplay
from recovery.segments import SEGMENT_FORMAT, Header, segment_name, write_segment
from recovery.skip import length_of
from recovery.verification import check_tables

FRAME_START = b"\x97\x01"  # an array of seven, the first of them version 1
NEAREST_MAX = 8  # damaged frames before a hole whose digests are tried

Progress = Callable[[int], None]


class Hole(msgspec.Struct):
    """A range of LSNs."""

    first: int
    last: int


class Salvaged(msgspec.Struct):
    """What was brought back, and what was not."""

    path: str  # empty if no directory could be made
    node: int
    first_lsn: int = 0  # of the new log
    last_lsn: int = 0
    frames: int = 0  # in the new log
    proven: int = 0  # frames, there and in segments
    is_state_whole: bool = False  # the newest state that was on disk is there
    lost: list[Hole] = []
    loose: list[Hole] = []  # readable, in segments, but nothing vouches for them
    segments: list[str] = []
    damage: list[str] = []


class Found(msgspec.Struct, frozen=True):
    """A frame that is readable, wherever it stood."""

    frame: Frame
    value: bytes

    @property
    def digest(self) -> bytes:
        """Return the digest that the frame says it has."""
        return self.value[-DIGEST_SIZE:]


class Finds:
    """All that looks like a frame."""

    def __init__(self) -> None:
        self.frames: dict[int, dict[bytes, Found]] = {}  # by first LSN; equal copies once
        self.ends: dict[int, set[bytes]] = {}  # first LSN -> digests shown, damaged or not

    def add(self, key: bytes, value: bytes) -> None:
        """Take a value that may be a frame."""
        lsn = int.from_bytes(key)
        self.ends.setdefault(lsn, set()).add(value[-DIGEST_SIZE:])
        try:
            found = Found(read_frame(key, value), value)
        except (DamagedLog, NewerFormat):
            return
        self.frames.setdefault(lsn, {})[value] = found

    def vouchers(self, lsn: int) -> list[bytes]:
        """Return the digests that damaged frames before `lsn` show, the nearest first."""
        nearest = sorted((first for first in self.ends if first < lsn), reverse=True)[:NEAREST_MAX]
        return [digest for first in nearest for digest in sorted(self.ends[first])]


def salvage(path: Path, to: Path, *, progress: Progress = lambda _: None) -> Salvaged:
    """Salvage `path` into the new directory `to`."""
    with _open(path) as source:
        result = Salvaged(str(to), source.node_id)
        base, checkpoint = _start(source, result)
        finds = _collect(source.pages, progress)
        proven, loose = _prove(finds, base, checkpoint)
        everything = sorted([*proven, *loose], key=lambda item: item.frame.first_lsn)
        result.proven = len(proven)
        result.loose = [Hole(item.frame.first_lsn, item.frame.last_lsn) for item in loose]
        result.lost = _holes(base.lsn, everything, checkpoint)
        prefix = _run(proven, base)
        prefix_end = prefix[-1].frame.last_lsn if prefix else base.lsn
        is_hollow = bool(base.lsn) or (checkpoint is not None and prefix_end < checkpoint.lsn)
        if checkpoint is not None and is_hollow and _tables_hold(source):
            if prefix_end < checkpoint.lsn:
                base = Proof(checkpoint.lsn, checkpoint.digest)
            used = _run(proven, base)
            _keep_tables(source, to, checkpoint, base, used, result)
        elif base.lsn:
            result.path = ""
            result.damage.append("the log's beginning is archived and the tables are damaged")
            used = []
        elif not prefix:
            result.path = ""
            result.damage.append("no frame of the log's beginning is intact: nothing to build on")
            used = []
        else:
            _fold(source.identity, to, prefix, result, progress)
            used = prefix
        taken = {item.frame.first_lsn for item in used}
        rest = [item for item in everything if item.frame.first_lsn not in taken]
        _write_rest(source.identity, to, rest, result)
        later = [item for item in rest if item.frame.first_lsn > result.last_lsn]
        behind = [hole for hole in result.lost if hole.last > result.last_lsn]
        end = _end(source)
        is_end_there = end is not None and end <= result.last_lsn
        result.is_state_whole = bool(result.path) and is_end_there and not later and not behind
        return result


def _open(path: Path) -> DataDirectory:
    try:
        return DataDirectory.open(path, is_lenient=True)
    except NoDirectory as nothing:
        if nothing.problem.code != "identity_damaged":
            raise
        detail = f"{nothing.problem.place}: {nothing.problem.detail}"
        remedy = f"put the node's file `{IDENTITY}` there, or recover-node from its peers"
        raise CannotReplay(f"{detail}; {remedy}", EXIT_DAMAGED) from nothing


def _end(source: DataDirectory) -> int | None:
    """Return the LSN under which the last frame stands; None where the way to it is destroyed.

    What was behind a destroyed end leaves no hole to see.
    """
    walk = Walk()
    try:
        for entry in source.pages.scan("log", walk, reverse=True):
            return None if walk.damage else int.from_bytes(entry.key)
    except BadFile:
        pass
    return None


def _start(source: DataDirectory, result: Salvaged) -> tuple[Proof, Checkpoint | None]:
    """Return where the log begins, and the checkpoint if there is a readable one."""
    base, checkpoint = Proof(Lsn(0), genesis(source.identity)), None
    try:
        base = source.base()
        found = source.checkpoint()
        checkpoint = found if found.lsn else None
    except (StoreError, BadFile) as error:
        result.damage.append(str(error).partition(";")[0])
    return base, checkpoint


def _collect(pages: PageFile, progress: Progress) -> Finds:
    """Look for frames on every page."""
    finds = Finds()
    for number in range(2, pages.size // pages.page_size):
        raw = pages.raw_page(number)
        if int.from_bytes(raw[:8], "little") != number:
            continue
        flags = int.from_bytes(raw[10:12], "little")
        if flags & LEAF:
            before = len(finds.frames)
            for key, value in _leaf(pages, raw, number):
                finds.add(key, value)
            progress(len(finds.frames) - before)
        elif flags & OVERFLOW:
            count = int.from_bytes(raw[12:16], "little")
            data = pages.raw_extent(number, min(count, pages.size // pages.page_size))[HEADER:]
            length = length_of(data) if data.startswith(FRAME_START) else None
            if length is not None and length + DIGEST_SIZE <= len(data):
                value = data[: length + DIGEST_SIZE]
                finds.add(_key(value), value)
    return finds


def _leaf(pages: PageFile, raw: bytes, number: int) -> Iterator[tuple[bytes, bytes]]:
    try:
        entries = pages.leaf_entries(raw, number, Walk())
    except BadFile:
        return
    for entry in entries:
        is_frame = entry.value.startswith(FRAME_START) or len(entry.value) > pages.page_size
        if is_frame and len(entry.key) == 8 and len(entry.value) > DIGEST_SIZE:
            yield entry.key, entry.value


def _key(value: bytes) -> bytes:
    """Return the key that a frame belongs under: its second integer."""
    size = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(value[2], 0)
    lsn = int.from_bytes(value[3 : 3 + size]) if size else value[2]
    return lsn.to_bytes(8)


def _prove(
    finds: Finds, base: Proof, checkpoint: Checkpoint | None
) -> tuple[list[Found], list[Found]]:
    """Tell the frames that something vouches for from the others, both in order."""
    known = {base.lsn: base.digest}
    if checkpoint is not None:
        known[checkpoint.lsn] = checkpoint.digest
    proven: list[Found] = []
    loose: list[Found] = []
    for lsn in sorted(finds.frames):
        if lsn <= base.lsn:
            continue
        before = known.get(Lsn(lsn - 1))
        vouchers = [before] if before is not None else finds.vouchers(lsn)
        copies = list(finds.frames[lsn].values())
        good = [item for item in copies if any(_follows(item, digest) for digest in vouchers)]
        if good:
            proven.append(good[0])
            known[good[0].frame.last_lsn] = good[0].digest
        elif before is None and not _is_inside(lsn, proven):
            loose.append(copies[0])
    return proven, loose


def _follows(item: Found, digest: bytes) -> bool:
    try:
        check_frame(item.frame.first_lsn.to_bytes(8), item.value, digest)
    except DamagedLog:
        return False
    return True


def _is_inside(lsn: int, proven: Sequence[Found]) -> bool:
    return bool(proven) and lsn <= proven[-1].frame.last_lsn


def _run(proven: Sequence[Found], start: Proof) -> list[Found]:
    """Return the proven frames that follow each other from `start` on."""
    run: list[Found] = []
    lsn = start.lsn
    for item in proven:
        if item.frame.first_lsn == lsn + 1:
            run.append(item)
            lsn = item.frame.last_lsn
    return run


def _holes(base_lsn: int, found: Sequence[Found], checkpoint: Checkpoint | None) -> list[Hole]:
    holes, expected = [], base_lsn + 1
    for item in found:
        if item.frame.first_lsn > expected:
            holes.append(Hole(expected, item.frame.first_lsn - 1))
        expected = max(expected, item.frame.last_lsn + 1)
    if checkpoint is not None and expected <= checkpoint.lsn:
        holes.append(Hole(expected, checkpoint.lsn))
    return holes


def _tables_hold(source: DataDirectory) -> bool:
    problems, tables = check_tables(source)
    return not problems and tables is not None


def _keep_tables(
    source: DataDirectory,
    to: Path,
    checkpoint: Checkpoint,
    base: Proof,
    frames: Sequence[Found],
    result: Salvaged,
) -> None:
    """Copy the tables row by row, and the log behind `base`, which is not past them."""
    with Unfinished(to, source.identity) as new:
        for table in CODECS:
            for entry in source.pages.scan(table, Walk()):
                new.disk.write([(table, entry.key, entry.value)])
        new.disk.write([checkpoint_change(checkpoint), ("meta", BASE, seal(BASE, base))])
        for item in frames:
            new.disk.write([("log", item.frame.first_lsn.to_bytes(8), item.value)])
        new.disk.flush()
        store = Store.open(new.disk, source.identity)  # redo must accept it
        result.first_lsn, result.last_lsn = base.lsn + 1, store.proof.lsn
        result.frames = len(frames)
        new.name_it()


def _fold(
    identity: Identity,
    to: Path,
    prefix: Sequence[Found],
    result: Salvaged,
    progress: Progress,
) -> None:
    """Apply the log through the first hole."""
    with NewDirectory(to, identity) as new:
        for item in prefix:
            new.add(item.frame)
            progress(item.frame.count)
        result.first_lsn, result.last_lsn = 1, new.finish().lsn
        result.frames = len(prefix)


def _write_rest(identity: Identity, to: Path, rest: Sequence[Found], result: Salvaged) -> None:
    """Write frames that are not in the new log into segment files, one for each stretch."""
    stretches: list[list[Found]] = []
    for item in rest:
        if stretches and stretches[-1][-1].frame.last_lsn + 1 == item.frame.first_lsn:
            stretches[-1].append(item)
        else:
            stretches.append([item])
    folder = to.with_name(to.name + ".frames")
    for stretch in stretches:
        folder.mkdir(parents=True, exist_ok=True)
        first, last = stretch[0].frame, stretch[-1].frame
        base_digest = genesis(identity).hex() if first.first_lsn == 1 else ""
        header = Header(
            SEGMENT_FORMAT,
            identity.cluster,
            identity.node_id,
            identity.nonce.hex(),
            first.first_lsn - 1,
            base_digest,
            last.last_lsn,
            stretch[-1].digest.hex(),
            len(stretch),
        )
        file = folder / segment_name(header)
        write_segment(file, header, [item.value for item in stretch])
        result.segments.append(str(file))
