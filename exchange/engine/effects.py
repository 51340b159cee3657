"""What a node wants done once everything it has decided is durable (E3), and its answers.

The shell holds effects back until `durable_lsn` has reached the last LSN decided when they
were made.  Only a `Send` of an `Applied` may leave at once.
"""

from collections.abc import Container

import msgspec

from exchange.domain.book import OrderEvent
from exchange.domain.instruments import Instrument
from exchange.domain.orders import (
    Fill,
    Order,
    SelfTrade,
    Side,
    Status,
    Trade,
    Transfer,
    order_status,
)
from exchange.domain.similar import similar_to
from exchange.domain.units import (
    AccountId,
    Asset,
    Epoch,
    Lots,
    Lsn,
    Micros,
    NodeId,
    OrderId,
    Seq,
    Ticks,
    Units,
)
from exchange.engine.inputs import Ticket
from exchange.engine.messages import Applied, PeerMessage, Session
from exchange.engine.state import AccountKey


class Done(msgspec.Struct, frozen=True):
    """It is so."""


class Refused(msgspec.Struct, frozen=True):
    """A refusal: a stable code, and a sentence that says what to do."""

    code: str
    detail: str


def not_listed(symbol: str, listed: Container[str]) -> Refused:
    """Refuse a symbol that nobody has listed, and name the one that was probably meant (M2)."""
    meant = similar_to(symbol, listed)
    guess = f"did you mean {meant}?" if meant is not None else "an operator can list it"
    return Refused("unknown_instrument", f"{symbol} is not listed; {guess}")


class OrderAnswer(msgspec.Struct, frozen=True, gc=False):
    """An order at one moment, in integers; the wire turns it into decimals."""

    order_id: OrderId
    client_order_id: str
    instrument: Instrument
    side: Side
    time_in_force: int
    price: Ticks
    quantity: Lots
    total: Lots
    filled: Lots
    in_doubt: Lots
    cost: int
    status: Status
    reason: str
    created: Micros
    lsn: Lsn  # the order is durable through here
    visible: int  # peers that show it; -1 where the answer did not wait for them
    is_replay: bool = False  # a retry of a client order id: nothing was done
    self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST


class CancelAnswer(msgspec.Struct, frozen=True):
    order: OrderAnswer
    removed: Lots
    in_doubt: Lots


class RemovedAnswer(msgspec.Struct, frozen=True):
    quantity: Lots
    in_doubt: Lots
    orders: int


class BalanceAnswer(msgspec.Struct, frozen=True):
    asset: Asset
    available: Units
    held: Units
    decimals: int
    transfer: Seq = Seq(0)  # of the account: the transfer that made it so; 0 = none did
    is_replay: bool = False  # a retry of a client's key: nothing was done


class AccountAnswer(msgspec.Struct, frozen=True):
    account: AccountId
    balances: list[BalanceAnswer]


class OrdersAnswer(msgspec.Struct, frozen=True):
    orders: list[OrderAnswer]
    next_cursor: Seq | None


class FillsAnswer(msgspec.Struct, frozen=True):
    fills: list[tuple[Fill, Instrument]]
    next_seq: Seq


class TransfersAnswer(msgspec.Struct, frozen=True):
    transfers: list[tuple[Transfer, int]]  # with the decimals of the asset
    next_seq: Seq


class SymbolBook(msgspec.Struct, frozen=True):
    instrument: Instrument
    seq: Seq  # rises with every change this node has seen in this symbol
    bids: list[tuple[Ticks, Lots, int]]  # price, quantity, orders; best first
    asks: list[tuple[Ticks, Lots, int]]


class BookAnswer(msgspec.Struct, frozen=True):
    books: list[SymbolBook]


class TradesAnswer(msgspec.Struct, frozen=True):
    instrument: Instrument
    trades: list[Trade]
    next_seq: Seq


class PeerStatus(msgspec.Struct, frozen=True):
    node_id: NodeId
    address: str
    state: str  # connecting, syncing, synced, slow, suspected, quarantined
    sent_seq: Seq  # our stream, as far as it is sent
    acknowledged_seq: Seq  # ... and applied there
    received_epoch: Epoch
    received_seq: Seq  # of its stream
    orders: int  # its open orders in our replica
    sum: str  # their additive hash (B4)
    offers_out: int  # ours to it, in doubt
    detail: str = ""  # why it is quarantined, or the link refused
    clock_apart_us: int = 0  # its wall clock is that far ahead of the own (S2)


class StatusAnswer(msgspec.Struct, frozen=True):
    node_id: NodeId
    cluster: str
    epoch: Epoch
    is_ready: bool
    is_draining: bool
    is_storage_full: bool
    applied_lsn: Lsn
    open_orders: int
    sum: str  # additive hash of the own open orders (B4)
    offers_in_doubt: int
    acceptances: int  # not yet forgotten
    waiting: int  # answers that wait for visibility
    stream_seq: Seq
    instruments: int
    trades: int  # decided here since the log began
    offers: int  # made since this boot
    declines: int  # received since this boot
    peers: list[PeerStatus]
    frozen: int = 0  # trades where an operator and the decider decided differently (S4)
    clock_apart_us: int = 0  # the own wall clock is that far ahead of all peers' (S2); 0 is right
    stamps_ahead_us: int = 0  # of the own wall clock: some clock was ahead once (S2)


class ReplicaAnswer(msgspec.Struct, frozen=True):
    """A page of the replica of one owner; pages of one replica have all but the orders in common.

    `is_complete`: it shows everything that this node's own log has heard of that owner's orders.
    """

    owner: NodeId
    is_linked: bool  # there is a session: the owner lives
    is_complete: bool
    epoch: Epoch  # of its stream, as far as it is applied
    seq: Seq
    seen_lsn: Lsn  # through here its log was durable when it was last heard
    count: int  # open orders, of all pages
    sum: str  # their additive hash (B4)
    orders: list[tuple[OrderEvent, Instrument]]
    next_cursor: int | None


class KeyAnswer(msgspec.Struct, frozen=True):
    """A key that was just made; nobody can tell it again."""

    account: AccountId
    key_id: str
    api_key: str
    scopes: int
    expires: Micros  # 0 = never


class KeysAnswer(msgspec.Struct, frozen=True):
    account: AccountId
    has_main: bool
    keys: list[AccountKey]


AnswerBody = (
    Done
    | Refused
    | OrderAnswer
    | CancelAnswer
    | RemovedAnswer
    | BalanceAnswer
    | AccountAnswer
    | OrdersAnswer
    | FillsAnswer
    | TransfersAnswer
    | BookAnswer
    | TradesAnswer
    | KeyAnswer
    | KeysAnswer
    | StatusAnswer
    | ReplicaAnswer
)


class Answer(msgspec.Struct, frozen=True, gc=False):
    ticket: Ticket
    body: AnswerBody


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a message on a session; dropped silently if the session is over."""

    peer: NodeId
    session: Session
    message: PeerMessage


class CloseLink(msgspec.Struct, frozen=True):
    """End a session.  The dialer dials again after its backoff."""

    peer: NodeId
    session: Session
    reason: str


class WantMore(msgspec.Struct, frozen=True):
    """Feed `SnapshotMore` back once the link has sent what it holds."""

    peer: NodeId
    session: Session


class Stop(msgspec.Struct, frozen=True):
    """Stop the node at once: it is an old copy of itself (C3).  Exit code 4."""

    reason: str


class Alarm(msgspec.Struct, frozen=True):
    """Something an operator must hear of: a quarantined peer, a refused link."""

    code: str
    detail: str


Effect = Answer | Send | CloseLink | WantMore | Stop | Alarm


def is_exempt(effect: Effect) -> bool:
    """Tell whether an effect may leave before what was decided is durable (E3)."""
    return type(effect) is Send and type(effect.message) is Applied


def order_answer(
    order: Order, instrument: Instrument, *, lsn: Lsn, visible: int = -1
) -> OrderAnswer:
    """Describe an order as it is now."""
    return OrderAnswer(
        order.order_id,
        order.client_order_id,
        instrument,
        order.side,
        order.time_in_force,
        order.price,
        order.quantity,
        order.total,
        order.filled,
        order.offered,
        order.cost,
        order_status(order),
        order.reason,
        order.created,
        lsn,
        visible,
        False,
        order.self_trade,
    )
