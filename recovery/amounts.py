"""Amounts in records, as people read them: decimals, each with what it is a number of.

A price is so much of the quote asset, a quantity so much of the base asset (M1, M2).  Where the
instrument is not known, because the log begins behind its listing, ticks and lots are called so.
"""

from collections.abc import Iterable, Mapping

from exchange.domain.instruments import CASH, CASH_DECIMALS, Instrument, asset_scale
from exchange.engine.records import Record, Transferred
from recovery.show import counted
from recovery.subjects import Subjects

_PRICES = ("price", "limit")
_QUANTITIES = ("quantity", "decided", "answer")
_FIRST = ("filled", "offered", "removed")  # what the first answer said, in lots


def amounts(record: Record, subjects: Subjects) -> dict[str, str]:
    """Return the prices, quantities and amounts of a record, by the name of the field."""
    if isinstance(record, Transferred):
        return {"amount": money_text(record.amount, record.asset, subjects.instruments.values())}
    return terms(record, subjects.instrument(record))


def terms(record: Record, instrument: Instrument | None) -> dict[str, str]:
    """Return the prices and quantities of a record about an instrument."""
    found = {}
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name in _PRICES:
            found[name] = price_text(value, instrument)
        elif name in _QUANTITIES:
            found[name] = quantity_text(value, instrument)
        elif name == "first":
            for part in _FIRST:
                found[f"first.{part}"] = quantity_text(getattr(value, part), instrument)
            found["first.cost"] = cost_text(value.cost, instrument)
    return found


def price_text(price: int, instrument: Instrument | None) -> str:
    """Write a price of so many ticks."""
    if instrument is None:
        return counted(price, "tick")
    return f"{instrument.rule.tick.text(price)} {instrument.quote}"


def quantity_text(quantity: int, instrument: Instrument | None) -> str:
    """Write a quantity of so many lots."""
    if instrument is None:
        return counted(quantity, "lot")
    return f"{instrument.rule.lot.text(quantity)} {instrument.base}"


def cost_text(cost: int, instrument: Instrument | None) -> str:
    """Write a sum of price x quantity, in ticks x lots."""
    if instrument is None:
        return f"{cost} ticks x lots"
    scale = asset_scale(instrument.quote_decimals)
    return f"{scale.text(cost * instrument.rule.tick_value)} {instrument.quote}"


def money_text(amount: int, asset: str, instruments: Iterable[Instrument]) -> str:
    """Write an amount of so many of the smallest units of an asset."""
    decimals = decimals_of(instruments).get(asset)
    if decimals is None:
        return f"{counted(amount, 'smallest unit')} of {asset}"
    return f"{asset_scale(decimals).text(amount)} {asset}"


def decimals_of(instruments: Iterable[Instrument]) -> Mapping[str, int]:
    """Return the decimals of every asset that is traded, and of cash."""
    found: dict[str, int] = {CASH: CASH_DECIMALS}
    for instrument in instruments:
        found[instrument.base] = instrument.base_decimals
        found[instrument.quote] = instrument.quote_decimals
    return found
