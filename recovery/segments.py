"""Archived stretches of a log: compressed files that carry the digest chain on.

    name      node-FIRST-LAST.segment, LSNs with leading zeros, so that names sort as logs run
    line      JSON: whose it is, where it begins and ends, with the digests there
    body      zlib: for each frame its length, 4 bytes big-endian, and the value as in the log
    trailer   blake2b-128 of all that is before

Frames are kept byte for byte, so the chain is checked across segments and the live log as if
nothing had been moved.  The auditor reads these files too: nothing of `exchange` is used here.
"""

import itertools
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import msgspec

from recovery.pages import VALUE_MAX, BadFile, Entry, PageFile, Walk

SEGMENT_FORMAT = 1
SUFFIX = ".segment"
DIGEST = 16
LINE_MAX = 4096  # bytes of the first line
CHUNK = 1 << 18


class Header(msgspec.Struct, frozen=True):
    """The first line: whose frames, and where in the chain."""

    format: int
    cluster: str
    node_id: int
    nonce: str  # hexadecimal, as the digests
    base_lsn: int  # the first frame begins behind it
    base_digest: str
    last_lsn: int
    last_digest: str
    frames: int


class Segment(msgspec.Struct, frozen=True):
    """A segment file and its first line."""

    path: Path
    header: Header


class LogSource:
    """A log from its archived beginning to its live end."""

    def __init__(self, pages: PageFile, segments: Sequence[Segment] = ()) -> None:
        self.pages = pages
        self.segments = segments

    def entries(self, walk: Walk, first_lsn: int = 1) -> Iterator[Entry]:
        """Yield frames, undecoded, from the one that begins at `first_lsn`.

        A copy made before, or a kill while the log was cut, still has frames of a segment.
        """
        for segment in self.segments:
            if segment.header.last_lsn >= first_lsn:
                for key, value in read_segment(segment):
                    if int.from_bytes(key) >= first_lsn:
                        yield Entry(key, value, 0)
        if self.segments:
            first_lsn = max(first_lsn, self.segments[-1].header.last_lsn + 1)
        yield from self.pages.scan("log", walk, start=first_lsn.to_bytes(8))


def find_segments(archive: Path, node_id: int) -> list[Segment]:
    """Return the segments of a node in a directory, in order; BadFile if they do not join."""
    found = [
        Segment(path, read_header(path))
        for path in sorted(archive.glob(f"*{SUFFIX}"))
        if path.is_file()
    ]
    theirs = sorted(
        (segment for segment in found if segment.header.node_id == node_id),
        key=lambda segment: (segment.header.base_lsn, -segment.header.last_lsn),
    )
    mine: list[Segment] = []
    for segment in theirs:  # what a killed `archive` has written, the next one writes again
        if not mine or segment.header.base_lsn > mine[-1].header.base_lsn:
            mine.append(segment)
    for before, after in itertools.pairwise(mine):
        end = (before.header.last_lsn, before.header.last_digest)
        if end != (after.header.base_lsn, after.header.base_digest):
            raise BadFile(f"{after.path.name} does not follow {before.path.name}")
    return mine


def read_header(path: Path) -> Header:
    """Read the first line of a segment."""
    with path.open("rb") as file:
        line = file.readline(LINE_MAX)
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFile(f"{path.name} is no segment: {error}") from error
    if header.format != SEGMENT_FORMAT:
        raise BadFile(f"{path.name} is of segment format {header.format}")
    return header


def read_segment(segment: Segment) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of every frame; BadFile if the file is not what was written."""
    check_trailer(segment.path)
    lsn, count = segment.header.base_lsn + 1, 0
    buffer = b""
    for data in _decompressed(segment.path):
        buffer += data
        while len(buffer) >= 4 and len(buffer) >= 4 + (size := int.from_bytes(buffer[:4])):
            value, buffer = buffer[4 : 4 + size], buffer[4 + size :]
            yield lsn.to_bytes(8), value
            count += 1
            lsn += records_in(value)
        if len(buffer) > VALUE_MAX:
            raise BadFile(f"{segment.path.name}: a frame of an impossible size")
    if buffer or count != segment.header.frames:
        raise BadFile(f"{segment.path.name}: {count} frames, not {segment.header.frames}")


def write_segment(path: Path, header: Header, frames: Iterable[bytes]) -> None:
    """Write a segment, force it, give it its name, force the directory."""
    new = path.with_name(path.name + ".new")
    try:
        _write(new, header, frames)
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _write(path: Path, header: Header, frames: Iterable[bytes]) -> None:
    hasher = blake2b(digest_size=DIGEST)
    packer = zlib.compressobj()
    with naming(path), path.open("wb") as file:

        def put(data: bytes) -> None:
            hasher.update(data)
            file.write(data)

        put(msgspec.json.encode(header) + b"\n")
        for value in frames:
            put(packer.compress(len(value).to_bytes(4) + value))
        put(packer.flush())
        file.write(hasher.digest())
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give the errors of writing to an open file its name."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def segment_name(header: Header) -> str:
    """Return the name of a segment."""
    return f"node{header.node_id}-{header.base_lsn + 1:016}-{header.last_lsn:016}{SUFFIX}"


def check_trailer(path: Path) -> None:
    """Raise BadFile unless the digest at the end is that of the file."""
    hasher = blake2b(digest_size=DIGEST)
    left = path.stat().st_size - DIGEST
    with path.open("rb") as file:
        while left > 0 and (data := file.read(min(CHUNK, left))):
            hasher.update(data)
            left -= len(data)
        if left or file.read() != hasher.digest():
            raise BadFile(f"{path.name} is damaged: its digest differs")


def records_in(value: bytes) -> int:
    """Return how many records a frame says it has: the third of its MessagePack integers."""
    at, number = 1, 0
    for _ in range(3):
        head = value[at]
        size = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(head, 0)
        number = int.from_bytes(value[at + 1 : at + 1 + size]) if size else head
        at += 1 + size
    return number


def _decompressed(path: Path) -> Iterator[bytes]:
    left = path.stat().st_size - DIGEST
    unpacker = zlib.decompressobj()
    with path.open("rb") as file:
        left -= len(file.readline(LINE_MAX))
        while left > 0 and (data := file.read(min(CHUNK, left))):
            left -= len(data)
            try:
                yield unpacker.decompress(data)
            except zlib.error as error:
                raise BadFile(f"{path.name}: {error}") from error
