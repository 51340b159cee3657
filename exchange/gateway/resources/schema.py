"""The messages of the HTTP surface: what is accepted and answered, and the OpenAPI document.

Names are those of interfaces section 2; only what is built is here, so only that is shown.
Bodies of orders are handed to the node as they came, numbers untouched: it alone decides.
These structs say what it takes; a test holds the two together.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from exchange.domain.instruments import DECIMALS_MAX
from exchange.domain.names import (
    CLIENT_ORDER_ID_MAX,
    CLIENT_ORDER_ID_PATTERN,
    SYMBOL_MAX,
    SYMBOL_PATTERN,
)
from exchange.domain.units import NODE_MAX
from exchange.wire.candles import Interval, TimeText
from exchange.wire.requests import DEPTH_MAX, PAGE, PAGE_MAX, SEQ_MAX

ORDERS_MAX = 1_000  # in one request
CURSOR_MAX = 4_096  # characters: a place for each of some hundred nodes
ORDER_OR_PROBLEM = {
    "anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Order", "Problem")]
}

DecimalText = Annotated[
    str, Meta(pattern=r"\A[0-9]{1,40}(\.[0-9]{1,40})?\Z", description="An exact decimal.")
]
Number = DecimalText | Annotated[float, Meta(ge=0, description="Read exactly, as it is written.")]
SymbolText = Annotated[
    str,
    Meta(pattern=SYMBOL_PATTERN, max_length=SYMBOL_MAX, examples=["AAPL", "BRK.B", "BTC/USD"]),
]
IdText = Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,3}-[0-9]{1,16}\Z", examples=["3-17"])]
ClientOrderId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=CLIENT_ORDER_ID_MAX,
        pattern=CLIENT_ORDER_ID_PATTERN,
        description="Makes the order safe to send again; unique per account for ever.",
    ),
]
Timestamp = Annotated[str, Meta(description="RFC 3339 UTC, microseconds.")]
Cursor = Annotated[str, Meta(max_length=CURSOR_MAX, description="Opaque; from an answer.")]
Seq = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX)]
Node = Annotated[int, Meta(ge=1, le=NODE_MAX)]
Side = Literal["buy", "sell"]
OrderStatus = Literal["open", "partially_filled", "filled", "canceled", "rejected"]
Prevention = Literal["cancel_newest", "cancel_oldest", "cancel_both"]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client sends; a field that is not known is refused."""


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Query parameters; one that is not known is refused."""


class NoQuery(Query, frozen=True):
    """No parameters."""


# Orders.


class NewOrder(Body, frozen=True):
    """A limit order."""

    symbol: SymbolText
    side: Side
    price: Number
    quantity: Number
    client_order_id: ClientOrderId | None = None
    type: Literal["limit"] = "limit"
    time_in_force: Literal["gtc", "ioc"] = "gtc"
    self_trade_prevention: Prevention = "cancel_newest"


class Amendment(Body, frozen=True):
    """Other terms; `quantity` is the new total, filled part included, as in FIX."""

    price: Number | None = None
    quantity: Number | None = None


class Order(msgspec.Struct, frozen=True):
    """An order as it is now."""

    order_id: IdText
    client_order_id: str | None
    symbol: SymbolText
    side: Side
    type: Literal["limit"]
    time_in_force: Literal["gtc", "ioc"]
    self_trade_prevention: Prevention
    price: DecimalText
    quantity: DecimalText
    filled_quantity: DecimalText
    remaining_quantity: DecimalText
    average_price: DecimalText | None
    status: OrderStatus
    reason: str | None
    in_doubt_quantity: DecimalText
    ts: Timestamp


class CanceledOrder(Order, frozen=True, kw_only=True):
    """An order, and what this request removed from it."""

    canceled_quantity: DecimalText


class Canceled(msgspec.Struct, frozen=True):
    """How many orders were canceled."""

    orders: int


class Placed(msgspec.Struct, frozen=True):
    """The outcome of each order of a list, in its order."""

    orders: Annotated[list[dict[str, Any]], Meta(extra_json_schema={"items": ORDER_OR_PROBLEM})]


class Orders(msgspec.Struct, frozen=True):
    """A page of orders, oldest first."""

    orders: list[Order]
    next_cursor: int | None


class OrdersQuery(Query, frozen=True):
    """Which orders."""

    status: Literal["open", "done", "all"] | None = None
    symbol: SymbolText | None = None
    cursor: Seq | None = None
    limit: Limit = PAGE


class SymbolQuery(Query, frozen=True):
    """Of one symbol, or of all."""

    symbol: SymbolText | None = None


# The account.


class Balance(msgspec.Struct, frozen=True):
    available: DecimalText
    held: DecimalText


class Account(msgspec.Struct, frozen=True):
    user_id: IdText
    balances: dict[str, Balance]


class NewAccount(msgspec.Struct, frozen=True):
    """The key is shown once: the exchange keeps its hash."""

    user_id: IdText
    api_key: str


class Done(msgspec.Struct, frozen=True):
    """It is so."""


class AccountQuery(Query, frozen=True):
    """Whose: the key's own account, or any (operators)."""

    user_id: IdText | None = None


class Fill(msgspec.Struct, frozen=True):
    seq: int
    trade_id: IdText
    order_id: IdText
    symbol: SymbolText
    side: Side
    price: DecimalText
    quantity: DecimalText
    role: Literal["maker", "taker"]
    ts: Timestamp


class Fills(msgspec.Struct, frozen=True):
    """A page of fills; `seq` is gapless from 1."""

    fills: list[Fill]
    next_seq: int


class SeqQuery(Query, frozen=True):
    """From which number on."""

    from_seq: Seq = 1
    limit: Limit = PAGE


class TransfersQuery(SeqQuery, frozen=True):
    """Whose, and from which number on."""

    user_id: IdText | None = None


class Transfer(msgspec.Struct, frozen=True):
    seq: int
    asset: str
    quantity: Annotated[str, Meta(description="Below zero went out.")]
    ts: Timestamp
    client_key: str = ""  # absent where there was none


class Transfers(msgspec.Struct, frozen=True):
    transfers: list[Transfer]
    next_seq: int


class NewTransfer(Body, frozen=True):
    """A deposit or an issue of shares; or a withdrawal."""

    user_id: IdText
    asset: SymbolText
    quantity: Number
    direction: Literal["deposit", "withdraw"] = "deposit"
    client_key: ClientOrderId | None = None


class AssetBalance(msgspec.Struct, frozen=True):
    asset: str
    available: DecimalText
    held: DecimalText
    seq: int = 0  # of the transfer, in the account's own sequence
    is_replay: bool = False  # its key was used before: nothing moved


# The market.


class Instrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    symbol: SymbolText
    base: SymbolText
    quote: SymbolText
    tick_size: DecimalText
    lot_size: DecimalText
    base_decimals: Annotated[int, Meta(ge=0, le=DECIMALS_MAX)]
    quote_decimals: Annotated[int, Meta(ge=0, le=DECIMALS_MAX)]


class Instruments(msgspec.Struct, frozen=True):
    instruments: list[Instrument]


class Level(msgspec.Struct, frozen=True, array_like=True):
    """Price, quantity, number of orders."""

    price: DecimalText
    quantity: DecimalText
    orders: int


class Book(msgspec.Struct, frozen=True):
    """The market's book as one node sees it, best levels first."""

    symbol: SymbolText
    seq: int
    bids: list[Level]
    asks: list[Level]


class BookQuery(Query, frozen=True):
    """How many levels, and which node's view."""

    depth: Annotated[int, Meta(ge=1, le=DEPTH_MAX)] | None = None
    node: Node | None = None


class Trade(msgspec.Struct, frozen=True):
    """A trade; `seq` is gapless per node and symbol."""

    node: int
    seq: int
    trade_id: IdText
    symbol: SymbolText
    price: DecimalText
    quantity: DecimalText
    aggressor: Side
    ts: Timestamp


class Trades(msgspec.Struct, frozen=True):
    """Trades of all nodes, ordered by (ts, node, seq); ask again with the cursor for later ones."""

    trades: list[Trade]
    cursor: Cursor


class TradesQuery(Query, frozen=True):
    """The newest, or those after a cursor."""

    cursor: Cursor | None = None
    limit: Limit = PAGE


class Candle(msgspec.Struct, frozen=True):
    """What was traded from `ts` on, for one interval."""

    ts: Timestamp
    open: DecimalText
    high: DecimalText
    low: DecimalText
    close: DecimalText
    volume: DecimalText
    trades: int


class Candles(msgspec.Struct, frozen=True):
    candles: list[Candle]


class CandlesQuery(Query, frozen=True, rename={"from_": "from", "to": "to"}):
    """Intervals without a trade have no candle.  Times are RFC 3339; by default the last ones."""

    interval: Interval = "1m"
    from_: TimeText | None = None
    to: TimeText | None = None


# The service.


class Time(msgspec.Struct, frozen=True):
    ts: Timestamp


class Health(msgspec.Struct, frozen=True):
    status: Literal["ok"]


class Ready(msgspec.Struct, frozen=True):
    """Which nodes take orders."""

    status: Literal["ready"]
    nodes: list[int]
    frozen: Annotated[
        int, Meta(ge=0, description="Trades that an operator and their decider see differently.")
    ] = 0


class NodeSummary(msgspec.Struct, frozen=True):
    node_id: int
    is_reachable: bool
    is_ready: bool = False
    epoch: int = 0
    open_orders: int = 0
    offers_in_doubt: int = 0
    trades: int = 0
    is_storage_full: bool = False  # no new orders until there is room
    frozen: int = 0  # trades that an operator and their decider see differently


class Status(msgspec.Struct, frozen=True):
    cluster: str
    nodes: list[NodeSummary]
