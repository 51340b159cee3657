"""The one small interface through which the store reaches a disk.

LMDB in production (`lmdb_disk`), a crashing dictionary in the simulator.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

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


def get_many(disk: Disk, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
    """Return the durable values of keys, in their order; in one transaction if the disk can."""
    if not keys:
        return []
    read: Callable[[str, Sequence[bytes]], list[bytes | None]] | None
    read = getattr(disk, "get_many", None)
    if read is not None:
        found: list[bytes | None] = read(table, keys)
        return found
    return [disk.get(table, key) for key in keys]
