"""Client lines as typed requests (interfaces section 1).

The first half are the verbs of the reference protocol, the second half the richer ones.
Numbers stay as received (`msgspec.Raw`) until `translate` reads them exactly: a price that
went through a float would not be the price that was sent.  Whatever a value may be by
section 2 decodes; what is not built yet is refused by `translate` as `not_supported`.
"""

from typing import Annotated, Literal

import msgspec

from exchange.domain.names import CLIENT_ORDER_ID_MAX, CLIENT_ORDER_ID_PATTERN
from exchange.domain.units import NODE_MAX, NUMBER_MAX
from exchange.wire.candles import Interval, TimeText
from exchange.wire.envelope import Form, Rich, decode_object, decode_text
from exchange.wire.feeds import FeedSubscribe, FeedUnsubscribe

PAGE_MAX = 1_000  # rows of a list in one answer (interfaces section 1)
PAGE = 100
DEPTH_MAX = 10_000  # levels of one book in one answer
EXPIRES_IN_MAX = 10 * 366 * 86_400  # seconds
CANCEL_AFTER_MAX = 86_400  # seconds
SEQ_MAX = (1 << 63) - 1
BYE = "bye"

Text = Annotated[str, msgspec.Meta(max_length=64)]
ClientOrderId = Annotated[
    str,
    msgspec.Meta(max_length=CLIENT_ORDER_ID_MAX, pattern=CLIENT_ORDER_ID_PATTERN),
]
Number = msgspec.Raw
ABSENT = msgspec.Raw()
SideName = Literal["buy", "sell"]
Seq = Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)]


# The verbs of the reference: answered in its shapes, without an id.


class Plain(Form, frozen=True, gc=False):
    """A verb of the reference without a value; `null` is as good as none."""

    value: None = None


class ReadBalance(Plain, frozen=True, gc=False, tag="R balance"): ...


class ReadStock(Plain, frozen=True, gc=False, tag="R stock"): ...


class ReadMarket(Plain, frozen=True, gc=False, tag="R market"): ...


class ReadOrders(Plain, frozen=True, gc=False, tag="R order"): ...


class DeleteAccount(Plain, frozen=True, gc=False, tag="D account"): ...


class UpdateBalance(Form, frozen=True, gc=False, tag="U balance"):
    value: Number


class StockValue(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    quantity: Number
    ticker_id: Text | None = None
    ticker: Text | None = None


class CreateStock(Form, frozen=True, gc=False, tag="C stock"):
    value: StockValue


class PlainOrder(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An order of the reference; `order_type`, `side` and `type` are one thing."""

    price: Number
    quantity: Number
    ticker: Text | None = None
    ticker_id: Text | None = None
    order_type: SideName | None = None
    side: SideName | None = None
    type: SideName | None = None


class CreateOrder(Form, frozen=True, gc=False, tag="C order"):
    value: PlainOrder


class DeleteOrder(Form, frozen=True, gc=False, tag="D order"):
    value: PlainOrder


# The richer verbs.


class Value(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The value of a richer verb; on its own the value of a verb that needs none."""


class NewOrder(Value, frozen=True, gc=False):
    symbol: Text
    side: SideName
    quantity: Number
    price: Number = ABSENT
    type: Literal["limit", "market", "stop", "stop_limit"] = "limit"
    time_in_force: Literal["gtc", "ioc", "fok", "day", "gtd"] = "gtc"
    client_order_id: ClientOrderId | None = None
    post_only: bool = False
    self_trade_prevention: Literal["cancel_newest", "cancel_oldest", "cancel_both", "decrement"] = (
        "cancel_newest"
    )


class OrderCreate(Rich, frozen=True, gc=False, tag="order.create"):
    value: NewOrder


class OrderName(Value, frozen=True, gc=False):
    """One of the two."""

    order_id: Text | None = None
    client_order_id: ClientOrderId | None = None


class OrderCancel(Rich, frozen=True, gc=False, tag="order.cancel"):
    value: OrderName


class OrderGet(Rich, frozen=True, gc=False, tag="order.get"):
    value: OrderName


class SymbolValue(Value, frozen=True, gc=False):
    symbol: Text | None = None


class OrderCancelAll(Rich, frozen=True, gc=False, tag="order.cancel_all"):
    value: SymbolValue = SymbolValue()


class Amendment(OrderName, frozen=True, gc=False):
    price: Number = ABSENT
    quantity: Number = ABSENT


class OrderAmend(Rich, frozen=True, gc=False, tag="order.amend"):
    value: Amendment


class OrdersFilter(Value, frozen=True, gc=False):
    status: (
        Literal[
            "open",
            "done",
            "all",
            "pending",
            "partially_filled",
            "filled",
            "canceled",
            "expired",
            "rejected",
        ]
        | None
    ) = None
    symbol: Text | None = None
    cursor: Text | Seq | None = None
    limit: Limit = PAGE


class OrdersList(Rich, frozen=True, gc=False, tag="orders.list"):
    value: OrdersFilter = OrdersFilter()


class FillsFilter(Value, frozen=True, gc=False):
    from_seq: Seq = 1
    limit: Limit = PAGE


class FillsList(Rich, frozen=True, gc=False, tag="fills.list"):
    value: FillsFilter = FillsFilter()


class OfAccount(Value, frozen=True, gc=False):
    """About the caller's own account, or about another one (operators)."""

    user_id: Text | None = None


class AccountGet(Rich, frozen=True, gc=False, tag="account.get"):
    value: OfAccount = OfAccount()


class AccountClose(Rich, frozen=True, gc=False, tag="account.close"):
    value: OfAccount = OfAccount()


class Movement(Value, frozen=True, gc=False):
    asset: Text
    quantity: Number
    user_id: Text | None = None
    client_key: ClientOrderId | None = None


class AccountDeposit(Rich, frozen=True, gc=False, tag="account.deposit"):
    value: Movement


class AccountWithdraw(Rich, frozen=True, gc=False, tag="account.withdraw"):
    value: Movement


class TransfersFilter(Value, frozen=True, gc=False):
    user_id: Text | None = None
    from_seq: Seq = 1
    limit: Limit = PAGE


class TransfersList(Rich, frozen=True, gc=False, tag="transfers.list"):
    value: TransfersFilter = TransfersFilter()


class NewKey(Value, frozen=True, gc=False):
    """`expires_in` is in seconds; without it the key lasts until it is revoked."""

    scopes: Annotated[list[Literal["read", "trade"]], msgspec.Meta(min_length=1, max_length=2)]
    expires_in: Annotated[int, msgspec.Meta(ge=1, le=EXPIRES_IN_MAX)] | None = None
    user_id: Text | None = None


class KeyCreate(Rich, frozen=True, gc=False, tag="key.create"):
    value: NewKey


class KeyName(Value, frozen=True, gc=False):
    key_id: Text
    user_id: Text | None = None


class KeyRotate(Rich, frozen=True, gc=False, tag="key.rotate"):
    value: KeyName


class KeyRevoke(Rich, frozen=True, gc=False, tag="key.revoke"):
    value: KeyName


class KeyList(Rich, frozen=True, gc=False, tag="key.list"):
    value: OfAccount = OfAccount()


class Seconds(Value, frozen=True, gc=False):
    """0 disarms."""

    seconds: Annotated[int, msgspec.Meta(ge=0, le=CANCEL_AFTER_MAX)]


class CancelAfter(Rich, frozen=True, gc=False, tag="session.cancel_after"):
    value: Seconds


class Enabled(Value, frozen=True, gc=False):
    enabled: bool = True


class CancelOnDisconnect(Rich, frozen=True, gc=False, tag="session.cancel_on_disconnect"):
    value: Enabled = Enabled()


class BookFilter(Value, frozen=True, gc=False):
    symbol: Text
    depth: Annotated[int, msgspec.Meta(ge=1, le=DEPTH_MAX)] | None = None


class BookGet(Rich, frozen=True, gc=False, tag="book.get"):
    value: BookFilter


class TradesFilter(Value, frozen=True, gc=False):
    symbol: Text
    from_seq: Seq = 1
    limit: Limit = PAGE
    newest: bool = False  # the last ones, whatever `from_seq` says


class TradesList(Rich, frozen=True, gc=False, tag="trades.list"):
    value: TradesFilter


class CandlesFilter(
    Value, frozen=True, gc=False, rename={"from_": "from", "to": "to", "symbol": "symbol"}
):
    """Times are RFC 3339; by default the last candles."""

    symbol: Text
    interval: Interval = "1m"
    from_: TimeText | None = None
    to: TimeText | None = None


class CandlesGet(Rich, frozen=True, gc=False, tag="candles.get"):
    value: CandlesFilter


class NodeStatus(Rich, frozen=True, gc=False, tag="node.status"):
    value: Value | None = None


class NodeMetrics(Rich, frozen=True, gc=False, tag="node.metrics"):
    value: Value | None = None


class ReplicaFilter(Value, frozen=True, gc=False):
    """Of which other node; `cursor` is the `next_cursor` of the page before."""

    node_id: Annotated[int, msgspec.Meta(ge=1, le=NODE_MAX)]
    cursor: Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)] = 0
    limit: Limit = PAGE


class ReplicaList(Rich, frozen=True, gc=False, tag="replica.list"):
    """The open orders of another node's accounts, as they are shown here."""

    value: ReplicaFilter


class Bye(msgspec.Struct, frozen=True):
    """The client takes its leave: close after everything before it is answered."""


Request = (
    ReadBalance
    | UpdateBalance
    | ReadStock
    | CreateStock
    | ReadMarket
    | CreateOrder
    | ReadOrders
    | DeleteOrder
    | DeleteAccount
    | OrderCreate
    | OrderCancel
    | OrderCancelAll
    | OrderAmend
    | OrderGet
    | OrdersList
    | FillsList
    | AccountGet
    | AccountDeposit
    | AccountWithdraw
    | AccountClose
    | TransfersList
    | KeyCreate
    | KeyRotate
    | KeyRevoke
    | KeyList
    | CancelAfter
    | CancelOnDisconnect
    | BookGet
    | TradesList
    | CandlesGet
    | NodeStatus
    | NodeMetrics
    | ReplicaList
    | FeedSubscribe
    | FeedUnsubscribe
)

_REQUEST: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


def decode_request(line: bytes) -> Request | Bye:
    """Read one line of a client; RequestError if it is not a request."""
    if line[:1] != b"{" and line.lstrip()[:1] == b'"':
        text = decode_text(line)
        if text == BYE:
            return Bye()
    return decode_object(_REQUEST, line)
