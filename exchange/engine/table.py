"""The containers of durable state: tables of entries that change, and histories that grow.

Both read through to the store for what they do not hold (E7), and know what of them is not
on the disk yet (W5).  `find` reads through; everything else is about what is in memory.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
G = TypeVar("G")
S = TypeVar("S", bound=int)


class Table(dict[K, V], Generic[K, V]):
    """Entries that change: a dictionary, and which of its keys changed."""

    __slots__ = ("dirty", "load")

    def __init__(self) -> None:
        self.dirty: set[K] = set()  # changed since the last checkpoint; absent = deleted
        self.load: Callable[[K], V | None] | None = None  # set by the store

    def find(self, key: K) -> V | None:
        """Return the entry, from memory or from the checkpoint."""
        value = self.get(key)
        if value is None and self.load is not None and key not in self.dirty:
            value = self.load(key)
            if value is not None:
                self[key] = value
        return value

    def put(self, key: K, value: V) -> None:
        """Set an entry and mark it changed."""
        self[key] = value
        self.dirty.add(key)

    def drop(self, key: K) -> None:
        """Delete an entry and mark it changed."""
        self.pop(key, None)
        self.dirty.add(key)


class History(Mapping[tuple[G, S], V], Generic[G, S, V]):
    """Entries that are added and never changed, numbered without a gap in each group.

    A group is an account or an instrument.  What is not on the disk is a run per group, so
    that adding costs next to nothing and a checkpoint takes each run as it is.
    """

    __slots__ = ("fresh", "load", "read", "writing")

    def __init__(self) -> None:
        self.fresh: dict[G, tuple[S, list[V]]] = {}  # first number, entries; not on the disk
        self.writing: dict[G, tuple[S, list[V]]] = {}  # in the checkpoint under way
        self.read: dict[tuple[G, S], V] = {}  # of the disk, until the store takes them away
        self.load: Callable[[tuple[G, S]], V | None] | None = None  # set by the store; fills `read`

    def append(self, group: G, number: S, entry: V) -> None:
        """Add the next entry of a group."""
        run = self.fresh.get(group)
        if run is None:
            self.fresh[group] = (number, [entry])
        else:
            run[1].append(entry)

    def find(self, key: tuple[G, S]) -> V | None:
        """Return the entry, from memory or from the checkpoint."""
        value = self.get(key)
        if value is None and self.load is not None:
            value = self.load(key)
        return value

    def __getitem__(self, key: tuple[G, S]) -> V:
        """Return an entry that is in memory."""
        group, number = key
        for runs in (self.fresh, self.writing):
            run = runs.get(group)
            if run is not None and 0 <= number - run[0] < len(run[1]):
                return run[1][number - run[0]]
        return self.read[key]

    def __iter__(self) -> Iterator[tuple[G, S]]:
        """Yield the keys in memory."""
        for runs in (self.writing, self.fresh):
            for group, (first, entries) in runs.items():
                for number in range(first, first + len(entries)):
                    yield group, number  # type: ignore[misc]  # an S, but `range` gives int
        yield from self.read

    def __len__(self) -> int:
        """Return how many entries are in memory."""
        runs = chain(self.fresh.values(), self.writing.values())
        return sum(len(entries) for _, entries in runs) + len(self.read)
