"""What each request costs, in units of work: one unit is about the work of one order.

A budget that counts requests lets the dearest one through as often as the cheapest.  So each
request has a price, taken from the budget of its account, or of its address if no key came
with it; a long answer also costs a unit for each ANSWER_BYTES, paid when it is known.  A
budget may fall into debt by one request, and pays it off before the next.

`python -m bench.prices` measures what each costs; `docs/limits.md` has the table, and a test
compares them.
"""

from exchange.wire.feeds import FeedSubscribe, FeedUnsubscribe
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
    KeyRevoke,
    KeyRotate,
    NodeMetrics,
    NodeStatus,
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
    TransfersList,
    UpdateBalance,
)

ANSWER_BYTES = 1_024  # of a long answer that cost a unit more
HANDSHAKE = 20  # a TLS handshake, paid by the address before it is begun
BAD_KEY = 5  # a key that opens nothing, paid by the address: guessing is slow

PRICES: dict[type, int] = {
    CreateOrder: 1,
    OrderCreate: 1,
    OrderAmend: 1,
    OrderCancel: 1,
    OrderCancelAll: 5,
    DeleteOrder: 5,
    CancelAfter: 1,
    CancelOnDisconnect: 1,
    ReadBalance: 1,
    ReadStock: 1,
    AccountGet: 1,
    OrderGet: 1,
    ReadOrders: 5,
    OrdersList: 5,
    FillsList: 2,
    TransfersList: 2,
    ReadMarket: 10,
    BookGet: 2,
    TradesList: 2,
    CandlesGet: 20,
    NodeStatus: 5,
    NodeMetrics: 20,
    FeedSubscribe: 5,
    FeedUnsubscribe: 1,
    AccountDeposit: 1,
    AccountWithdraw: 1,
    AccountClose: 1,
    DeleteAccount: 1,
    UpdateBalance: 1,
    CreateStock: 1,
    KeyCreate: 5,
    KeyRotate: 5,
    KeyRevoke: 1,
    KeyList: 1,
    ReplicaList: 10,
}
# Taken from a budget of their own, so that who has placed too many orders can still cancel them.
CANCELS: frozenset[type] = frozenset([OrderCancel, OrderCancelAll, DeleteOrder, CancelAfter])


# Whose answers may be long: their size is paid for, and few of them are taken at a time.
LONG: frozenset[type] = frozenset(
    [
        ReadMarket,
        ReadOrders,
        BookGet,
        OrdersList,
        FillsList,
        TradesList,
        TransfersList,
        CandlesGet,
        ReplicaList,
    ]
)
FILTERED = 40  # a page of orders of one symbol: all others are passed over


def price_of(request: Request) -> int:
    """Return what a request costs before its answer is known, in units."""
    if type(request) is OrdersList and request.value.symbol is not None:
        return FILTERED
    return PRICES[type(request)]


def answer_price(size: int) -> int:
    """Return what a long answer of so many bytes costs besides, in units."""
    return size // ANSWER_BYTES
