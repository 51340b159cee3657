"""The one small interface through which the store reaches a disk.

LMDB in production (`lmdb_disk`), a crashing dictionary in the simulator.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

Change = tuple[str, bytes, bytes | None]  # table, key, new value; None deletes the key


class Disk(Protocol):
    """Ordered tables of byte strings, changed by atomic forced writes.

    A table that was never written is empty.  Keys are ordered as byte strings.
    """

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the durable value of a key."""
        ...

    def scan(
        self, table: str, start: bytes = b"", *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in order, from the first key >= `start` on.

        In reverse: from the last key <= `start` down; an empty `start` is the last key.
        """
        ...

    def write(self, changes: Sequence[Change]) -> None:
        """Make all changes durable, or none (W2, W5).  One call, one thread, one force (W3).

        Raises StoreFailed if the force failed: the outcome is unknown then (E4).
        """
        ...

    def close(self) -> None:
        """Give the disk back."""
        ...


@runtime_checkable
class GetsMany(Protocol):
    """A disk that reads many keys at the cost of one transaction."""

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the durable values of keys, in their order."""
        ...


def get_many(disk: Disk, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
    """Return the durable values of keys, in their order."""
    if isinstance(disk, GetsMany):
        return disk.get_many(table, keys)
    return [disk.get(table, key) for key in keys]
