"""The registry on disk: a short log of frames, rewritten as one frame now and then.

    key in table `log`    frame number, 8 bytes, big-endian, from 1
    value                 body || blake2b-128(digest of the frame before || body)
    body                  MessagePack array [version, number, is_base, previous, records]
    previous              digest of the frame before; 16 zero bytes before the first
    `head` in `meta`      MessagePack [number, digest] || blake2b-128(key || MessagePack)

A base frame holds the whole registry as records, so that what came before it can go.  A frame
and its head are one forced write (W2): the head shows that no frame is missing at the end,
the chain that none was changed (W4).  Only `Registry` knows what the records mean.
"""

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Self

import msgspec

from exchange.coordinator.errors import DamagedRegistry
from exchange.coordinator.registry import (
    ClusterFounded,
    InstrumentListed,
    NodeRenewed,
    Registry,
    RegistryRecord,
    apply,
)
from exchange.domain.units import NodeId
from exchange.store.directory import Directory
from exchange.store.disk import Change, Disk
from exchange.store.errors import DamagedTable, NewerFormat, WrongDirectory
from exchange.store.frames import DIGEST_SIZE, Identity
from exchange.store.tables import check_entry, seal

FORMAT_VERSION = 1
CLUSTER_OF_COORDINATORS = "coordinator"  # the identity of a coordinator's data directory
NOBODY = NodeId(0)  # no node has this id, so no node's directory is taken for a coordinator's
FRAMES_MAX = 1024  # between two base frames: what a start reads back stays small
GENESIS = bytes(DIGEST_SIZE)
HEAD = b"head"


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """The records of one force."""

    version: int
    number: int
    is_base: bool
    previous: bytes
    records: list[RegistryRecord]


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The last frame."""

    number: int
    digest: bytes


class RegistryStore:
    """Reads the registry back, and forces its records."""

    def __init__(self, disk: Disk, *, has_room: Callable[[], bool] = lambda: True) -> None:
        self._disk = disk
        self.has_room = has_room  # for new nodes, accounts and listings (W7)
        self.registry = Registry()
        self._head = Head(0, GENESIS)
        self._base = 0  # number of the last base frame, the first that is kept
        self._load()

    @classmethod
    def open(cls, directory: Directory, *, nonce: bytes) -> Self:
        """Open the registry in a locked directory; make it if the directory is new (W6)."""
        identity = directory.identity()
        if identity is None:
            directory.create(Identity(CLUSTER_OF_COORDINATORS, NOBODY, nonce))
        elif identity.node_id != NOBODY:
            raise _of_a_node(directory.path, identity)
        disk = directory.open()
        try:
            return cls(disk, has_room=lambda: not disk.usage().is_full)
        except DamagedRegistry as error:
            disk.close()
            raise error.inside(directory.path) from error
        except BaseException:
            disk.close()
            raise

    def prepare(self, records: list[RegistryRecord]) -> list[Change]:
        """Encode one force.  All of the records are applied already, and nothing else is."""
        is_base = self._head.number - self._base >= FRAMES_MAX
        number, previous = self._head.number + 1, self._head.digest
        told = _everything(self.registry) if is_base else records
        body = msgspec.msgpack.encode(Frame(FORMAT_VERSION, number, is_base, previous, told))
        digest = _digest(previous + body)
        self._head = Head(number, digest)
        changes: list[Change] = [
            ("log", _key(number), body + digest),
            ("meta", HEAD, seal(HEAD, self._head)),
        ]
        if is_base:
            changes += [("log", _key(old), None) for old in range(max(1, self._base), number)]
            self._base = number
        return changes

    def commit(self, changes: list[Change]) -> None:
        """Force them.  StoreFailed leaves the outcome unknown: reopen and read back (E4)."""
        self._disk.write(changes)

    def close(self) -> None:
        """Close the environment."""
        self._disk.close()

    def _load(self) -> None:
        digest: bytes | None = None
        for key, value in self._disk.scan("log"):
            frame = _decode(key, value)
            number = frame.number
            if digest is None and not (frame.is_base or number == 1):
                raise DamagedRegistry(f"frame {number}", "frames before it are missing")
            if digest is not None and (frame.previous, number) != (digest, self._head.number + 1):
                raise DamagedRegistry(f"frame {number}", "it does not follow the one before")
            digest = value[-DIGEST_SIZE:]
            self._fold(frame)
            self._head = Head(number, digest)
        if self._head != self._read_head():
            raise DamagedRegistry(f"frame {self._head.number}", "it is not the last one written")

    def _fold(self, frame: Frame) -> None:
        if frame.is_base:
            self.registry = Registry()
            self._base = frame.number
        try:
            for record in frame.records:
                apply(self.registry, record)
            self.registry.check()
        except (AssertionError, KeyError) as error:
            raise DamagedRegistry(f"frame {frame.number}", f"impossible: {error}") from error

    def _read_head(self) -> Head:
        sealed = self._disk.get("meta", HEAD)
        if sealed is None:
            return Head(0, GENESIS)
        try:
            return msgspec.msgpack.decode(check_entry("meta", HEAD, sealed), type=Head)
        except (DamagedTable, msgspec.MsgspecError) as error:
            raise DamagedRegistry("its head", str(error)) from error


def _everything(registry: Registry) -> list[RegistryRecord]:
    """Tell the whole registry as records."""
    records: list[RegistryRecord] = [ClusterFounded(registry.cluster)] if registry.cluster else []
    nodes = registry.nodes.values()
    records += [NodeRenewed(*msgspec.structs.astuple(entry)) for entry in nodes]
    records += [InstrumentListed(instrument) for instrument in registry.instruments.values()]
    return records


def _decode(key: bytes, value: bytes) -> Frame:
    number = int.from_bytes(key, "big")
    body, digest = value[:-DIGEST_SIZE], value[-DIGEST_SIZE:]
    try:
        version = msgspec.msgpack.decode(body, type=list[object])[0]
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise NewerFormat(version, known=FORMAT_VERSION)
        frame = msgspec.msgpack.decode(body, type=Frame)
    except (msgspec.MsgspecError, IndexError, UnicodeDecodeError) as error:
        raise DamagedRegistry(f"frame {number}", "it cannot be read") from error
    if frame.number != number or digest != _digest(frame.previous + body):
        raise DamagedRegistry(f"frame {number}", "the digest does not fit the frame")
    return frame


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_SIZE).digest()


def _key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _of_a_node(path: Path, identity: Identity) -> WrongDirectory:
    return WrongDirectory(
        f"{path} is the data directory of node {identity.node_id}",
        remedy="give a coordinator a directory of its own",
    )
