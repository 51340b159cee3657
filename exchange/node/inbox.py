"""What waits to be decided, taken from everybody in turn.

First come, first served would let a client that has thousands of orders under way hold up
whoever comes behind them.  So each source (a connection; peers and the node itself are one)
has a queue of its own, and a turn takes a share from each, round after round, until it is
full.  The order within a source is kept; between sources there never was one to keep, since
they reach the node over different sockets.

A flood makes turns short: whoever arrives during one waits for the rest of it.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

SHARE = 32  # what one source gives in a round
FLOOD = 4  # turns' worth waiting of one source: turn and share are divided by it


class Inbox(Generic[T]):
    """Queues of sources; those that gave last come last in the next round."""

    def __init__(self) -> None:
        self._queues: OrderedDict[int, deque[T]] = OrderedDict()  # none of them empty
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

    def put_back(self, source: int, items: Sequence[T], *, is_next: bool) -> None:
        """Put what could not be done before all else of its source; who is next comes first."""
        queue = self._queues.get(source)
        if queue is None:
            queue = self._queues[source] = deque()
        queue.extendleft(reversed(items))
        self._queues.move_to_end(source, last=not is_next)
        self._count += len(items)

    def take(self, limit: int) -> list[tuple[int, list[T]]]:
        """Remove and return up to `limit` inputs, at most SHARE of a source in a round."""
        taken: list[tuple[int, list[T]]] = []
        count = 0
        queues, share = self._queues, SHARE
        if any(len(queue) > FLOOD * limit for queue in queues.values()):
            limit, share = limit // FLOOD, share // FLOOD
        while queues and count < limit:
            source, queue = queues.popitem(last=False)
            room = min(share, limit - count)
            if len(queue) <= room:
                items = list(queue)
            else:
                items = [queue.popleft() for _ in range(room)]
                queues[source] = queue  # behind all others
            taken.append((source, items))
            count += len(items)
        self._count -= count
        return taken
