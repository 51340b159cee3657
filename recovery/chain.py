"""Read the log as a chain: every frame in order, checked against the one before it (W4).

A node stops at the first break and so does the evidence: what stands behind it is counted and
looked at, to tell the operator how much `salvage` could bring back, but nothing is proven by it.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator

from exchange.engine.messages import Proof
from exchange.store.errors import DamagedLog, NewerFormat
from exchange.store.frames import DIGEST_SIZE, Frame, check_frame, lsn_of, read_frame
from recovery.pages import BadFile, Entry, Walk
from recovery.problems import Problem, Severity, problem
from recovery.segments import LogSource

PROBLEMS_MAX = 100  # rows about frames; more of them help nobody


class Digests:
    """The digest after each frame, by its last LSN: 24 bytes a frame (C3)."""

    def __init__(self, base: Proof) -> None:
        self._lsns = array("Q", [base.lsn])
        self._digests = bytearray(base.digest)

    def add(self, last_lsn: int, digest: bytes) -> None:
        """Note the digest of the log through a frame."""
        self._lsns.append(last_lsn)
        self._digests += digest

    def end_before(self, lsn: int) -> int:
        """Return the end of the last frame that ends before `lsn`."""
        return self._lsns[bisect_left(self._lsns, lsn) - 1]

    def at(self, lsn: int) -> bytes | None:
        """Return the digest of the log through `lsn`; None if no frame ends there."""
        index = bisect_left(self._lsns, lsn)
        if index == len(self._lsns) or self._lsns[index] != lsn:
            return None
        return bytes(self._digests[index * DIGEST_SIZE : (index + 1) * DIGEST_SIZE])


class Chain:
    """What a reading of a log found.  `frames` may be called again to read what was added."""

    def __init__(self, base: Proof, place: str) -> None:
        self.base = base  # the log begins behind it
        self.place = place  # what problems call the directory
        self.last = base  # the last intact frame's end
        self.digests = Digests(base)
        self.frames_count = 0
        self.records = 0
        self.bytes = 0
        self.epoch = 0
        self.last_ts = 0
        self.problems: list[Problem] = []
        self.frames_after_break = 0  # intact in themselves, but behind a break

    @property
    def is_whole(self) -> bool:
        """Tell whether the log is intact as far as it goes."""
        return not self.problems

    def frames(self, source: LogSource) -> Iterator[Frame]:
        """Yield the intact frames behind `last`, up to the first break."""
        walk = Walk()
        previous: bytes | None = self.last.digest  # None: the frame before is missing
        expected: int | None = self.last.lsn + 1  # None: the frame before cannot be read
        for entry in self._entries(source, walk):
            frame = self._read(entry, previous, expected)
            previous = entry.value[-DIGEST_SIZE:]
            expected = frame.last_lsn + 1 if frame is not None else None
            if frame is None:
                continue
            if not self.is_whole:
                self.frames_after_break += 1
                continue
            self._count(frame, len(entry.value), previous)
            yield frame
        for page, detail in walk.damage[:PROBLEMS_MAX]:
            self._add(problem("page_damaged", f"{self.place} page {page}", detail))

    def _entries(self, source: LogSource, walk: Walk) -> Iterator[Entry]:
        try:
            yield from source.entries(walk, self.last.lsn + 1)
        except BadFile as damage:
            self._add(problem("archive_damaged", self.place, str(damage)))

    def start_of(self, lsn: int) -> int:
        """Return the first LSN of the frame that holds `lsn`."""
        return self.digests.end_before(lsn) + 1

    def again(self, source: LogSource, first_lsn: int | None = None) -> Iterator[Frame]:
        """Yield the intact frames that were read before, without checking them again."""
        start = self.base.lsn + 1 if first_lsn is None else first_lsn
        for entry in source.entries(Walk(), start):
            if lsn_of(entry.key) > self.last.lsn:
                return
            yield read_frame(entry.key, entry.value)

    def _read(self, entry: Entry, previous: bytes | None, expected: int | None) -> Frame | None:
        """Return a frame that is intact in itself; note what is wrong with it or before it."""
        try:
            lsn = lsn_of(entry.key)
            if expected is not None and lsn != expected:
                missing = f"records {expected} to {lsn - 1} are missing"
                self._add(problem("lsn_gap", f"{self.place} LSN {expected}", missing))
                previous = None
            if previous is not None:
                check_frame(entry.key, entry.value, previous)
            return read_frame(entry.key, entry.value)
        except NewerFormat as newer:
            self._add(problem("newer_format", self.place, newer.what))
        except DamagedLog as damage:
            detail = str(damage).partition(";")[0]
            code = "chain_broken" if _decodes(entry) else "frame_damaged"
            self._add(problem(code, f"{self.place} LSN {damage.lsn}", detail))
        return None

    def _count(self, frame: Frame, size: int, digest: bytes) -> None:
        self.last = Proof(frame.last_lsn, digest)
        self.digests.add(frame.last_lsn, digest)
        self.frames_count += 1
        self.records += frame.count
        self.bytes += size
        self.epoch = frame.epoch
        self.last_ts = frame.ts

    def _add(self, found: Problem) -> None:
        assert found.severity is Severity.DAMAGE, "a break is damage"
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(found)


def _decodes(entry: Entry) -> bool:
    """Tell whether the frame is readable, so that it is the link to its predecessor that broke."""
    try:
        read_frame(entry.key, entry.value)
    except (DamagedLog, NewerFormat):
        return False
    return True
