"""Show records and values as people and programs read them: ids as text, names for numbers."""

from datetime import UTC, datetime
from enum import IntEnum

import msgspec

from exchange.domain.units import format_id
from exchange.engine.records import OfferId, Record

_IDS = {"account", "order_id", "trade_id", "maker", "taker"}


def describe(record: Record) -> tuple[str, dict[str, object]]:
    """Return a record's type name and its fields."""
    fields = {name: _value(name, getattr(record, name)) for name in record.__struct_fields__}
    return type(record).__name__, fields


def time_text(micros: int) -> str:
    """Write a time as RFC 3339 in UTC with microseconds; the number itself if it is no time."""
    try:
        stamp = datetime.fromtimestamp(micros // 1_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(micros)
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.{micros % 1_000_000:06d}Z"


def size_text(count: int) -> str:
    """Write a number of bytes in the unit that people use for it."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("a size has a unit")


def counted(number: int, one: str, many: str = "") -> str:
    """Write a number and what it counts."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _value(name: str, value: object) -> object:
    if name in _IDS and isinstance(value, int):
        return format_id(value)
    if name == "ts" and isinstance(value, int):
        return time_text(value)
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, str):
        return str(value)  # of a StrEnum its text
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, OfferId):
        return f"{value.epoch}.{value.seq}"
    if isinstance(value, msgspec.Struct):
        return {field: _value(field, getattr(value, field)) for field in value.__struct_fields__}
    return value
