"""What a peer may say: a bound for every number, text and list of its messages (B7).

Theory of operation
===================
A certified peer may be broken, or lie.  Nothing of a batch is logged or learned before all of
it is within the bounds of the table below; a field without a row fails a test.  What needs
more than the message is held against what this node knows right before the message is taken:

    said                          | must be
    ------------------------------+---------------------------------------------------------
    a session that a peer opens   | of no boot epoch above the one that its hello names
    its boot epoch                | up to EPOCHS_AHEAD above the last that was seen
    the number of a new offer     | of its boot epoch or one before, and up to OFFERS_AHEAD
                                  | above the last that was handled: they come in order (S5)
    a watermark                   | up to the offer behind the last that was handled (S7)
    an instrument                 | one that may be listed (M2)
    a symbol                      | well-formed, listed here or not

Whatever breaks a rule quarantines its sender, and ends the link: what is in doubt between the
two goes on in the next session, from what both have logged.
"""

from collections.abc import Iterable
from operator import attrgetter, gt, lt
from typing import Any

import msgspec

from exchange.domain.book import OrderEvent
from exchange.domain.instruments import (
    DECIMALS_MAX,
    NUMBER_TEXT_MAX,
    Instrument,
    NumberError,
    check_instrument,
)
from exchange.domain.names import is_symbol
from exchange.domain.units import NODE_BITS, NODE_MAX, NUMBER_BITS, PRICE_MAX, QUANTITY_MAX, Seq
from exchange.engine import messages
from exchange.engine.errors import RemoteProtocolError
from exchange.engine.messages import (
    BOOT_ID_SIZE,
    DIGEST_SIZE,
    MAC_SIZE,
    REASON_MAX,
    Batch,
    Hello,
    PeerMessage,
)
from exchange.engine.records import OfferId
from exchange.engine.soft import Link, Soft
from exchange.engine.state import PeerState, State

MESSAGES_MAX = 8_192  # of a batch: the shell sends more in several
LIST_MAX = 4_096  # entries of a list in a message: the whole ring of events fits (B2)
EPOCH_MAX = 1 << 40  # boots: a thousand a second for thirty years
SEQ_MAX = 1 << 60  # of a stream, of offers, of a log: none gets there, and none overflows
ID_MAX = (1 << NODE_BITS + NUMBER_BITS) - 1
COUNT_MAX = 1 << NUMBER_BITS
BYTES_MAX = 64  # of a nonce or boot id: they have 16 and 8
NAME_MAX = 64  # characters of a cluster's name
ADDRESS_MAX = 300  # as at the coordinator; a DNS name has up to 253
EPOCHS_AHEAD = 1 << 20  # restarts while two nodes were apart: one a second for 12 days
OFFERS_AHEAD = 1 << 16  # an operator may have decided offers that were never handled here

EPOCH, SEQ, COUNT, ID = (0, EPOCH_MAX), (0, SEQ_MAX), (0, COUNT_MAX), (0, ID_MAX)
CLOCK = (0, ID_MAX)  # what it is held against: `clocks`

# The least and the greatest number, or the shortest and the longest text or list.
BOUNDS: dict[type, dict[str, tuple[int, int]]] = {
    Batch: {"messages": (0, MESSAGES_MAX), "clock": CLOCK, "wall": CLOCK, "sender": (1, NODE_MAX)},
    messages.Session: {"epoch": EPOCH, "counter": COUNT},
    messages.SealedProof: {
        "lsn": SEQ,
        "digest": (DIGEST_SIZE, DIGEST_SIZE),
        "boot_id": (0, BOOT_ID_SIZE),
        "mac": (MAC_SIZE, MAC_SIZE),
    },
    OfferId: {"epoch": EPOCH, "seq": SEQ},
    Hello: {
        "cluster": (0, NAME_MAX),
        "nonce": (0, BYTES_MAX),
        "epoch": EPOCH,
        "boot_id": (0, BYTES_MAX),
        "address": (0, ADDRESS_MAX),
        "known": (0, BYTES_MAX),
    },
    messages.Refusal: {"reason": (0, REASON_MAX)},
    messages.Events: {"epoch": EPOCH, "first_seq": SEQ, "events": (0, LIST_MAX)},
    messages.SnapshotBegin: {"epoch": EPOCH, "seq": SEQ},
    messages.SnapshotChunk: {"orders": (0, LIST_MAX)},
    messages.SnapshotEnd: {"epoch": EPOCH, "seq": SEQ, "count": COUNT, "sum": (32, 32)},
    messages.Resumed: {"epoch": EPOCH, "seq": SEQ},
    messages.Resync: {},
    messages.Applied: {"epoch": EPOCH, "seq": SEQ},
    messages.Offer: {
        "trade_id": ID,
        "taker": ID,
        "maker": ID,
        "quantity": (1, QUANTITY_MAX),
        "price": (1, PRICE_MAX),
        "taker_stamp": ID,
        "maker_stamp": ID,
    },
    messages.Reply: {"quantity": (0, QUANTITY_MAX)},
    messages.Ack: {},
    messages.Heartbeat: {"epoch": EPOCH, "seq": SEQ, "count": COUNT, "sum": (32, 32)},
    messages.Listed: {"instruments": (0, LIST_MAX)},
    messages.Quarantine: {"reason": (0, REASON_MAX)},
    OrderEvent: {
        "order_id": ID,
        "symbol": (1, NUMBER_TEXT_MAX),
        "price": (1, PRICE_MAX),
        "open": (0, QUANTITY_MAX),
        "stamp": ID,
        "version": (1, SEQ_MAX),
        "account": ID,
    },
    Instrument: {
        "symbol": (1, NUMBER_TEXT_MAX),
        "base": (1, NUMBER_TEXT_MAX),
        "quote": (1, NUMBER_TEXT_MAX),
        "tick_size": (1, NUMBER_TEXT_MAX),
        "lot_size": (1, NUMBER_TEXT_MAX),
        "base_decimals": (0, DECIMALS_MAX),
        "quote_decimals": (0, DECIMALS_MAX),
    },
}
HAVE = (EPOCH, SEQ)  # `Hello.have`, the one field that is a bare pair


class _Rule:
    """The bounds of one kind of struct, as C compares them: every event passes here."""

    def __init__(self, kind: type) -> None:
        bounds, sizes, parts = BOUNDS[kind], [], []
        numbers = []
        for field in msgspec.structs.fields(kind):
            if field.name not in bounds:
                parts.append(field.name)
            elif _base(field.type) in (str, bytes, list):
                sizes.append(field.name)
                parts += [field.name] if _base(field.type) is list else []
            else:
                numbers.append(field.name)
        self.numbers, self.sizes, self.parts = _getter(numbers), _getter(sizes), parts
        self.lows = tuple(bounds[name][0] for name in (*numbers, *sizes))
        self.highs = tuple(bounds[name][1] for name in (*numbers, *sizes))
        self.names = (*numbers, *sizes)

    def check(self, thing: Any) -> None:  # noqa: ANN401 - any struct of the table
        """Raise RemoteProtocolError for the first field that is out of bounds."""
        values = (*self.numbers(thing), *map(len, self.sizes(thing)))
        if any(map(lt, values, self.lows)) or any(map(gt, values, self.highs)):
            for name, value, low, high in zip(
                self.names, values, self.lows, self.highs, strict=True
            ):
                if not low <= value <= high:
                    kind = type(thing).__name__
                    raise RemoteProtocolError(f"{kind}.{name} is {value}, not {low} to {high}")


def _getter(names: list[str]) -> Any:  # noqa: ANN401 - a callable that returns a tuple
    if len(names) > 1:
        return attrgetter(*names)
    if not names:
        return lambda _thing: ()
    one = attrgetter(names[0])
    return lambda thing: (one(thing),)


def _base(kind: Any) -> Any:  # noqa: ANN401 - whatever a field is declared as
    """Return what a declared type is at run time: of an Annotated, a NewType or a list."""
    while hasattr(kind, "__supertype__"):
        kind = kind.__supertype__
    return getattr(kind, "__origin__", kind)


_RULES = {kind: _Rule(kind) for kind in BOUNDS}


def check_batch(state: State, batch: Batch) -> None:
    """Raise RemoteProtocolError unless all of a batch is what a peer may say at all."""
    try:
        _check(batch)
        for message in batch.messages:
            if isinstance(message, Hello):
                _check_hello(state, batch, message)
            elif isinstance(message, messages.Listed):
                for instrument in message.instruments:
                    check_instrument(instrument)
            else:
                _check_reason(getattr(message, "reason", ""))
    except NumberError as error:
        raise RemoteProtocolError(f"node {batch.sender} lists an instrument: {error}") from error
    except RemoteProtocolError as error:
        raise RemoteProtocolError(
            f"node {batch.sender} sent what no node sends: {error}"
        ) from error


def check_message(soft: Soft, link: Link, message: PeerMessage) -> None:
    """Raise RemoteProtocolError for what its sender cannot know or number (S5, S7)."""
    peer = soft.state.peer(link.peer)
    match message:
        case Hello():
            if message.epoch > peer.epoch + EPOCHS_AHEAD:
                told = f"node {link.peer} comes with epoch {message.epoch} after {peer.epoch}"
                raise RemoteProtocolError(told)
        case messages.Offer():
            _check_number(peer, message.offer_id)
        case _:
            pass


def check_watermark(peer: PeerState, below: OfferId) -> None:
    """Raise RemoteProtocolError where offers are acknowledged that were never answered (S7).

    All below is resolved there, so it was handled here; the next one may be the first of an epoch.
    """
    mark = peer.mark
    is_next = below.epoch <= peer.epoch and below.epoch > mark.epoch and below.seq <= 1
    if below > OfferId(mark.epoch, Seq(mark.seq + 1)) and not is_next:
        raise RemoteProtocolError(f"node {peer.peer} acknowledges {below}, {mark} is the last")


def printable(reason: str) -> str:
    """Make a reason one that may be sent, and shown: no control characters, not too long."""
    return "".join(char if char.isprintable() else "?" for char in reason[:REASON_MAX])


def _check(thing: Any) -> None:  # noqa: ANN401 - a struct, a list of them, or nothing
    rule = _RULES.get(type(thing))
    if rule is None:
        raise RemoteProtocolError(f"a {type(thing).__name__}")
    rule.check(thing)
    if type(thing) is OrderEvent:
        if not is_symbol(thing.symbol):
            raise RemoteProtocolError("OrderEvent.symbol is not a symbol")
        return
    for name in rule.parts:
        part = getattr(thing, name)
        if isinstance(part, list):
            for one in part:
                _check(one)
        elif isinstance(part, msgspec.Struct):
            _check(part)
        elif isinstance(part, tuple):
            _check_pair(part)


def _check_pair(have: Iterable[int]) -> None:
    for value, (low, high) in zip(have, HAVE, strict=True):
        if not low <= value <= high:
            raise RemoteProtocolError(f"Hello.have has {value}, not {low} to {high}")


def _check_hello(state: State, batch: Batch, hello: Hello) -> None:
    known = state.peer(batch.sender).epoch
    if batch.sender < state.node_id and batch.session.epoch > max(hello.epoch, known):
        raise RemoteProtocolError("a session of an epoch that has not been")
    address = hello.address
    if not (address.isascii() and address.isprintable()) or " " in address:
        raise RemoteProtocolError("Hello.address is not one")
    if not hello.cluster.isprintable():
        raise RemoteProtocolError("Hello.cluster is not printable")


def _check_reason(reason: str) -> None:
    if not reason.isprintable():
        raise RemoteProtocolError("a reason that is not printable")


def _check_number(peer: PeerState, offer_id: OfferId) -> None:
    mark = peer.mark
    handled = mark.seq if offer_id.epoch == mark.epoch else 0
    if offer_id.epoch > peer.epoch or (offer_id > mark and offer_id.seq > handled + OFFERS_AHEAD):
        raise RemoteProtocolError(
            f"node {peer.peer} offers {offer_id}: its epoch is {peer.epoch}, the last was {mark}"
        )
