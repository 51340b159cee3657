"""What faults do to the network between nodes; pairs are (source, target) by node id."""

from collections.abc import Set
from typing import Protocol

Pair = tuple[int, int]


class Network(Protocol):
    """Relays on one host, or hosts of their own."""

    def cut(self, pairs: Set[Pair]) -> None:
        """Let nothing through, for each pair."""

    def mend(self, pairs: Set[Pair]) -> None:
        """Undo a cut."""

    def lose(self, pairs: Set[Pair], percent: int) -> None:
        """Lose so many packets of a hundred; 0 is none."""

    def slow(self, pairs: Set[Pair], seconds: float) -> None:
        """Hold every piece so long; 0 is not at all."""

    def break_links(self, low: int, high: int) -> None:
        """Reset the links between two nodes."""

    def heal(self) -> None:
        """Let everything through."""
