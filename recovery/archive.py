"""Move the beginning of a log into segments: never past the checkpoint, chain and all (W5).

The last frame always stays: the end of the log tells which meta page is the newest.

A segment is on disk, forced and read back, before its frames leave the log; the frames leave
in the same LMDB write that moves the log's base behind them.  A crash in between leaves frames
in both places: the next run writes the segment again and goes on.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from exchange.domain.units import Lsn
from exchange.engine.messages import Proof
from exchange.store.disk import Disk
from exchange.store.frames import DIGEST_SIZE, check_frame, log_key, read_frame, span_of
from exchange.store.meta import BASE, read_base
from exchange.store.tables import seal
from recovery.offline import OfflineNode
from recovery.segments import (
    SEGMENT_FORMAT,
    Header,
    Segment,
    read_header,
    read_segment,
    segment_name,
    write_segment,
)

SEGMENT_BYTES = 1 << 26  # of frames in one segment, before compression


class Archived(msgspec.Struct):
    """What was moved."""

    node: int
    base_lsn: int  # the log begins behind it now
    segments: list[str] = []
    frames: int = 0
    bytes: int = 0


def archive(
    path: Path, to: Path, *, before: int | None = None, before_ts: int | None = None
) -> Archived:
    """Move all frames that end before an LSN, or were forced before a time."""
    with OfflineNode.open(path) as node:
        to.mkdir(parents=True, exist_ok=True)
        disk, identity = node.store.disk, node.store.identity
        result = Archived(identity.node_id, read_base(disk, identity).lsn)
        limit = Lsn(min(node.store.checkpoint_lsn, node.proof.lsn - 1))  # a log is never empty
        if before is not None:
            limit = Lsn(min(limit, before - 1))
        while stretch := _stretch(disk, read_base(disk, identity), limit, before_ts):
            base = read_base(disk, identity)
            last = Proof(stretch[-1][2], stretch[-1][1][-DIGEST_SIZE:])
            header = Header(
                SEGMENT_FORMAT,
                identity.cluster,
                identity.node_id,
                identity.nonce.hex(),
                base.lsn,
                base.digest.hex(),
                last.lsn,
                last.digest.hex(),
                len(stretch),
            )
            file = to / segment_name(header)
            write_segment(file, header, [value for _, value, _ in stretch])
            _check(file, base)
            deleted = [("log", key, None) for key, _, _ in stretch]
            disk.write([*deleted, ("meta", BASE, seal(BASE, last))])
            result.base_lsn = last.lsn
            result.segments.append(str(file))
            result.frames += len(stretch)
            result.bytes += sum(len(value) for _, value, _ in stretch)
        return result


def _stretch(
    disk: Disk, base: Proof, limit: int, before_ts: int | None
) -> list[tuple[bytes, bytes, Lsn]]:
    """Return the next frames to move: key, value, last LSN."""
    found: list[tuple[bytes, bytes, Lsn]] = []
    size = 0
    for key, value in disk.scan("log", log_key(base.lsn + 1)):
        first, count = span_of(key, value)
        last = Lsn(first + count - 1)
        if last > limit or size >= SEGMENT_BYTES:
            break
        if before_ts is not None and read_frame(key, value).ts >= before_ts:
            break
        found.append((key, value, last))
        size += len(value)
    return found


def _check(file: Path, base: Proof) -> None:
    """Read a segment back, before anything is deleted."""
    digest = base.digest
    for key, value in _frames(file):
        digest = check_frame(key, value, digest)


def _frames(file: Path) -> Iterator[tuple[bytes, bytes]]:
    return read_segment(Segment(file, read_header(file)))
