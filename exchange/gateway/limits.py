"""How many requests a second one key or one address may send over HTTP (faults 3).

    request                        | is paid by                | beyond it
    -------------------------------+---------------------------+------------------------------
    with a key that has been good  | the key                   | 429 after PENALTY_S
    with another key, or with none | the address               | the same
    a cancel                       | nobody                    | a cancel always has budget

A key is good once a node has accepted it, so made-up keys are paid by who makes them up, and
users behind one address are told apart by their keys.  A list of orders is one request here;
the node counts each of them again.

The answer 429 is as much work as any other.  So it comes late: a client that sends without
regard to its answers is held up by its own connections, and does not hold up others.
"""

from collections import OrderedDict

from exchange.coordinator.keys import owner_of
from exchange.process.limits import Guard

KNOWN_MAX = 16_384  # good keys remembered; the one not used for longest is forgotten
PENALTY_S = 0.5


class RequestGuard:
    """Who pays for the requests of one gateway."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._good: OrderedDict[str, None] = OrderedDict()

    def take(self, key: str, address: str, *, is_cancel: bool) -> bool:
        """Pay for a request; False if there is nothing left to pay it with."""
        if is_cancel:
            return True
        if key in self._good:
            self._good.move_to_end(key)
            budget = self._guard.of_account(owner_of(key) or key)
        else:
            budget = self._guard.of_address(address or "unknown")
        is_paid = budget.take()
        self._guard.refused += not is_paid
        return is_paid

    def learn(self, key: str, *, is_good: bool) -> None:
        """Note what a node has said of a key."""
        if not is_good:
            self._good.pop(key, None)
        elif key:
            self._good[key] = None
            if len(self._good) > KNOWN_MAX:
                self._good.popitem(last=False)

    def check(self) -> None:
        """Assert the invariants."""
        self._guard.check()
        assert len(self._good) <= KNOWN_MAX, "good keys are bounded"
