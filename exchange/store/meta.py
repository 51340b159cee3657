"""The rows of table `meta`: whose data it is, and what the last checkpoint was.

    key          entry, sealed like every other: MessagePack || blake2b-128(key || MessagePack)
    identity     [format version, cluster, node id, birth nonce, secret]
    checkpoint   [lsn, digest of the log there, {table: [entries, sum of their digests]}]
    base         [lsn, digest]: the log begins behind it; absent if it begins at LSN 1

The sum is that of all entry digests, read as big-endian numbers, modulo 2**128, in 16 bytes.
"""

from typing import TypeVar

import msgspec

from exchange.domain.units import Lsn, NodeId
from exchange.engine.messages import Proof
from exchange.store.disk import Change, Disk
from exchange.store.errors import DamagedTable, NewerFormat, WrongDirectory
from exchange.store.frames import FORMAT_VERSION, Identity, genesis
from exchange.store.tables import check_entry, seal

IDENTITY, CHECKPOINT, BASE = b"identity", b"checkpoint", b"base"
SUM_SIZE = 16
SUM_MODULUS = 1 << 128

T = TypeVar("T")


class TableSum(msgspec.Struct, array_like=True):
    """How many entries a table has, and the sum of their digests (W5)."""

    count: int = 0
    sum: bytes = bytes(SUM_SIZE)

    def plus(self, *, count: int, digests: int) -> "TableSum":
        """Return the sum after a change."""
        total = (int.from_bytes(self.sum, "big") + digests) % SUM_MODULUS
        return TableSum(self.count + count, total.to_bytes(SUM_SIZE, "big"))


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """What the tables hold: the state after the record at `lsn`."""

    lsn: Lsn
    digest: bytes  # of the log through `lsn`
    tables: dict[str, TableSum]


class _Version(msgspec.Struct, frozen=True, array_like=True):
    version: int


class _IdentityRow(msgspec.Struct, frozen=True, array_like=True):
    version: int
    cluster: str
    node_id: NodeId
    nonce: bytes
    secret: bytes = b""


def identity_change(identity: Identity) -> Change:
    """Make the row that names the owner."""
    row = _IdentityRow(FORMAT_VERSION, *msgspec.structs.astuple(identity))
    return ("meta", IDENTITY, seal(IDENTITY, row))


def checkpoint_change(checkpoint: Checkpoint) -> Change:
    """Make the row that goes with the entries of a checkpoint."""
    return ("meta", CHECKPOINT, seal(CHECKPOINT, checkpoint))


def read_identity(disk: Disk) -> Identity | None:
    """Return whose data it is, None on an empty disk; NewerFormat if we cannot read it."""
    head = _read(disk, IDENTITY, _Version)  # of another format the rest may have changed
    if head is not None and head.version > FORMAT_VERSION:
        raise NewerFormat(head.version, known=FORMAT_VERSION)
    row = _read(disk, IDENTITY, _IdentityRow)
    if row is None:
        return None
    return Identity(row.cluster, row.node_id, row.nonce, row.secret)


def read_checkpoint(disk: Disk, identity: Identity) -> Checkpoint:
    """Return what the last checkpoint was; the empty one at LSN 0 if there is none."""
    return _read(disk, CHECKPOINT, Checkpoint) or Checkpoint(Lsn(0), genesis(identity), {})


def read_base(disk: Disk, identity: Identity) -> Proof:
    """Return the proof behind which the log begins."""
    return _read(disk, BASE, Proof) or Proof(Lsn(0), genesis(identity))


def check_identity(found: Identity, expected: Identity) -> None:
    """Raise WrongDirectory if the data is of another cluster, node or birth (C3)."""
    if found == expected:
        return
    if found.cluster != expected.cluster:
        what = f"cluster {found.cluster}, not of {expected.cluster}"
    elif found.node_id != expected.node_id:
        what = f"node {found.node_id}, not of node {expected.node_id}"
    else:
        what = f"another life of node {found.node_id}: the birth nonces differ"
    raise WrongDirectory(f"the data is of {what}", remedy="give the right --data-dir")


def _read(disk: Disk, key: bytes, row: type[T]) -> T | None:
    sealed = disk.get("meta", key)
    if sealed is None:
        return None
    body = check_entry("meta", key, sealed)
    try:
        return msgspec.msgpack.decode(body, type=row)
    except msgspec.MsgspecError as error:
        raise DamagedTable("meta", key.decode(), str(error)) from error
