"""What servers answer, typed.  Names are those of interfaces section 2, numbers stay text.

Unknown fields are ignored: a newer server may say more.
"""

from typing import Any, TypeVar

import msgspec

from exchange.client.errors import BadAnswer
from exchange.client.link import Answer

Decimal = str  # as servers write them: the shortest exact form
Timestamp = str  # RFC 3339 UTC, microseconds


class Order(msgspec.Struct, frozen=True):
    order_id: str
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal
    status: str
    client_order_id: str | None = None
    type: str = "limit"
    time_in_force: str = "gtc"
    filled_quantity: Decimal = "0"
    remaining_quantity: Decimal = "0"
    in_doubt_quantity: Decimal = "0"
    average_price: Decimal | None = None
    reason: str | None = None
    ts: Timestamp = ""

    @property
    def is_rejected(self) -> bool:
        """Tell whether a rule of the market refused the order."""
        return self.status == "rejected"


class Placed(msgspec.Struct, frozen=True):
    """An order, and where it is safe (B3)."""

    order: Order
    lsn: int  # durable at its node through here
    visible: int  # peers that show it; -1 where it was not waited for
    is_replayed: bool  # a repeated client order id: nothing was done


class Canceled(msgspec.Struct, frozen=True):
    order: Order
    canceled_quantity: Decimal
    in_doubt_quantity: Decimal
    lsn: int


class CanceledAll(msgspec.Struct, frozen=True):
    orders: int


class Orders(msgspec.Struct, frozen=True):
    orders: list[Order]
    next_cursor: int | str | None = None


class Fill(msgspec.Struct, frozen=True):
    seq: int
    trade_id: str
    order_id: str
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal
    role: str  # maker or taker
    ts: Timestamp


class Fills(msgspec.Struct, frozen=True):
    fills: list[Fill]
    next_seq: int


class Balance(msgspec.Struct, frozen=True):
    available: Decimal
    held: Decimal


class Moved(Balance, frozen=True):
    """The balance after a deposit or a withdrawal."""

    seq: int = 0  # of the transfer that made it so, in the account's own sequence
    is_replay: bool = False  # its key was used before: nothing moved


class Account(msgspec.Struct, frozen=True):
    user_id: str
    balances: dict[str, Balance]


class NewAccount(msgspec.Struct, frozen=True):
    user_id: str
    api_key: str = ""  # empty without authentication


class NewKey(msgspec.Struct, frozen=True):
    """A key that was just made: `api_key` is told this once."""

    user_id: str
    key_id: str
    api_key: str
    scopes: list[str]
    expires_at: str | None = None


class KeyInfo(msgspec.Struct, frozen=True):
    key_id: str
    scopes: list[str]
    expires_at: str | None = None


class Keys(msgspec.Struct, frozen=True):
    user_id: str
    keys: list[KeyInfo]


class Book(msgspec.Struct, frozen=True):
    """Levels of (price, quantity, orders), best first."""

    symbol: str
    seq: int
    bids: list[tuple[Decimal, Decimal, int]]
    asks: list[tuple[Decimal, Decimal, int]]


class Trade(msgspec.Struct, frozen=True):
    seq: int
    trade_id: str
    price: Decimal
    quantity: Decimal
    ts: Timestamp
    aggressor: str = ""
    symbol: str = ""


class Trades(msgspec.Struct, frozen=True):
    trades: list[Trade]
    next_seq: int
    symbol: str = ""


class Instrument(msgspec.Struct, frozen=True):
    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    base_decimals: int
    quote_decimals: int


class Instruments(msgspec.Struct, frozen=True):
    instruments: list[Instrument]


class NodeInfo(msgspec.Struct, frozen=True):
    """A node as the coordinator knows it."""

    node_id: int
    tcp: str
    epoch: int = 0
    accounts: int = 0
    is_connected: bool = False  # to the coordinator


class ClusterInfo(msgspec.Struct, frozen=True):
    cluster: str
    nodes: list[NodeInfo]
    is_authenticated: bool = True
    is_strict_listing: bool = False


class PeerStatus(msgspec.Struct, frozen=True):
    node_id: int
    address: str
    state: str  # connecting, syncing, synced, slow, suspected, quarantined
    sent_seq: int
    acknowledged_seq: int
    received_epoch: int
    received_seq: int
    orders: int  # its open orders in this node's replica
    sum: str  # their additive hash (B4)
    offers_out: int
    detail: str = ""
    clock_apart_us: int = 0  # its wall clock is that far ahead of this node's (S2)


class NodeStatus(msgspec.Struct, frozen=True):
    node_id: int
    cluster: str
    epoch: int
    is_ready: bool
    applied_lsn: int
    open_orders: int
    sum: str  # additive hash of its own open orders (B4)
    offers_in_doubt: int
    stream_seq: int
    peers: list[PeerStatus]
    is_draining: bool = False
    is_storage_full: bool = False
    acceptances: int = 0
    waiting: int = 0  # answers that wait for visibility
    instruments: int = 0
    trades: int = 0  # decided here since the log began
    offers: int = 0
    declines: int = 0
    clock_apart_us: int = 0  # its wall clock is that far ahead of all its peers' (S2); 0 is right
    stamps_ahead_us: int = 0  # of its wall clock: some clock was ahead once (S2)
    frozen: int = 0  # trades that an operator and the decider see differently (S4)
    durable_lsn: int = 0
    checkpoint_lsn: int = 0
    oldest_in_doubt_s: float = 0.0
    map_used: int = 0  # bytes of the LMDB map
    map_size: int = 0


Result = TypeVar("Result")


def decode(answer: Answer, kind: type[Result]) -> Result:
    """Read the value of an answer; raises BadAnswer."""
    try:
        return msgspec.json.decode(answer.value, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadAnswer(f"not the answer that was asked for: {error}") from error


def placed(answer: Answer) -> Placed:
    """Read the answer to an order, with what stands beside it."""
    order = decode(answer, Order)
    return Placed(order, answer.lsn, answer.visible, answer.is_replayed)


class _Removed(msgspec.Struct, frozen=True):
    canceled_quantity: Decimal = "0"
    in_doubt_quantity: Decimal = "0"


def canceled(answer: Answer) -> Canceled:
    """Read the answer to a cancel: the order, and what was removed just now."""
    removed = decode(answer, _Removed)
    order = decode(answer, Order)
    return Canceled(order, removed.canceled_quantity, removed.in_doubt_quantity, answer.lsn)


def plain(value: object) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Turn a result into what JSON holds: dicts, lists, text and numbers."""
    return msgspec.to_builtins(value)
