"""The dead-man switch: an account's orders are canceled unless it says in time that it lives.

    armed by                     | its orders are canceled
    -----------------------------+--------------------------------------------------------------
    `session.cancel_after`       | when so many seconds have passed and it was not armed again;
                                 | 0 disarms it.  Any connection, any gateway arms it again
    `session.cancel_on_disconnect` | when the connection ends that asked for it

Both are logged before they are answered (`SwitchSet`), and belong to the account.  A node that
starts again carries out what came due while it was down, before it serves anybody: all clients
have lost their connections then, and a deadline is reckoned by the wall clock, but never later
than the seconds that were asked for.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from exchange.domain.units import AccountId
from exchange.engine.state import Switch

SECOND_US = 1_000_000


class DeadMan:
    """The deadlines of the accounts of one node, and whose connections are watched."""

    def __init__(
        self,
        clock_us: Callable[[], int],
        *,
        switches: Iterable[Switch] = (),
        wall_us: Callable[[], int] = lambda: 0,
    ) -> None:
        self._clock_us = clock_us
        self._deadlines: dict[AccountId, int] = {}  # at most one per account
        self._watching: Counter[AccountId] = Counter()  # connections
        self.orphans: list[AccountId] = []  # watched when the node ended: they have no connection
        for switch in switches:
            if switch.is_watched:
                self.orphans.append(switch.account)
            if switch.cancel_after:
                whole_us = switch.cancel_after * SECOND_US
                left_us = min(whole_us, max(0, switch.ts + whole_us - wall_us()))
                self._deadlines[switch.account] = clock_us() + left_us

    def arm(self, account: AccountId, seconds: int) -> None:
        """Cancel the account's orders in this time; 0 is never."""
        if seconds:
            self._deadlines[account] = self._clock_us() + seconds * SECOND_US
        else:
            self._deadlines.pop(account, None)

    def watch(self, account: AccountId, *, is_on: bool) -> bool:
        """Count a connection that is watched, or is no more; tell whether one of them is left."""
        self._watching[account] += 1 if is_on else -1
        if not self._watching[account]:
            del self._watching[account]
        return account in self._watching

    def due(self) -> list[AccountId]:
        """Return the accounts that were not heard of in time, each once."""
        if not self._deadlines:
            return []
        now_us = self._clock_us()
        late = [account for account, deadline in self._deadlines.items() if deadline <= now_us]
        for account in late:
            del self._deadlines[account]
        return late
