"""What nodes say to each other.  A `Batch` is what one node has to say at once.

Inside a link everything is in order.  A message is a JSON array, its tag first.  The tags
`order`, `offer` and `reply` are those of the reference protocol, with the fields that make
them safe added.
"""

from typing import Annotated

import msgspec

from exchange.domain.book import OrderEvent
from exchange.domain.instruments import Instrument
from exchange.domain.orders import Side
from exchange.domain.units import (
    Clock,
    Epoch,
    Lots,
    Lsn,
    Micros,
    NodeId,
    OrderId,
    Seq,
    Stamp,
    Ticks,
    TradeId,
)
from exchange.engine.records import OfferId

REASON_MAX = 400  # characters of what is told to a peer, and read by people there


class Session(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Names a link for ever: the dialer's epoch and its own counter; only ever rising (S6)."""

    epoch: Epoch
    counter: int


DIGEST_SIZE = 16  # bytes, of the log's chain
BOOT_ID_SIZE = 8  # bytes
MAC_SIZE = 16  # bytes

Digest = Annotated[bytes, msgspec.Meta(min_length=DIGEST_SIZE, max_length=DIGEST_SIZE)]
BootId = Annotated[bytes, msgspec.Meta(max_length=BOOT_ID_SIZE)]
Mac = Annotated[bytes, msgspec.Meta(min_length=MAC_SIZE, max_length=MAC_SIZE)]
Reason = Annotated[str, msgspec.Meta(max_length=REASON_MAX)]


class Proof(msgspec.Struct, frozen=True, array_like=True):
    """A forced LSN and the digest of the log up to it (C3)."""

    lsn: Lsn
    digest: bytes


class SealedProof(msgspec.Struct, frozen=True, array_like=True):
    """A proof as peers get it, keep it and quote it: bound to a boot, and sealed by its maker.

    Only the maker can tell a seal from a forged one (`exchange.engine.proofs`).
    """

    lsn: Lsn
    digest: Digest
    boot_id: BootId  # of the boot that forced it: within one boot a log never forks
    mac: Mac


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """The first message of each side in a session (S6, C3)."""

    cluster: str
    nonce: bytes
    epoch: Epoch
    boot_id: bytes
    address: str
    last_offer: OfferId  # the sender's newest offer to the receiver
    mark: OfferId  # the sender's high-water mark for the receiver's offers
    watermark: OfferId  # all my offers to you below it are resolved and durable here (S7)
    have: tuple[Epoch, Seq] | None  # what I have of your stream; None = send a snapshot
    known: bytes  # the birth nonce that I know you by; empty if I do not
    seen: SealedProof | None  # the last I saw of your log; you made it


class Refusal(msgspec.Struct, frozen=True, array_like=True, tag="refusal"):
    """I do not let you in: the last message of a session, in the place of a hello (C3)."""

    reason: Reason
    seen: SealedProof | None  # the last I saw of your log: if it is not in there, you are a copy


class Events(msgspec.Struct, frozen=True, array_like=True, tag="events"):
    """A run of the owner's stream: `first_seq`, `first_seq` + 1, ... (B1)."""

    epoch: Epoch
    first_seq: Seq
    events: list[OrderEvent]


class SnapshotBegin(msgspec.Struct, frozen=True, array_like=True, tag="snapshot"):
    epoch: Epoch
    seq: Seq  # the stream so far; later events follow mixed with the chunks (B2)


class SnapshotChunk(msgspec.Struct, frozen=True, array_like=True, tag="chunk"):
    orders: list[OrderEvent]


class SnapshotEnd(msgspec.Struct, frozen=True, array_like=True, tag="snapshot_end"):
    epoch: Epoch
    seq: Seq
    count: int
    sum: str  # 32 hexadecimal digits: the additive hash of the owner's open orders (B4)


class Resumed(msgspec.Struct, frozen=True, array_like=True, tag="resumed"):
    """The events you missed have been sent; you are level with me (B2)."""

    epoch: Epoch
    seq: Seq


class Resync(msgspec.Struct, frozen=True, array_like=True, tag="resync"):
    """My replica of your orders does not add up: send a snapshot (B4)."""


class Applied(msgspec.Struct, frozen=True, array_like=True, tag="applied", gc=False):
    """I have applied your stream through here (B3).  The only message exempt from E3."""

    epoch: Epoch
    seq: Seq


class Offer(msgspec.Struct, frozen=True, array_like=True, tag="offer", gc=False):
    offer_id: OfferId
    trade_id: TradeId
    taker: OrderId
    maker: OrderId
    side: Side  # the taker's
    quantity: Lots
    price: Ticks  # the maker's, as the proposer knows it
    taker_stamp: Stamp
    maker_stamp: Stamp
    is_withdrawn: bool = False  # aborted by an operator: answer from the log, accept no more (S5)


class Reply(msgspec.Struct, frozen=True, array_like=True, tag="reply", gc=False):
    offer_id: OfferId
    quantity: Lots  # accepted; 0 is a decline


class Ack(msgspec.Struct, frozen=True, array_like=True, tag="ack", gc=False):
    """The proposer's watermark: everything below is resolved and durable here (S7)."""

    watermark: OfferId


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, tag="heartbeat", gc=False):
    epoch: Epoch
    seq: Seq  # of my stream
    count: int  # my open orders
    sum: str  # their additive hash (B4)
    watermark: OfferId
    is_aside: bool = False  # you are set aside for being slow: do not wait for me either (B5)


class Listed(msgspec.Struct, frozen=True, array_like=True, tag="listed"):
    """Instruments the sender knows; sent after the hello and at each listing."""

    instruments: list[Instrument]


class Quarantine(msgspec.Struct, frozen=True, array_like=True, tag="quarantine"):
    """I have quarantined you: offer me nothing, do not wait for me; settlement goes on (B7)."""

    reason: str


PeerMessage = (
    Hello
    | Refusal
    | Quarantine
    | Events
    | SnapshotBegin
    | SnapshotChunk
    | SnapshotEnd
    | Resumed
    | Resync
    | Applied
    | Offer
    | Reply
    | Ack
    | Heartbeat
    | Listed
)


class Batch(msgspec.Struct, frozen=True, tag_field="type", tag="batch"):
    """One line on a link.  Every batch carries the clock (S2) and the log's proof (C3)."""

    session: Session
    clock: Clock
    proof: SealedProof
    messages: list[PeerMessage]
    sender: NodeId
    wall: Micros = Micros(0)  # what its wall clock shows: to be compared, never believed (S2)
