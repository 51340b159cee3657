"""How much one account or one address may ask, and how many connections there may be (faults 3).

    what                                | bound
    ------------------------------------+------------------------
    work for one account, all its keys  | account_rate units a second
    work for others, bad keys           | address_rate units a second, each address
    clients                             | connections_max
    clients of one address              | connections_per_address
    a client that says and hears nothing| idle_s, at most twice
    TLS handshakes of one address       | handshake_rate a second

Who pays for what, and what becomes of those beyond a bound, nodes (`node.desk`, `node.prices`)
and gateways (`gateway.http.limits`) say themselves.  What runs inside a process has no address,
and only the limits of the accounts whose keys it brings.  Budgets are token buckets: full, they
allow a burst of two seconds' worth; who has anything left is served, and may so fall into debt
by one request.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from math import ceil
from typing import NamedTuple

import msgspec

BURST_S = 2
REMEMBERED = 65_536  # budgets; the one not asked for longest is forgotten, and so full again


class Limits(msgspec.Struct, frozen=True):
    """What a server is told to allow; 0 is without a limit."""

    account_rate: int = 0
    address_rate: int = 0
    connections_max: int = 0
    connections_per_address: int = 0
    idle_s: float = 0.0
    handshake_rate: int = 0  # TLS handshakes a second of one address


class Standing(NamedTuple):
    """What is left of a budget."""

    limit: int
    remaining: int
    reset_s: int  # until all of it is there again


class Budget:
    """A token bucket of units of work; it asks the clock only when it is empty."""

    def __init__(self, rate: int, clock_us: Callable[[], int]) -> None:
        self._rate = rate
        self._clock_us = clock_us
        self._filled_us = clock_us()
        self.left = float(rate * BURST_S)  # left <= rate * BURST_S; below zero is debt

    def take(self, price: int = 1) -> bool:
        """Spend the price of a request, in units of work; False if nothing is left to spend."""
        if self.left < 1:
            self.refill()
            if self.left < 1:
                return not self._rate
        self.left -= price
        return True

    def charge(self, price: int) -> None:
        """Spend what turned out to be owed, debt or not."""
        if self._rate:
            self.left -= price

    def standing(self) -> Standing | None:
        """Return what is left since `refill`; None without a limit."""
        if not self._rate:
            return None
        limit = self._rate * BURST_S
        remaining = max(0, int(self.left))
        return Standing(limit, remaining, ceil((limit - self.left) / self._rate))

    def refill(self) -> None:
        """Earn what is due by now."""
        now_us = self._clock_us()
        earned = (now_us - self._filled_us) * self._rate / 1_000_000
        self.left = min(self.left + earned, float(self._rate * BURST_S))
        self._filled_us = now_us


class Guard:
    """The budgets and the connections of one server."""

    def __init__(self, limits: Limits, clock_us: Callable[[], int]) -> None:
        self.limits = limits
        self._clock_us = clock_us
        self._budgets: OrderedDict[Hashable, Budget] = OrderedDict()
        self._inside = Budget(0, clock_us)
        self._clients: Counter[str] = Counter()  # by address
        self.count = 0  # of clients == sum of the above
        self.refused = 0  # requests and connections, since the start

    def of_account(self, name: Hashable) -> Budget:
        """Return the budget of an account: another key is no other budget."""
        return self._budget(("account", name), self.limits.account_rate)

    def of_cancels(self, name: Hashable) -> Budget:
        """Return the budget of an account's cancels: no flood of orders can use it up."""
        return self._budget(("cancels", name), self.limits.account_rate)

    def of_address(self, address: str) -> Budget:
        """Return the budget of an address; without end inside this process."""
        if not address:
            return self._inside
        return self._budget(("address", address), self.limits.address_rate)

    def enter(self, address: str) -> bool:
        """Count a client in, unless there are too many."""
        limits = self.limits
        is_full = bool(limits.connections_max) and self.count >= limits.connections_max
        most = limits.connections_per_address
        if address and (is_full or (most and self._clients[address] >= most)):
            self.refused += 1
            return False
        self._clients[address] += 1
        self.count += 1
        return True

    def leave(self, address: str) -> None:
        """Count a client out."""
        self._clients[address] -= 1
        self.count -= 1
        if not self._clients[address]:
            del self._clients[address]

    def check(self) -> None:
        """Assert the invariants."""
        assert self.count == sum(self._clients.values()), "clients are counted by address"
        assert len(self._budgets) <= REMEMBERED, "budgets are bounded"

    def _budget(self, name: Hashable, rate: int) -> Budget:
        budget = self._budgets.get(name)
        if budget is None:
            budget = self._budgets[name] = Budget(rate, self._clock_us)
            if len(self._budgets) > REMEMBERED:
                self._budgets.popitem(last=False)
        else:
            self._budgets.move_to_end(name)
        return budget
