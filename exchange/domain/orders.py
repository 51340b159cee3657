"""Orders and accounts: what a node owns.  Mutable, and changed only by `engine.apply` (E2).

The life of an order.  `open` is derived, never stored (S9):

    open = 0 if canceled else max(0, total - filled - offered)

    status            | canceled | filled        | open or in doubt
    ------------------+----------+---------------+-----------------
    open              | no       | 0             | yes
    partially_filled  | no       | 0 < f < total | yes
    filled            | no       | f = quantity  | no
    canceled          | yes, or total < quantity | no (`canceled` at once: open is 0 for good)
    rejected          |          | 0             | never existed in the book
"""

from enum import IntEnum, StrEnum

import msgspec

from exchange.domain.units import (
    AccountId,
    Asset,
    Lots,
    Micros,
    OrderId,
    Seq,
    Stamp,
    Symbol,
    Ticks,
    TradeId,
    Units,
)


class Side(IntEnum):
    """Numbers, because they are in every record; people read `buy` and `sell`."""

    BUY = 1
    SELL = 2

    @property
    def opposite(self) -> "Side":
        """Return the side this one trades with."""
        return Side.SELL if self is Side.BUY else Side.BUY


class TimeInForce(IntEnum):
    """How long an order lives.  FOK, day and GTD are not built yet."""

    GTC = 1
    IOC = 2


BUY, SELL = Side.BUY, Side.SELL  # a look-up in the class costs as much as a call
SIDE_NAMES = {BUY: "buy", SELL: "sell"}  # as people and messages have them
SIDES = {name: side for side, name in SIDE_NAMES.items()}
GTC, IOC = TimeInForce.GTC, TimeInForce.IOC


class SelfTrade(IntEnum):
    """What happens when an order meets one of the same account (S10)."""

    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3


class Status(StrEnum):
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"


class Reason(StrEnum):
    """Why an order was rejected or quantity left the book."""

    NONE = ""
    CLIENT = "canceled_by_client"
    REMAINDER = "immediate_or_cancel"
    SELF_TRADE = "self_trade"
    ACCOUNT_CLOSED = "account_closed"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    OPERATOR = "canceled_by_operator"


class FirstAnswer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the first answer to an order said; a retry gets the identical one (15 of faults 2)."""

    filled: Lots = Lots(0)
    offered: Lots = Lots(0)  # in doubt when it was answered
    cost: int = 0  # sum of price x quantity of the fills, in ticks x lots
    removed: Lots = Lots(0)  # canceled at once: the rest of an IOC, or a self-trade
    reason: Reason = Reason.NONE
    is_cut: bool = False  # it met more than a turn takes: the answer came when it was through


RESTED = FirstAnswer()  # it met nothing: what most orders do


class Order(msgspec.Struct, array_like=True, gc=False):
    """One order of an owned account.  Encoded as it is into the checkpoint tables."""

    order_id: OrderId
    account: AccountId
    symbol: Symbol
    side: Side
    time_in_force: TimeInForce
    self_trade: SelfTrade
    price: Ticks
    quantity: Lots  # what the client asked for, as last amended
    total: Lots  # <= quantity: what may still be filled altogether
    stamp: Stamp
    created: Micros
    updated: Micros
    client_order_id: str = ""
    account_seq: Seq = Seq(0)  # place in the account's list of orders, from 1
    filled: Lots = Lots(0)
    offered: Lots = Lots(0)  # reserved by offers out, in doubt
    cost: int = 0  # sum of price x quantity over the fills, in ticks x lots
    held: Units = Units(0)  # derived from the rest (S1); kept to be released exactly
    version: int = 1
    canceled: bool = False
    reason: Reason = Reason.NONE
    first: FirstAnswer = FirstAnswer()
    is_rejected: bool = False

    @property
    def open(self) -> Lots:
        """Return the quantity that may be matched (S9)."""
        return open_of(self)

    @property
    def is_done(self) -> bool:
        """Tell whether nothing can happen to the order any more."""
        return not self.offered and (self.canceled or self.filled >= self.total)

    @property
    def status(self) -> Status:
        """Return the status as people know it."""
        return order_status(self)


_OPEN = Status.OPEN


def open_of(order: Order) -> Lots:
    """Return the quantity that may be matched (S9); the hot path calls it."""
    free = order.total - order.filled - order.offered
    return 0 if order.canceled or free < 0 else free  # type: ignore[return-value]  # every order


def order_status(order: Order) -> Status:
    """Return the status as people know it; the hot path calls it, as `open_of`."""
    if order.is_rejected:
        return Status.REJECTED
    return status_of(order.quantity, order.total, order.filled, order.offered, order.canceled)


def status_of(quantity: int, total: int, filled: int, offered: int, canceled: bool) -> Status:
    """Derive the status; shared by the order and by the first answer about it."""
    if total and not filled and not canceled:
        return _OPEN
    if filled and filled >= quantity:
        return Status.FILLED
    if canceled or (filled >= total and not offered):
        return Status.CANCELED
    return Status.PARTIALLY_FILLED


class Account(msgspec.Struct, array_like=True, gc=False):
    """One owned account.  Balance of an asset = available + held, both >= 0."""

    account: AccountId
    available: dict[Asset, Units]
    held: dict[Asset, Units]
    key_hash: bytes = b""
    is_closed: bool = False
    order_seq: Seq = Seq(0)  # orders placed so far, rejected ones included
    fill_seq: Seq = Seq(0)  # fills so far: gapless per account from 1
    transfer_seq: Seq = Seq(0)


class Fill(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One side of a trade, in the account's own gapless sequence."""

    seq: Seq
    trade_id: TradeId
    order_id: OrderId
    symbol: Symbol
    side: Side
    price: Ticks
    quantity: Lots
    is_maker: bool
    ts: Micros


class Transfer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A deposit, withdrawal or issue: an amount moved against `external` (M3)."""

    seq: Seq
    asset: Asset
    amount: Units  # above zero came in, below went out
    ts: Micros
    client_key: str = ""


class Trade(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A row of the trade tape, published by the decider alone (S8)."""

    seq: Seq  # gapless per node and symbol, from 1
    trade_id: TradeId
    symbol: Symbol
    price: Ticks
    quantity: Lots
    aggressor: Side
    ts: Micros
