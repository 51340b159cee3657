"""The records of the write-ahead log: everything durable that can happen to a node (E2).

On disk a record is a MessagePack array, its tag first: [tag, field, field, ...].  Tags and
the order of fields are the format; new fields go to the end with a default, so that old
logs stay readable.  `docs/log-format.md` is the same table in prose.

    tag | record            | what it does
    ----+-------------------+---------------------------------------------------------------
     1  | Booted            | a new boot epoch (W6); always alone in its frame
     2  | InstrumentListed  | an instrument exists
     3  | AccountOpened     | an owned account exists (C1)
     4  | AccountClosed     | it is closed, with nothing in it
     5  | Transferred       | an amount moved between `external` and an account (M3)
     6  | OrderPlaced       | funds moved from available to held, the order exists (S1)
     7  | OrderRejected     | a rule refused a well-formed order; key and answer survive (E2)
     8  | OrderAmended      | new total, price and perhaps stamp (S9)
     9  | OrderCanceled     | open quantity is gone for good (S9)
    10  | OrderReduced      | the free part is gone; offers out keep theirs (IOC, self-trade)
    11  | LocalTrade        | both legs of a trade between two owned orders (S10)
    12  | TradeOffered      | proposer: taker quantity reserved for an offer (S3, S5)
    13  | TradeSettled      | proposer: the decider's answer, quantity 0 = released (S3)
    14  | TradeAccepted     | decider: THE COMMIT POINT (S3); moves the mark (S5)
    15  | TradeDeclined     | decider: declined for ever (S5); moves the mark
    16  | OffersForgotten   | decider: acceptances below the watermark are gone (S7)
    17  | PeerSeen          | a peer's incarnation and address (C3, C5)
    18  | KeySet            | the hash of an account's API key
    19  | HeuristicDecision | proposer: an operator settled what nothing could prove (S4)
    20  | HeuristicChecked  | proposer: what the decider had really answered
    21  | HeuristicForgotten| an operator has seen both halves resolved
    22 | KeyCreated        | an account has another API key, with fewer powers
    23 | KeyRevoked        | that key opens nothing any more
    24 | SwitchSet         | the dead man's switch of an account, and whether it is watched
    30+ |                   | reserved: prepared makers and baskets (S11), transfers (S12)
"""

import msgspec

from exchange.domain.instruments import Instrument
from exchange.domain.orders import FirstAnswer, Reason, SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    AccountId,
    Asset,
    Epoch,
    Lots,
    Micros,
    NodeId,
    OrderId,
    Seq,
    Stamp,
    Symbol,
    Ticks,
    TradeId,
    Units,
)


class OfferId(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """Names an offer among those of one proposer to one decider; kept when sent again (S5)."""

    epoch: Epoch
    seq: Seq


BEFORE_ANY = OfferId(Epoch(0), Seq(0))


class Booted(msgspec.Struct, frozen=True, array_like=True, tag=1):
    epoch: Epoch
    boot_id: bytes  # 8 random bytes: tells two runs with one epoch apart (C3)
    ts: Micros


class InstrumentListed(msgspec.Struct, frozen=True, array_like=True, tag=2):
    instrument: Instrument
    ts: Micros


class AccountOpened(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    account: AccountId
    key_hash: bytes  # keyed blake2b of the API key, empty without authentication
    ts: Micros


class AccountClosed(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    account: AccountId
    ts: Micros


class Transferred(msgspec.Struct, frozen=True, array_like=True, tag=5, gc=False):
    account: AccountId
    asset: Asset
    amount: Units  # above zero into the account, below out of it
    ts: Micros
    client_key: str = ""  # unique per account for ever; the same again moves nothing


class OrderPlaced(msgspec.Struct, frozen=True, array_like=True, tag=6, gc=False):
    order_id: OrderId
    account: AccountId
    symbol: Symbol
    side: Side
    time_in_force: TimeInForce
    self_trade: SelfTrade
    price: Ticks
    quantity: Lots
    stamp: Stamp
    client_order_id: str  # empty if there is none
    first: FirstAnswer  # what this same decision did to it; the first answer said so
    ts: Micros


class OrderRejected(msgspec.Struct, frozen=True, array_like=True, tag=7, gc=False):
    order_id: OrderId  # it has an id, and can be looked up
    account: AccountId
    symbol: Symbol
    side: Side
    time_in_force: TimeInForce
    self_trade: SelfTrade
    price: Ticks
    quantity: Lots
    client_order_id: str
    reason: Reason
    ts: Micros


class OrderAmended(msgspec.Struct, frozen=True, array_like=True, tag=8, gc=False):
    order_id: OrderId
    price: Ticks
    quantity: Lots  # the new total, filled part included
    stamp: Stamp  # 0 = priority kept
    ts: Micros


class OrderCanceled(msgspec.Struct, frozen=True, array_like=True, tag=9, gc=False):
    order_id: OrderId
    reason: Reason
    ts: Micros


class OrderReduced(msgspec.Struct, frozen=True, array_like=True, tag=10, gc=False):
    order_id: OrderId
    reason: Reason
    ts: Micros


class LocalTrade(msgspec.Struct, frozen=True, array_like=True, tag=11, gc=False):
    trade_id: TradeId
    maker: OrderId
    taker: OrderId
    quantity: Lots
    price: Ticks  # the maker's
    ts: Micros


class TradeOffered(msgspec.Struct, frozen=True, array_like=True, tag=12, gc=False):
    decider: NodeId
    offer_id: OfferId
    trade_id: TradeId  # made by the proposer
    taker: OrderId
    maker: OrderId
    quantity: Lots
    price: Ticks  # the maker's
    limit: Ticks  # the taker's limit when it was offered: what the hold is reckoned at (S1)
    taker_stamp: Stamp  # of this match pass (S2)
    maker_stamp: Stamp
    ts: Micros


class TradeSettled(msgspec.Struct, frozen=True, array_like=True, tag=13, gc=False):
    decider: NodeId
    offer_id: OfferId
    quantity: Lots  # accepted; 0 releases the whole reservation
    ts: Micros


class TradeAccepted(msgspec.Struct, frozen=True, array_like=True, tag=14, gc=False):
    proposer: NodeId
    offer_id: OfferId
    trade_id: TradeId
    maker: OrderId
    taker: OrderId
    quantity: Lots  # 0 < quantity <= offered
    price: Ticks
    ts: Micros


class TradeDeclined(msgspec.Struct, frozen=True, array_like=True, tag=15, gc=False):
    proposer: NodeId
    offer_id: OfferId
    trade_id: TradeId
    reason: str  # gone, changed, younger, wrong side, quarantined, withdrawn
    ts: Micros


class OffersForgotten(msgspec.Struct, frozen=True, array_like=True, tag=16, gc=False):
    proposer: NodeId
    below: OfferId  # the proposer's watermark: everything below it is resolved there (S7)


class PeerSeen(msgspec.Struct, frozen=True, array_like=True, tag=17):
    peer: NodeId
    nonce: bytes  # birth nonce, 16 bytes (C3)
    epoch: Epoch
    boot_id: bytes
    address: str  # host:port; empty if only heard of


class KeySet(msgspec.Struct, frozen=True, array_like=True, tag=18, gc=False):
    account: AccountId
    key_hash: bytes
    ts: Micros


class HeuristicDecision(msgspec.Struct, frozen=True, array_like=True, tag=19, gc=False):
    decider: NodeId
    offer_id: OfferId
    trade_id: TradeId
    quantity: Lots  # decided: 0 = abort
    operator: str
    reason: str
    ts: Micros


class HeuristicChecked(msgspec.Struct, frozen=True, array_like=True, tag=20, gc=False):
    decider: NodeId
    offer_id: OfferId
    quantity: Lots  # the decider's own; differing from the decision freezes the trade
    ts: Micros


class HeuristicForgotten(msgspec.Struct, frozen=True, array_like=True, tag=21, gc=False):
    decider: NodeId
    offer_id: OfferId
    operator: str
    reason: str
    ts: Micros


class KeyCreated(msgspec.Struct, frozen=True, array_like=True, tag=22, gc=False):
    account: AccountId
    key_id: str
    key_hash: bytes
    scopes: int  # 1 read, 2 trade, 3 both
    expires: Micros  # 0 = never
    ts: Micros


class KeyRevoked(msgspec.Struct, frozen=True, array_like=True, tag=23, gc=False):
    account: AccountId
    key_id: str
    ts: Micros


class SwitchSet(msgspec.Struct, frozen=True, array_like=True, tag=24, gc=False):
    account: AccountId
    cancel_after: int  # seconds from `ts` on; 0 = never
    is_watched: bool  # its orders are canceled when a connection of it ends
    ts: Micros


Record = (
    Booted
    | InstrumentListed
    | AccountOpened
    | AccountClosed
    | Transferred
    | OrderPlaced
    | OrderRejected
    | OrderAmended
    | OrderCanceled
    | OrderReduced
    | LocalTrade
    | TradeOffered
    | TradeSettled
    | TradeAccepted
    | TradeDeclined
    | OffersForgotten
    | PeerSeen
    | KeySet
    | HeuristicDecision
    | HeuristicChecked
    | HeuristicForgotten
    | KeyCreated
    | KeyRevoked
    | SwitchSet
)
