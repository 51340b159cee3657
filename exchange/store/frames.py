"""Frames: the records of one force as one value, chained by digests (W2, W4, C3).

    key in table `log`   first LSN, 8 bytes, big-endian
    value                body || digest
    body                 MessagePack array [version, first_lsn, count, epoch, ts, seen, records]
    digest               blake2b-128(digest of the frame before || body)
    before the first     blake2b-128(MessagePack array [cluster, node id, birth nonce])

`seen` maps a peer to the last [lsn, digest, boot_id, mac] of *its* log that it told us (C3).
`docs/log-format.md` says it for people who write their own reader.
"""

import struct
from hashlib import blake2b

import msgspec

from exchange.domain.units import Epoch, Lsn, Micros, NodeId
from exchange.engine import messages
from exchange.engine.messages import SealedProof
from exchange.engine.records import Record
from exchange.store.errors import DamagedLog, NewerFormat

FORMAT_VERSION = 1
DIGEST_SIZE = messages.DIGEST_SIZE

_LSN = struct.Struct(">Q")


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """Whose data it is, for ever (C3)."""

    cluster: str
    node_id: NodeId
    nonce: bytes  # 16 random bytes from the birth of the node
    secret: bytes = b""  # 32 more, never told: they seal what peers are told of the log (C3)

    def __repr__(self) -> str:
        """Leave the secret out."""
        return f"Identity({self.cluster!r}, {self.node_id}, {self.nonce.hex()})"


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """The records of one force (W2)."""

    version: int
    first_lsn: Lsn
    count: int
    epoch: Epoch
    ts: Micros
    seen: dict[NodeId, SealedProof]
    records: list[Record]

    @property
    def last_lsn(self) -> Lsn:
        """Return the LSN of the last record."""
        return Lsn(self.first_lsn + self.count - 1)


_EMPTY = blake2b(digest_size=DIGEST_SIZE)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)


def digest_of(data: bytes) -> bytes:
    """Return blake2b-128; to copy an empty hash costs less than to set one up."""
    hasher = _EMPTY.copy()
    hasher.update(data)
    return hasher.digest()


def genesis(identity: Identity) -> bytes:
    """Return the digest of the empty log: two nodes never share a chain."""
    return digest_of(_encoder.encode([identity.cluster, identity.node_id, identity.nonce]))


def log_key(first_lsn: int) -> bytes:
    """Return the key of the frame that begins at an LSN."""
    return _LSN.pack(first_lsn)


def lsn_of(key: bytes) -> Lsn:
    """Return the LSN that a key of the log stands for."""
    if len(key) != _LSN.size:
        raise DamagedLog(0, f"a key of {len(key)} bytes")
    return Lsn(_LSN.unpack(key)[0])


def seal_frame(frame: Frame, previous: bytes) -> tuple[bytes, bytes]:
    """Encode a frame; return (value, digest)."""
    body = _encoder.encode(frame)
    digest = digest_of(previous + body)
    return body + digest, digest


def check_frame(key: bytes, value: bytes, previous: bytes) -> bytes:
    """Return the digest of a frame, or raise DamagedLog if it does not follow `previous` (W4)."""
    lsn = lsn_of(key)
    if len(value) <= DIGEST_SIZE:
        raise DamagedLog(lsn, f"a frame of {len(value)} bytes")
    digest = value[-DIGEST_SIZE:]
    hasher = blake2b(previous, digest_size=DIGEST_SIZE)
    hasher.update(memoryview(value)[:-DIGEST_SIZE])
    if hasher.digest() != digest:
        raise DamagedLog(lsn, "the digest of the frame does not fit its bytes and its predecessor")
    return digest


def read_frame(key: bytes, value: bytes) -> Frame:
    """Decode a frame whose digest is in order."""
    lsn = lsn_of(key)
    version, _, _ = _head(key, value)
    if version > FORMAT_VERSION:
        raise NewerFormat(version, known=FORMAT_VERSION)
    try:
        frame = _decoder.decode(memoryview(value)[:-DIGEST_SIZE])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedLog(lsn, f"the frame cannot be decoded: {error}") from error
    if frame.first_lsn != lsn:
        raise DamagedLog(lsn, f"the frame says that it begins at LSN {frame.first_lsn}")
    if frame.count != len(frame.records) or not frame.count:
        raise DamagedLog(
            lsn, f"the frame counts {frame.count} records, it has {len(frame.records)}"
        )
    return frame


def span_of(key: bytes, value: bytes) -> tuple[Lsn, int]:
    """Return (first LSN, count) out of the first bytes of a frame, without decoding it all."""
    _, first_lsn, count = _head(key, value)
    if lsn_of(key) != first_lsn:
        raise DamagedLog(lsn_of(key), f"the frame says that it begins at LSN {first_lsn}")
    return Lsn(first_lsn), count


def _head(key: bytes, value: bytes) -> tuple[int, int, int]:
    """Read version, first LSN and count, which come first in the array."""
    try:
        version, at = _integer(value, 1)
        first_lsn, at = _integer(value, at)
        count, _ = _integer(value, at)
    except IndexError as error:
        raise DamagedLog(lsn_of(key), f"a frame of {len(value)} bytes") from error
    return version, first_lsn, count


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """Read one MessagePack integer >= 0; return it and the place behind it."""
    head = data[at]
    if head < 0x80:
        return head, at + 1
    size = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(head)
    if size is None:
        return -1, at + 1
    return int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size
