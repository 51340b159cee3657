"""Seeded random order flow over any number of instruments and accounts.

Each instrument has a middle that wanders.  Of a hundred actions about 55 place a resting
order near it, 20 aggress, 15 cancel and 10 amend.  Accounts are drawn at random, so that an
account may meet itself: self-trade prevention is part of the flow (S10).
"""

from random import Random

from exchange.client.flow import (
    ACCOUNTS_MIN,
    Action,
    Aggress,
    Amend,
    Cancel,
    Flow,
    FlowError,
    Place,
)
from exchange.domain.instruments import Instrument, plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import Lots, Symbol, Ticks

INSTRUMENTS_MAX = 10_000  # what the exchange is designed for
MIDDLE = 10_000  # ticks: 100.00
MIDDLE_MIN = 100  # ticks: every price drawn around it stays above zero
SPREAD = 12  # ticks: resting orders are up to this far from the middle
QUANTITY_MAX = 20
LIVE_MAX = 200  # orders of an instrument that are cancelled and amended; older ones just rest


def generate(*, seed: int, instruments: int, accounts: int, orders: int) -> Flow:
    """Make random flow; the same arguments make the same flow."""
    if not 0 < instruments <= INSTRUMENTS_MAX:
        raise FlowError(f"--instruments {instruments}: from 1 to {INSTRUMENTS_MAX}")
    if accounts < ACCOUNTS_MIN:
        raise FlowError(f"--accounts {accounts}: at least {ACCOUNTS_MIN} are needed")
    if orders < 1:
        raise FlowError(f"--orders {orders}: at least 1 is needed")
    listed = tuple(plain_ticker(ticker(number)) for number in range(instruments))
    maker = _Maker(Random(seed), listed, accounts)
    actions = [maker.next_action(line) for line in range(1, orders + 1)]
    return Flow(listed, accounts, actions)


def ticker(number: int) -> str:
    """Name an instrument: AAA, AAB, ... ZZZ, enough for INSTRUMENTS_MAX."""
    letters = ""
    for _ in range(3):
        number, place = divmod(number, 26)
        letters = chr(ord("A") + place) + letters
    return letters


class _Market:
    """What the generator remembers of one instrument."""

    def __init__(self, symbol: Symbol) -> None:
        self.symbol = symbol
        self.middle = MIDDLE
        self.live: list[tuple[str, Side]] = []


class _Maker:
    def __init__(self, random: Random, listed: tuple[Instrument, ...], accounts: int) -> None:
        self._random = random
        self._markets = [_Market(instrument.symbol) for instrument in listed]
        self._accounts = accounts

    def next_action(self, line: int) -> Action:
        random = self._random
        market = random.choice(self._markets)
        market.middle = max(MIDDLE_MIN, market.middle + random.randint(-1, 1))
        drawn = random.random()
        if drawn < 0.55 or not market.live:
            return self._place(line, market)
        if drawn < 0.75:
            return self._aggress(line, market)
        key, side = market.live[random.randrange(len(market.live))]
        if drawn < 0.90:
            quantity = None if random.random() < 0.7 else self._quantity()
            return Cancel(line, market.symbol, key, quantity)
        return Amend(line, market.symbol, key, self._price(market, side), self._quantity())

    def _place(self, line: int, market: _Market) -> Place:
        side = self._side()
        key = f"r{line}"
        market.live.append((key, side))
        if len(market.live) > LIVE_MAX:
            del market.live[0]
        account = self._random.randrange(self._accounts)
        price = self._price(market, side)
        return Place(line, market.symbol, key, account, side, price, self._quantity())

    def _aggress(self, line: int, market: _Market) -> Aggress:
        side = self._side()
        through = SPREAD // 2 if side is Side.BUY else -(SPREAD // 2)
        return Aggress(
            line,
            market.symbol,
            f"t{line}",
            self._random.randrange(self._accounts),
            side,
            Ticks(market.middle + through),
            self._quantity(),
        )

    def _price(self, market: _Market, side: Side) -> Ticks:
        """Draw a price on the side's own half, one in ten a little beyond the middle."""
        away = self._random.randint(-1, SPREAD) if self._random.random() < 0.1 else 0
        away = away or self._random.randint(1, SPREAD)
        return Ticks(market.middle - away if side is Side.BUY else market.middle + away)

    def _side(self) -> Side:
        return Side.BUY if self._random.random() < 0.5 else Side.SELL

    def _quantity(self) -> Lots:
        return Lots(self._random.randint(1, QUANTITY_MAX))
