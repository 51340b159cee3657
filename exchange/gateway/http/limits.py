"""What a request costs, who pays for it, and how much of anything a client may hold (faults 3).

    a request                      | is paid by                | beyond it
    -------------------------------+---------------------------+------------------------------
    with a key that has been good  | its account, all its keys | 429 after PENALTY_S
    a cancel with such a key       | the account's cancels     | the same: orders do not use it up
    with another key, or with none | the address               | the same
    that a node answers with 401   | the address, FAILED_PRICE | the same

A key is good once a node has accepted it, so made-up keys are paid by who makes them up, and
users behind one address are told apart by their keys.  Every request has a price, also one
that leads nowhere; `Endpoint.price` says it, and `RequestGuard.charge` is the one place where
it is taken.  A list of orders is one request here; the node counts each of them again.

The answer 429 is as much work as any other.  So it comes late: a client that sends without
regard to its answers is held up by its own connections, and does not hold up others.

    beside requests                | bound
    -------------------------------+--------------------------------------------------------
    TLS handshakes of an address   | handshake_rate a second: those beyond it wait their turn,
                                   | and are closed if that would be longer than WAIT_MAX_S
    bytes of unfinished bodies     | BODIES_SIZE in all, BODIES_OF_ADDRESS of one address: 503
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from ipaddress import IPv6Address, ip_address

import msgspec

from exchange.gateway.http.problems import ProblemError, refuse
from exchange.process.limits import BURST_S, Budget, Guard, Standing

KNOWN_MAX = 16_384  # good keys remembered; the one not used for longest is forgotten
PENALTY_S = 0.5
FAILED_PRICE = 5  # a key looked up, hashed, and refused by a node
WAIT_MAX_S = 5.0
ADDRESSES_MAX = 16_384  # whose handshakes are remembered
BODIES_SIZE = 1 << 27
BODIES_OF_ADDRESS = 1 << 25


class Receipt(msgspec.Struct, frozen=True):
    """Whether a request is paid, and what its payer has left; None has no limit."""

    is_paid: bool
    standing: Standing | None

    def headers(self) -> dict[str, str]:
        """Return what is told with the answer: requests, and seconds until all are there again."""
        if self.standing is None:
            return {}
        return {
            "RateLimit-Limit": str(self.standing.limit),
            "RateLimit-Remaining": str(self.standing.remaining),
            "RateLimit-Reset": str(self.standing.reset_s),
        }


class RequestGuard:
    """Who pays for the requests of one gateway."""

    def __init__(self, guard: Guard, payer_of: Callable[[str], Hashable] = str) -> None:
        self._guard = guard
        self._payer_of = payer_of  # of a key: another key of an account is no other budget
        self._good: OrderedDict[str, None] = OrderedDict()

    def charge(self, key: str, address: str, price: int, *, is_cancel: bool = False) -> Receipt:
        """Take the price of a request from whoever pays for it; see the table above."""
        if key in self._good:
            self._good.move_to_end(key)
            payer = self._payer_of(key)
            of = self._guard.of_cancels if is_cancel else self._guard.of_account
            budget = of(payer)
        else:
            budget = self._of_address(address)
        budget.refill()
        is_paid = budget.take(price)
        self._guard.refused += not is_paid
        return Receipt(is_paid, budget.standing())

    def learn(self, key: str, address: str, *, is_good: bool) -> None:
        """Note what a node has said of a key."""
        if not is_good:
            self._good.pop(key, None)
            self._of_address(address).charge(FAILED_PRICE)
        elif key:
            self._good[key] = None
            if len(self._good) > KNOWN_MAX:
                self._good.popitem(last=False)

    def check(self) -> None:
        """Assert the invariants."""
        self._guard.check()
        assert len(self._good) <= KNOWN_MAX, "good keys are bounded"

    def _of_address(self, address: str) -> Budget:
        return self._guard.of_address(address or "unknown")


class Handshakes:
    """When the next TLS handshake of an address may begin."""

    def __init__(self, rate: int, clock_us: Callable[[], int]) -> None:
        self._rate = rate
        self._clock_us = clock_us
        self._next_us: OrderedDict[str, int] = OrderedDict()  # by address

    def wait_s(self, address: str) -> float | None:
        """Return for how long to wait, having taken a place; None if that is too long."""
        if not self._rate or not address:
            return 0.0
        now_us = self._clock_us()
        earliest_us = now_us - BURST_S * 1_000_000
        place_us = max(self._next_us.pop(address, 0), earliest_us)
        wait_s = max(0.0, (place_us - now_us) / 1e6)
        if wait_s <= WAIT_MAX_S:
            place_us += 1_000_000 // self._rate
        self._next_us[address] = place_us
        if len(self._next_us) > ADDRESSES_MAX:
            self._next_us.popitem(last=False)
        return wait_s if wait_s <= WAIT_MAX_S else None


class Bodies:
    """Bytes of bodies that are not whole yet: connections times the largest body is too much."""

    def __init__(self, size: int = BODIES_SIZE, of_address: int = BODIES_OF_ADDRESS) -> None:
        self._size = size
        self._of_address = of_address
        self._held: Counter[str] = Counter()
        self.total = 0  # == sum of the above

    def take(self, address: str, size: int) -> None:
        """Hold some more; 503 if there is no room."""
        if self.total + size > self._size or self._held[address] + size > self._of_address:
            raise _no_room()
        self._held[address] += size
        self.total += size

    def give(self, address: str, size: int) -> None:
        """Hold so much less."""
        self._held[address] -= size
        self.total -= size
        if not self._held[address]:
            del self._held[address]


def address_of(host: str) -> str:
    """Return what stands for a client: its address, or the /64 that is a household's in IPv6."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


def _no_room() -> ProblemError:
    return refuse(503, "unavailable", "too many bodies are on their way just now; try again")
