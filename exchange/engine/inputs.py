"""Everything that can happen to a node, as values.  Time, ids and randomness come with it (E5).

`ticket` is an opaque number from the shell: the answer carries it back.
"""

import msgspec

from exchange.domain.instruments import Instrument
from exchange.domain.orders import Reason, SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    AccountId,
    Asset,
    Lots,
    NodeId,
    OrderId,
    Seq,
    Symbol,
    Ticks,
    Units,
)
from exchange.engine.messages import Batch, Session

Ticket = int


class OpenAccount(msgspec.Struct, frozen=True):
    """Asked by the coordinator.  Answer: Done (also if it is open already)."""

    ticket: Ticket
    account: AccountId
    key_hash: bytes


class CloseAccount(msgspec.Struct, frozen=True):
    """Answer: Done, or Refused `not_empty`."""

    ticket: Ticket
    account: AccountId


class SetKey(msgspec.Struct, frozen=True):
    """Answer: Done."""

    ticket: Ticket
    account: AccountId
    key_hash: bytes


class CreateKey(msgspec.Struct, frozen=True):
    """Answer: KeyAnswer, or Refused `too_many_keys`.  `api_key` is told, and never stored."""

    ticket: Ticket
    account: AccountId
    api_key: str
    key_hash: bytes
    scopes: int  # 1 read, 2 trade, 3 both
    expires_in: int  # seconds; 0 = never


class RotateKey(msgspec.Struct, frozen=True):
    """Put another key in the place of one, the account's own if `key_id` is `main`.

    Answer: KeyAnswer, or Refused `unknown_key`.
    """

    ticket: Ticket
    account: AccountId
    key_id: str
    api_key: str
    key_hash: bytes


class RevokeKey(msgspec.Struct, frozen=True):
    """Answer: Done, or Refused `unknown_key`."""

    ticket: Ticket
    account: AccountId
    key_id: str


class MoveFunds(msgspec.Struct, frozen=True):
    """Deposit or issue (amount > 0), or withdraw (amount < 0).

    Answer: BalanceAnswer, or Refused `insufficient_funds`, `amount_out_of_range`.  A key that was
    used for the same before gets its answer again, for something else `duplicate_client_key`.
    """

    ticket: Ticket
    account: AccountId
    asset: Asset
    amount: Units
    client_key: str = ""


class SetSwitch(msgspec.Struct, frozen=True):
    """Set the dead man's switch of an account; what is None stays.  Answer: Done."""

    ticket: Ticket
    account: AccountId
    cancel_after: int | None = None  # seconds from now; 0 = never
    is_watched: bool | None = None


class SetBalance(msgspec.Struct, frozen=True):
    """Make `value` the available balance (`U balance`).  Answer as for MoveFunds."""

    ticket: Ticket
    account: AccountId
    asset: Asset
    value: Units


class ListInstrument(msgspec.Struct, frozen=True):
    """Answer: Done (also if it is listed alike), or Refused `already_listed`."""

    ticket: Ticket
    instrument: Instrument


class PlaceOrder(msgspec.Struct, frozen=True, gc=False):
    """Answer: OrderAnswer, at acknowledgement, or with `wait_done` once nothing is in doubt.

    For one whose client is told no more than "ok" it is Done, unless the order is rejected.
    """

    ticket: Ticket
    account: AccountId
    symbol: Symbol
    side: Side
    price: Ticks
    quantity: Lots
    time_in_force: TimeInForce = TimeInForce.GTC
    self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST
    client_order_id: str = ""
    wait_done: bool = False
    is_described: bool = True  # by its answer


class AmendOrder(msgspec.Struct, frozen=True):
    """Change price and total.  Answer: OrderAnswer, acknowledged as for a new order."""

    ticket: Ticket
    account: AccountId
    order_id: OrderId
    price: Ticks | None
    quantity: Lots | None  # the new total, filled part included; None keeps it


class CancelOrder(msgspec.Struct, frozen=True):
    """Answer: CancelAnswer."""

    ticket: Ticket
    account: AccountId
    order_id: OrderId


class CancelAtPrice(msgspec.Struct, frozen=True):
    """Remove up to `quantity` at a price, the youngest orders first.  Answer: RemovedAnswer."""

    ticket: Ticket
    account: AccountId
    symbol: Symbol
    side: Side
    price: Ticks
    quantity: Lots
    progress: "Removing | None" = None


class CancelAll(msgspec.Struct, frozen=True):
    """Cancel all open orders of the account, or those of one symbol.  Answer: RemovedAnswer.

    Those that are open when it begins: it takes as many turns as it needs.
    """

    ticket: Ticket
    account: AccountId
    symbol: Symbol | None
    reason: Reason = Reason.CLIENT
    progress: "Removing | None" = None


class Removing(msgspec.Struct, frozen=True):
    """How far a removal of many orders has come; a crash in its middle leaves some removed."""

    order_ids: list[OrderId]  # of all that are to be looked at, in this order
    at: int = 0  # those before are done
    removed: int = 0
    in_doubt: int = 0
    orders: int = 0


class Ask(msgspec.Struct, frozen=True):
    """A query: answered by `engine.queries`, behind everything decided so far (E3)."""

    ticket: Ticket
    query: "Query"


class AccountQuery(msgspec.Struct, frozen=True):
    """Answer: AccountAnswer."""

    account: AccountId


class OrderQuery(msgspec.Struct, frozen=True):
    """By id, or by client order id.  Answer: OrderAnswer."""

    account: AccountId
    order_id: OrderId | None
    client_order_id: str = ""


class OrdersQuery(msgspec.Struct, frozen=True):
    """Orders of the account, oldest first, from place `cursor` on.  Answer: OrdersAnswer.

    `is_open` None gives all.
    """

    account: AccountId
    is_open: bool | None
    symbol: Symbol | None
    cursor: Seq
    limit: int


class FillsQuery(msgspec.Struct, frozen=True):
    """Answer: FillsAnswer."""

    account: AccountId
    from_seq: Seq
    limit: int


class TransfersQuery(msgspec.Struct, frozen=True):
    """Answer: TransfersAnswer."""

    account: AccountId
    from_seq: Seq
    limit: int


class BookQuery(msgspec.Struct, frozen=True):
    """The market's book as this node sees it.  Answer: BookAnswer.  `symbol` None gives all."""

    symbol: Symbol | None
    depth: int | None


class TradesQuery(msgspec.Struct, frozen=True):
    """Trades this node decided.  Answer: TradesAnswer."""

    symbol: Symbol
    from_seq: Seq
    limit: int


class KeysQuery(msgspec.Struct, frozen=True):
    """The keys of the account, without what they are.  Answer: KeysAnswer."""

    account: AccountId


class StatusQuery(msgspec.Struct, frozen=True):
    """Answer: StatusAnswer."""


class ReplicaQuery(msgspec.Struct, frozen=True):
    """What is shown here of another owner's open orders, from the `cursor`-th on.

    Answer: ReplicaAnswer, or Refused `unknown_node`.
    """

    owner: NodeId
    cursor: int
    limit: int


Query = (
    AccountQuery
    | OrderQuery
    | OrdersQuery
    | FillsQuery
    | TransfersQuery
    | BookQuery
    | TradesQuery
    | KeysQuery
    | StatusQuery
    | ReplicaQuery
)


class KnowPeer(msgspec.Struct, frozen=True):
    """The coordinator told of a node: its address, empty if unknown (C5)."""

    peer: NodeId
    nonce: bytes
    address: str


class LinkOpened(msgspec.Struct, frozen=True):
    """We dialed a peer and the connection stands.  The dialer has the lower node id (S6)."""

    peer: NodeId
    session: Session


class LinkClosed(msgspec.Struct, frozen=True):
    peer: NodeId
    session: Session


class LinkRefused(msgspec.Struct, frozen=True):
    """There is no talking to a peer: its program is of another version, or is no node's (S6)."""

    peer: NodeId
    reason: str


class PeerBatch(msgspec.Struct, frozen=True):
    """A batch arrived; the shell has checked that `batch.sender` is who the link belongs to."""

    batch: Batch
    is_rest: bool = False  # the messages before these were handled in an earlier turn
    came_with_hello: bool = False  # one of them was the peer's hello


class PeerBroke(msgspec.Struct, frozen=True):
    """A line of a peer was no batch, or out of bounds already where it is decoded (B7)."""

    peer: NodeId
    reason: str


class SnapshotMore(msgspec.Struct, frozen=True):
    """The link has sent the last chunk: it has room for the next."""

    peer: NodeId
    session: Session


class CoordinatorHeard(msgspec.Struct, frozen=True):
    """The coordinator, in another process, has registered this node as the one it knows."""

    asked_us: int  # when it was asked, of the monotonic clock: an answer of before proves nothing


class Tick(msgspec.Struct, frozen=True):
    """Some time passed: at least four a second, for heartbeats and suspicion."""


class StorageState(msgspec.Struct, frozen=True):
    """Tell whether the log has room for new orders (W7)."""

    is_full: bool


class Drain(msgspec.Struct, frozen=True):
    """Refuse new orders from now on: the node is being stopped."""


Input = (
    OpenAccount
    | CloseAccount
    | SetKey
    | CreateKey
    | RotateKey
    | RevokeKey
    | MoveFunds
    | SetSwitch
    | SetBalance
    | ListInstrument
    | PlaceOrder
    | AmendOrder
    | CancelOrder
    | CancelAtPrice
    | CancelAll
    | Ask
    | KnowPeer
    | LinkOpened
    | LinkClosed
    | LinkRefused
    | PeerBatch
    | PeerBroke
    | SnapshotMore
    | CoordinatorHeard
    | Tick
    | StorageState
    | Drain
)
