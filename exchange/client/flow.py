"""Order flow: what to do to a market, line by line, before any server is involved.

    Place    enter a resting order (GTC); it may trade at once
    Amend    give a resting order a new price and a new *open* quantity
    Cancel   lower a resting order by a quantity, or remove it
    Aggress  enter an immediate-or-cancel order, with the fills that are expected of it

Orders are known by a key of the source; accounts are numbered from 0.  Sources are files
(`flow_file`) and seeded random flow (`flow_random`); `oracle` says what must come of it.
"""

from collections.abc import Sequence
from itertools import cycle

import msgspec

from exchange.domain.instruments import Instrument
from exchange.domain.orders import Side
from exchange.domain.units import Lots, Symbol, Ticks

ACCOUNTS_MIN = 3  # resting buys, resting sells, aggressors


class FlowError(Exception):
    """A file or option that is no order flow; the message names the place and the remedy."""

    exit_code = 2


class Hit(msgspec.Struct, frozen=True, order=True):
    """A resting order that was hit, and for how much."""

    key: str
    quantity: Lots


class Place(msgspec.Struct, frozen=True):
    line: int  # of the source, from 1
    symbol: Symbol
    key: str
    account: int
    side: Side
    price: Ticks
    quantity: Lots


class Amend(msgspec.Struct, frozen=True):
    line: int
    symbol: Symbol
    key: str
    price: Ticks
    open_quantity: Lots  # what is to be open, without what has traded


class Cancel(msgspec.Struct, frozen=True):
    line: int
    symbol: Symbol
    key: str
    quantity: Lots | None = None  # None removes all that is open


class Aggress(msgspec.Struct, frozen=True):
    line: int
    symbol: Symbol
    key: str  # unique: the same order may aggress several times
    account: int
    side: Side
    price: Ticks
    quantity: Lots
    expected: tuple[Hit, ...] | None = None  # what the source saw; None = it does not say


Action = Place | Amend | Cancel | Aggress


class Flow(msgspec.Struct, frozen=True):
    """Order flow and the instruments it is about."""

    instruments: tuple[Instrument, ...]
    accounts: int
    actions: Sequence[Action]
    ignored: int = 0  # lines that name orders from before the source began


class Spread:
    """Deals orders out to accounts: resting buys, resting sells, and aggressors apart.

    An account does one of the three, so none ever meets itself (S10), and the fills do not
    depend on how many accounts there are.
    """

    def __init__(self, accounts: int) -> None:
        if accounts < ACCOUNTS_MIN:
            raise FlowError(f"--accounts {accounts}: at least {ACCOUNTS_MIN} are needed")
        takers = max(1, accounts // 4)  # about one order in thirteen of the files takes
        buyers = (accounts - takers) // 2
        self._buyers = cycle(range(buyers))
        self._sellers = cycle(range(buyers, accounts - takers))
        self._takers = cycle(range(accounts - takers, accounts))

    def maker(self, side: Side) -> int:
        """Return the account of the next resting order of a side."""
        return next(self._buyers if side is Side.BUY else self._sellers)

    def taker(self) -> int:
        """Return the account of the next aggressor."""
        return next(self._takers)
