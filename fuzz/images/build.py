"""The states a power cut could leave, from a recording of writes and forces.  Pure.

write, not forced       any subset of its units may have reached the disk
write on a synchronous  durable when the call returns (LMDB writes its meta page so)
file descriptor
force                   what was written before it began is durable when it returns
"""

import random
from collections.abc import Iterator, Sequence

import msgspec

PAGE, SECTOR = 4096, 512


class Write(msgspec.Struct, frozen=True, tag=True):
    begin: float  # when the call was made
    end: float  # when it returned
    offset: int
    data: bytes
    is_synchronous: bool


class Force(msgspec.Struct, frozen=True, tag=True):
    begin: float
    end: float


class Resize(msgspec.Struct, frozen=True, tag=True):
    begin: float
    end: float
    size: int


Operation = Write | Force | Resize


class Recording(msgspec.Struct, frozen=True):
    """One file: as it was at first, and what was done to it, in the order of the calls."""

    base: bytes
    operations: list[Operation]

    def instants(self) -> list[float]:
        """Return the moments worth cutting at: within and between all calls."""
        moments: set[float] = set()
        for operation in self.operations:
            moments.update((operation.begin, (operation.begin + operation.end) / 2, operation.end))
        return sorted(moments)


def image_at(
    recording: Recording, instant: float, source: random.Random, *, unit: int = PAGE
) -> bytes:
    """Return one state that a cut at `instant` could leave."""
    image = bytearray(recording.base)
    pending: list[tuple[int, bytes]] = []
    for operation in recording.operations:
        if operation.begin >= instant:
            break
        is_done = operation.end < instant
        match operation:
            case Write() if operation.is_synchronous and is_done:
                _put(image, operation.offset, operation.data)
            case Write():
                pending += split(operation.offset, operation.data, unit)
            case Force() if is_done:
                for offset, data in pending:
                    _put(image, offset, data)
                pending.clear()
            case Resize() if operation.size > len(image):
                image.extend(bytes(operation.size - len(image)))
    for offset, data in _subset(pending, source):
        _put(image, offset, data)
    return bytes(image)


def split(offset: int, data: bytes, unit: int) -> Iterator[tuple[int, bytes]]:
    """Cut a write into the units that a disk writes whole."""
    place = 0
    while place < len(data):
        size = min(len(data) - place, unit - (offset + place) % unit)
        yield offset + place, data[place : place + size]
        place += size


def _subset(pending: Sequence[tuple[int, bytes]], source: random.Random) -> list[tuple[int, bytes]]:
    """Choose what reached the disk: nothing, all, all but one, only the newest, or any part."""
    match source.randrange(5):
        case 0:
            return []
        case 1:
            return list(pending)
        case 2 if pending:
            left_out = source.randrange(len(pending))
            return [unit for place, unit in enumerate(pending) if place != left_out]
        case 3:
            return list(pending[-1:])
        case _:
            part = source.random()
            return [unit for unit in pending if source.random() < part]


def _put(image: bytearray, offset: int, data: bytes) -> None:
    end = offset + len(data)
    if len(image) < end:
        image.extend(bytes(end - len(image)))
    image[offset:end] = data
