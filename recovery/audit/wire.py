"""Bytes to frames, records and rows, from the documented format alone.

frame   body || digest, digest = blake2b-128(digest before || body)
body    MessagePack [version, first_lsn, count, epoch, ts, {peer: [lsn, digest]}, records]
record  MessagePack [tag, field, ...]
genesis blake2b-128(MessagePack [cluster, node id, birth nonce])
row     MessagePack || blake2b-128(key || MessagePack)
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

DIGEST = 16
_decode = msgspec.msgpack.Decoder().decode


class BadBytes(Exception):  # noqa: N818 - a finding, not an error of ours
    """The bytes are not of the documented format."""


Seen = tuple[int, bytes, bytes, bytes]  # LSN, digest, boot id, seal of a peer's log (C3)


class Frame(NamedTuple):
    """One frame; records are lists, their tag first."""

    first_lsn: int
    epoch: int
    ts: int
    seen: dict[int, Seen]
    records: list[list[Any]]
    digest: bytes


class Whose(NamedTuple):
    """The identity row: whose data it is."""

    cluster: str
    node: int
    nonce: bytes


class Mark(NamedTuple):
    """The checkpoint row: where the tables stand."""

    lsn: int
    digest: bytes


def genesis(whose: Whose) -> bytes:
    """Return the digest before the first frame."""
    body = msgspec.msgpack.encode([whose.cluster, whose.node, whose.nonce])
    return blake2b(body, digest_size=DIGEST).digest()


def read_frame(key: bytes, value: bytes) -> Frame:
    """Decode a frame; the digest is the caller's business."""
    try:
        version, first_lsn, count, epoch, ts, seen, records = _decode(value[:-DIGEST])
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise BadBytes(f"not a frame: {error}") from error
    if version != 1:
        raise BadBytes(f"a frame of format {version}")
    if not isinstance(records, list) or count != len(records) or not records:
        raise BadBytes("a frame that does not count its records")
    if int.from_bytes(key) != first_lsn or len(key) != 8:
        raise BadBytes(f"a frame under the key of another: it begins at {first_lsn}")
    try:
        proofs = {
            int(peer): (int(lsn), bytes(digest), bytes(boot_id), bytes(mac))
            for peer, (lsn, digest, boot_id, mac, *_) in seen.items()
        }
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise BadBytes("what was seen of peers is not readable") from error
    return Frame(first_lsn, epoch, ts, proofs, records, value[-DIGEST:])


def follows(value: bytes, previous: bytes) -> bool:
    """Tell whether a frame's digest is that of its bytes after `previous`."""
    hasher = blake2b(previous, digest_size=DIGEST)
    hasher.update(memoryview(value)[:-DIGEST])
    return hasher.digest() == value[-DIGEST:]


def open_row(key: bytes, value: bytes) -> bytes:
    """Return the MessagePack of a row whose digest fits."""
    body = value[:-DIGEST]
    if blake2b(key + body, digest_size=DIGEST).digest() != value[-DIGEST:]:
        raise BadBytes("the digest of a row does not fit")
    return body


def read_row(key: bytes, value: bytes) -> Any:  # noqa: ANN401 - rows have many forms
    """Decode a row whose digest fits."""
    body = open_row(key, value)
    try:
        return _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadBytes(f"a row that cannot be decoded: {error}") from error


def read_whose(value: bytes | None) -> Whose:
    """Decode the identity row."""
    if value is None:
        raise BadBytes("the data names no owner")
    row = read_row(b"identity", value)
    try:
        _, cluster, node, nonce = row[:4]
    except (TypeError, ValueError) as error:
        raise BadBytes("the identity is not readable") from error
    return Whose(cluster, node, nonce)


def read_mark(value: bytes | None, key: bytes) -> Mark | None:
    """Decode the checkpoint row, or that of the log's beginning; None if there is none."""
    if value is None:
        return None
    row = read_row(key, value)
    try:
        return Mark(int(row[0]), bytes(row[1]))
    except (TypeError, ValueError, IndexError) as error:
        raise BadBytes(f"the row `{key.decode()}` is not readable") from error


def fields(raw: list[Any], least: int) -> Iterator[Any]:
    """Return the fields of a record behind its tag; BadBytes if there are too few."""
    if len(raw) <= least:
        raise BadBytes(f"a record with {len(raw) - 1} fields, it needs {least}")
    return iter(raw[1:])
