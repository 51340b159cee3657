"""Texts to what they stand for: numbers exactly or not at all (M1), names well-formed or not.

Everything here raises RefusedError, which `translate` turns into the refusal it carries.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from exchange.domain.instruments import CASH, NumberError, Rule, asset_scale
from exchange.domain.names import SYMBOL_WORDS, is_symbol
from exchange.domain.units import (
    AMOUNT_MAX,
    AccountId,
    Lots,
    OrderId,
    Symbol,
    Ticks,
    Units,
    parse_id,
)
from exchange.engine.effects import Refused

Count = TypeVar("Count")
_TEXT = msgspec.json.Decoder(str)


class RefusedError(Exception):
    """Ends a translation from within; never leaves it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.refused = Refused(code, detail)


def read_ticks(rule: Rule, symbol: Symbol, number: bytes) -> Ticks:
    """Read a price."""
    with_tick = f"the tick size of {symbol} is {rule.tick.text(1)}"
    return _exactly(rule.price, number, "price", with_tick)


def read_lots(rule: Rule, symbol: Symbol, number: bytes) -> Lots:
    """Read a quantity."""
    with_lot = f"the lot size of {symbol} is {rule.lot.text(1)}"
    return _exactly(rule.quantity, number, "quantity", with_lot)


def _exactly(read: Callable[[str], Count], number: bytes, name: str, hint: str) -> Count:
    try:
        return read(_text_of(number))
    except (NumberError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(f"invalid_{name}", f"{_named(name, error)}; {hint}") from error


def _named(name: str, error: Exception) -> str:
    """Say which field an error is about, once."""
    text = str(error)
    return text if text.startswith(f"{name} ") else f"{name}: {text}"


def read_amount(
    number: bytes, asset: str, decimals: int, name: str, *, minimum: int | None
) -> Units:
    """Read an amount of an asset; below the minimum or above the bound it is refused."""
    try:
        amount = asset_scale(decimals).count(_text_of(number), name)
    except (NumberError, msgspec.DecodeError, UnicodeDecodeError) as error:
        detail = f"{_named(name, error)}; {asset} has {decimals} decimals"
        raise RefusedError(f"invalid_{name}", detail) from error
    if amount > AMOUNT_MAX:
        detail = f"{name} is out of range: up to {asset_scale(decimals).text(AMOUNT_MAX)} {asset}"
        raise RefusedError("amount_out_of_range", detail)
    if minimum is not None and amount < minimum:
        raise RefusedError(f"invalid_{name}", f"{name} must be above zero")
    return Units(amount)


def is_cash(name: str) -> bool:
    """Tell whether a name is that of the cash asset."""
    return name == CASH


def _text_of(text: bytes) -> str:
    """Return the text of a JSON number, or of a JSON string that should hold one."""
    return _TEXT.decode(text) if text[:1] == b'"' else text.decode()


def read_symbol(text: str) -> Symbol:
    """Read a symbol or an asset."""
    if not is_symbol(text):
        raise RefusedError("invalid_symbol", f"a symbol is {SYMBOL_WORDS}")
    return Symbol(text)


def read_owner(user_id: str | None, account: AccountId) -> AccountId:
    """Read the user id of another account; None is the caller's own."""
    if user_id is None:
        return account
    owner = parse_id(user_id)
    if owner is None:
        raise RefusedError("unknown_account", 'a user id looks like "3-17": node 3, account 17')
    return AccountId(owner)


def read_order_id(text: str) -> OrderId:
    """Read an order id."""
    order_id = parse_id(text)
    if order_id is None:
        raise RefusedError("unknown_order", 'an order id looks like "3-17"')
    return OrderId(order_id)
