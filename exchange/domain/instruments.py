"""Instruments, and the one place where decimals become integers and back (M1, M2).

A price is a whole number of ticks, a quantity a whole number of lots.  Both units are
decimal fractions, kept as text in the instrument and as integers scaled by a power of
ten in `Scale`.  A decimal that is not a whole number of them is an error, never rounded.
"""

import re
from decimal import Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Self

import msgspec

from exchange.domain.names import SYMBOL_WORDS, is_symbol
from exchange.domain.units import PRICE_MAX, QUANTITY_MAX, Asset, Lots, Symbol, Ticks, Units

CASH = Asset("USD")
CASH_DECIMALS = 2
DECIMALS_MAX = 12
NUMBER_TEXT_MAX = 40  # characters: longer than any number in bounds, short enough to convert
_EXACT = Context(prec=4 * NUMBER_TEXT_MAX)  # the default rounds to 28 digits, in silence (M1)
_NUMBER = re.compile(r"\A-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?\Z", re.ASCII)


class NumberError(ValueError):
    """A number that is not one, or not a whole number of units; the message says which."""


class Scale(msgspec.Struct, frozen=True):
    """A unit of `mantissa` x 10**-`decimals`, such as 25 and 2 for a tick of 0.25."""

    mantissa: int
    decimals: int

    @classmethod
    def of(cls, text: str) -> Self:
        """Read a unit such as `0.25`; it must be above zero."""
        value = parse_decimal(text)
        exponent = value.as_tuple().exponent
        assert isinstance(exponent, int), "a finite number"
        decimals = max(0, -exponent)
        mantissa = int(value.scaleb(decimals, _EXACT))
        if mantissa <= 0 or decimals > DECIMALS_MAX:
            raise NumberError(f"{text} is not a unit above zero with up to {DECIMALS_MAX} decimals")
        return cls(mantissa, decimals)

    def count(self, number: "int | str | Decimal", name: str, *, bound: int | None = None) -> int:
        """Return how many whole units `number` is; `name` is what the error calls it.

        With a bound the count must lie between 1 and it (faults 2.7).
        """
        value = parse_decimal(number)
        scaled = value.scaleb(self.decimals, _EXACT)
        whole = int(scaled) if scaled.adjusted() < NUMBER_TEXT_MAX else None
        if whole is None or whole != scaled or whole % self.mantissa:
            raise NumberError(f"{name} {number} is not a whole number of {self.text(1)}")
        count = whole // self.mantissa
        if bound is not None and not 0 < count <= bound:
            raise NumberError(f"{name} {number} is not above zero and up to {self.text(bound)}")
        return count

    def text(self, count: int) -> str:
        """Write `count` units in the shortest exact form."""
        scaled = count * self.mantissa
        if not self.decimals:
            return str(scaled)
        sign, digits = ("-", -scaled) if scaled < 0 else ("", scaled)
        whole, fraction = divmod(digits, 10**self.decimals)
        tail = f"{fraction:0{self.decimals}d}".rstrip("0")
        return f"{sign}{whole}.{tail}" if tail else f"{sign}{whole}"


def parse_decimal(number: "int | str | Decimal") -> Decimal:
    """Read a decimal exactly; bounded before it is converted, so never slow (faults 3)."""
    if isinstance(number, Decimal):
        value = number
    else:
        text = str(number) if not isinstance(number, int) or abs(number) < 10**40 else ""
        if len(text) > NUMBER_TEXT_MAX or not _NUMBER.match(text):
            raise NumberError(f"not a decimal number of up to {NUMBER_TEXT_MAX} characters")
        try:
            value = Decimal(text)
        except InvalidOperation as error:  # pragma: no cover - the pattern excludes it
            raise NumberError("not a decimal number") from error
    if not value.is_finite() or len(value.as_tuple().digits) > NUMBER_TEXT_MAX:
        raise NumberError("not a finite decimal number of reasonable length")
    if abs(value.adjusted()) > NUMBER_TEXT_MAX:
        raise NumberError("number out of range")
    return value


class Instrument(msgspec.Struct, frozen=True, array_like=True):
    """What is traded: `base` for `quote`, in ticks and lots.  Decimals belong to the assets."""

    symbol: Symbol
    base: Asset
    quote: Asset
    tick_size: str  # quote per base, a decimal such as "0.01"
    lot_size: str  # base, a decimal such as "1"
    base_decimals: int
    quote_decimals: int

    @property
    def rule(self) -> "Rule":
        """Return the integer arithmetic of this instrument (cached)."""
        return _rule(self)


class Rule(msgspec.Struct, frozen=True):
    """Integer arithmetic of an instrument."""

    instrument: Instrument
    symbol: Symbol  # the one string that all orders share
    base: Asset
    quote: Asset
    tick: Scale
    lot: Scale
    tick_value: int  # quote units per tick and lot: a trade moves price x quantity x tick_value
    lot_value: int  # base units per lot

    def price(self, number: int | str | Decimal) -> Ticks:
        """Convert a price to ticks, within bounds and exactly or not at all."""
        return Ticks(self.tick.count(number, "price", bound=PRICE_MAX))

    def quantity(self, number: int | str | Decimal) -> Lots:
        """Convert a quantity to lots, within bounds and exactly or not at all."""
        return Lots(self.lot.count(number, "quantity", bound=QUANTITY_MAX))


def plain_ticker(symbol: str) -> Instrument:
    """Return the default listing of a ticker: against USD, tick 0.01, lot 1 (M2)."""
    return Instrument(Symbol(symbol), Asset(symbol), CASH, "0.01", "1", 0, CASH_DECIMALS)


def check_instrument(instrument: Instrument) -> None:
    """Raise NumberError where a listing is not allowed (M2)."""
    if not all(map(is_symbol, (instrument.symbol, instrument.base, instrument.quote))):
        raise NumberError(f"symbol, base and quote are {SYMBOL_WORDS}")
    if instrument.base == instrument.quote:
        raise NumberError("base and quote are the same asset")
    for decimals in (instrument.base_decimals, instrument.quote_decimals):
        if not 0 <= decimals <= DECIMALS_MAX:
            raise NumberError(f"decimals go from 0 to {DECIMALS_MAX}")
    _rule(instrument)


def asset_scale(decimals: int) -> Scale:
    """Return the scale of an asset's smallest unit."""
    return Scale(1, decimals)


@lru_cache(maxsize=16_384)  # above the 10**4 instruments the exchange is designed for
def _rule(instrument: Instrument) -> Rule:
    tick, lot = Scale.of(instrument.tick_size), Scale.of(instrument.lot_size)
    lot_value = _whole(lot.mantissa, instrument.base_decimals - lot.decimals)
    shift = instrument.quote_decimals - tick.decimals - lot.decimals
    tick_value = _whole(tick.mantissa * lot.mantissa, shift)
    if not lot_value:
        raise NumberError(f"lot size {instrument.lot_size} is not whole in {instrument.base} units")
    if not tick_value:
        raise NumberError(f"tick x lot is not whole in {instrument.quote} units")
    if tick_value > 10**9 or lot_value > 10**12:
        raise NumberError("tick x lot is out of range")
    return Rule(
        instrument,
        instrument.symbol,
        instrument.base,
        instrument.quote,
        tick,
        lot,
        tick_value,
        lot_value,
    )


def _whole(mantissa: int, shift: int) -> int:
    """Return mantissa x 10**shift, 0 if it is not whole."""
    power: int = 10 ** abs(shift)  # an int for int exponents that are not negative
    if shift >= 0:
        return mantissa * power
    return 0 if mantissa % power else mantissa // power


def money(units: int, decimals: int) -> str:
    """Write an amount of an asset in the shortest exact form."""
    return Scale(1, decimals).text(Units(units))
