"""The dead-man switch: an account's orders are canceled unless it says in time that it lives.

The client arms it for some seconds and arms it again before they are over; 0 disarms it.  It
belongs to the account, not to a connection: any connection, and any gateway, can arm it again.
It is not logged.  A node that starts again has forgotten it, and the client, which lost its
connection, arms it anew.
"""

from collections.abc import Callable

from exchange.domain.units import AccountId


class DeadMan:
    """The deadlines of the accounts of one node."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._deadlines: dict[AccountId, int] = {}  # at most one per account

    def arm(self, account: AccountId, seconds: int) -> None:
        """Cancel the account's orders in this time; 0 is never."""
        if seconds:
            self._deadlines[account] = self._clock_us() + seconds * 1_000_000
        else:
            self._deadlines.pop(account, None)

    def due(self) -> list[AccountId]:
        """Return the accounts that were not heard of in time, each once."""
        if not self._deadlines:
            return []
        now_us = self._clock_us()
        late = [account for account, deadline in self._deadlines.items() if deadline <= now_us]
        for account in late:
            del self._deadlines[account]
        return late
