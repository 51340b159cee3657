"""A log as lines of text, to carry it between store formats.

    first line   {"dump": 1, "cluster", "node_id", "nonce", "secret"}
    a frame      [version, first_lsn, count, epoch, ts, seen, records], bytes as base64
    last line    {"end": {"frames", "records", "lsn", "digest"}}

Tags and the order of fields are those of `docs/log-format.md`.  `load` applies every record and
writes it in the format of its own version; where that is the same, so is every digest.  The
secret goes along: what is loaded is the same node, and must know its own proofs again (C3).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from exchange.domain.units import NodeId
from exchange.store.frames import Frame, Identity
from recovery.bulk import NewDirectory
from recovery.directory import DataDirectory
from recovery.replay import CannotReplay, check_intact, whole_chain

T = TypeVar("T")

DUMP_FORMAT = 1
LINE_MAX = 1 << 28  # bytes: far above any frame

Progress = Callable[[int], None]


class Head(msgspec.Struct):
    """The first line."""

    dump: int
    cluster: str
    node_id: int
    nonce: str
    secret: str = ""


class End(msgspec.Struct):
    """What the last line counts."""

    frames: int
    records: int
    lsn: int
    digest: str


class Tail(msgspec.Struct):
    """The last line."""

    end: End


class Loaded(msgspec.Struct):
    """What `load` built."""

    path: str
    node: int
    records: int
    lsn: int
    digest: str
    is_same: bool  # the digest is that of the dump: nothing changed on the way


def dump(
    path: Path, file: IO[bytes], *, archive: Path | None = None, progress: Progress = lambda _: None
) -> End:
    """Write a log as text."""
    with DataDirectory.open(path) as source:
        chain = whole_chain(source, archive)
        identity = source.identity
        head = Head(
            DUMP_FORMAT,
            identity.cluster,
            identity.node_id,
            identity.nonce.hex(),
            identity.secret.hex(),
        )
        file.write(msgspec.json.encode(head) + b"\n")
        for frame in chain.frames(source.log):
            file.write(msgspec.json.encode(frame) + b"\n")
            progress(frame.count)
        check_intact(chain)
        end = End(chain.frames_count, chain.records, chain.last.lsn, chain.last.digest.hex())
        file.write(msgspec.json.encode(Tail(end)) + b"\n")
        return end


def load(file: IO[bytes], to: Path, *, progress: Progress = lambda _: None) -> Loaded:
    """Build a directory from a dump."""
    try:
        return _load(file, to, progress)
    except CannotReplay as refusal:
        told = f"{getattr(file, 'name', 'the dump')}: {refusal}"
        raise CannotReplay(told, refusal.exit_code) from refusal


def _load(file: IO[bytes], to: Path, progress: Progress) -> Loaded:
    lines = _lines(file)
    try:
        head = msgspec.json.decode(next(lines, b""), type=Head)
        nonce, secret = bytes.fromhex(head.nonce), bytes.fromhex(head.secret)
        identity = Identity(head.cluster, NodeId(head.node_id), nonce, secret)
    except (msgspec.MsgspecError, ValueError) as error:
        told = f"this is no dump: {error}"
        raise CannotReplay(f"{told}; give what `exchange-recover dump` writes", 2) from error
    if head.dump != DUMP_FORMAT:
        raise CannotReplay(f"a dump of format {head.dump}, this program reads {DUMP_FORMAT}", 4)
    end: End | None = None
    frames = records = 0
    with NewDirectory(to, identity) as new:
        for number, line in enumerate(lines, 2):
            if end is not None:
                raise CannotReplay(f"line {number}: something behind the end of the dump", 4)
            if line.startswith(b"{"):
                end = _decode(number, line, Tail).end
                continue
            frame = _decode(number, line, Frame)
            if frame.first_lsn != new.store.state.lsn + 1 or frame.count != len(frame.records):
                raise CannotReplay(f"line {number}: LSN {frame.first_lsn} does not follow", 4)
            try:
                new.add(frame)
            except (AssertionError, KeyError) as error:
                raise CannotReplay(
                    f"line {number}: a record cannot be applied: {error}", 4
                ) from error
            frames += 1
            records += frame.count
            progress(frame.count)
        if end is None or (end.frames, end.records) != (frames, records):
            raise CannotReplay("the dump is cut off; make it again", 4)
        proof = new.finish()
    digest = proof.digest.hex()
    return Loaded(str(to), head.node_id, records, proof.lsn, digest, digest == end.digest)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(LINE_MAX):
        if line.strip():
            yield line


def _decode(number: int, line: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CannotReplay(f"line {number}: {error}", 4) from error
