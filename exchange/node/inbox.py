"""What waits to be decided, taken from everybody in turn.

First come, first served would let a client that has thousands of orders under way hold up
whoever comes behind them.  So each source (a connection; peers and the node itself are one)
has a queue of its own, and a turn takes a share from each, round after round, until it is
full.  The order within a source is kept; between sources there never was one to keep, since
they reach the node over different sockets.

A flood makes turns short: whoever arrives during one waits for the rest of it.
"""

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

SHARE = 32  # what one source gives in a round
FLOOD = 4  # turns' worth waiting of one source: turn and share are divided by it


class Inbox(Generic[T]):
    """Queues of sources; those that gave last come last in the next round."""

    def __init__(self) -> None:
        self._queues: dict[int, deque[T]] = {}  # none of them empty
        self._count = 0

    def __len__(self) -> int:
        """Return how much waits."""
        return self._count

    def put(self, source: int, items: Sequence[T]) -> None:
        """Append to the queue of a source."""
        if not items:
            return
        queue = self._queues.get(source)
        if queue is None:
            queue = self._queues[source] = deque()
        queue.extend(items)
        self._count += len(items)

    def take(self, limit: int) -> list[T]:
        """Remove and return up to `limit` inputs, at most SHARE of a source in a round."""
        taken: list[T] = []
        queues, share = self._queues, SHARE
        if any(len(queue) > FLOOD * limit for queue in queues.values()):
            limit, share = limit // FLOOD, share // FLOOD
        while queues and len(taken) < limit:
            source, queue = next(iter(queues.items()))
            del queues[source]
            room = min(share, limit - len(taken))
            if len(queue) <= room:
                taken += queue
            else:
                taken += [queue.popleft() for _ in range(room)]
                queues[source] = queue  # behind all others
        self._count -= len(taken)
        return taken
