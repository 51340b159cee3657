"""What each request needs: its power, and the account that it is about."""

from enum import StrEnum

from exchange.wire.feeds import ORDERS, FeedSubscribe, FeedUnsubscribe
from exchange.wire.requests import (
    AccountClose,
    AccountDeposit,
    AccountGet,
    AccountWithdraw,
    BookGet,
    CancelAfter,
    CancelOnDisconnect,
    CandlesGet,
    CreateOrder,
    CreateStock,
    DeleteAccount,
    DeleteOrder,
    FillsList,
    KeyCreate,
    KeyList,
    KeyName,
    KeyRevoke,
    KeyRotate,
    Movement,
    NewKey,
    NodeMetrics,
    NodeStatus,
    OfAccount,
    OrderAmend,
    OrderCancel,
    OrderCancelAll,
    OrderCreate,
    OrderGet,
    OrdersList,
    ReadBalance,
    ReadMarket,
    ReadOrders,
    ReadStock,
    ReplicaList,
    Request,
    TradesList,
    TransfersFilter,
    TransfersList,
    UpdateBalance,
)


class Power(StrEnum):
    """What a caller must be allowed to do; `access` holds it against the key."""

    PUBLIC = "public"
    READ = "read"
    TRADE = "trade"
    KEYS = "keys"  # over the account's other keys: its own key alone, never one with scopes
    OPERATOR = "operator"


_PUBLIC = (ReadMarket, BookGet, TradesList, CandlesGet, NodeStatus, NodeMetrics)
_READ = (
    *(ReadBalance, ReadStock, ReadOrders, OrderGet, OrdersList, FillsList, AccountGet),
    TransfersList,
)
_TRADE = (
    *(CreateOrder, DeleteOrder, DeleteAccount, OrderCreate, OrderCancel, OrderCancelAll),
    *(OrderAmend, AccountClose, CancelAfter, CancelOnDisconnect),
)
_KEYS = (KeyCreate, KeyRotate, KeyRevoke, KeyList)
_OPERATOR = (UpdateBalance, CreateStock, AccountDeposit, AccountWithdraw, ReplicaList)
POWERS: dict[type, Power] = {
    **dict.fromkeys(_PUBLIC, Power.PUBLIC),
    **dict.fromkeys(_READ, Power.READ),
    **dict.fromkeys(_TRADE, Power.TRADE),
    **dict.fromkeys(_KEYS, Power.KEYS),
    **dict.fromkeys(_OPERATOR, Power.OPERATOR),
}


def power_of(request: Request) -> Power:
    """Return what the caller must be allowed; about another account it is OPERATOR instead."""
    if isinstance(request, FeedSubscribe | FeedUnsubscribe):
        return Power.READ if ORDERS in request.value.channels else Power.PUBLIC
    return POWERS[type(request)]


def user_id_of(request: Request) -> str | None:
    """Return the account that the request names; None if it is the caller's own."""
    value = request.value
    if isinstance(value, OfAccount | Movement | TransfersFilter | NewKey | KeyName):
        return value.user_id
    return None
