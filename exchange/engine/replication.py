"""Streams and replicas: how every node comes to hold the whole market's book (design 5).

Theory of operation
===================
Each owner numbers its order events from 1 in every boot epoch.  A replica is brought level
by the events it missed, or by a snapshot: begin, chunks of current state mixed with live
events, end; the later message wins (B2).  Inside a session a gap is a fault of the link.
Sums compared at every heartbeat find what events cannot (B4).

These functions change soft state only.  What they return is for the caller to match (S3).
"""

from collections import deque
from collections.abc import Iterator

from exchange.domain.book import OrderEvent, OwnerBook, crossing
from exchange.domain.orders import IOC, Order, open_of
from exchange.domain.units import (
    PRICE_MAX,
    QUANTITY_MAX,
    Clock,
    Epoch,
    Lots,
    OrderId,
    Seq,
    node_of,
)
from exchange.engine.clocks import check_stamp
from exchange.engine.decision import Decision, MatchAgainst, MatchOrder
from exchange.engine.effects import Send, WantMore
from exchange.engine.errors import LinkError, RemoteProtocolError
from exchange.engine.messages import (
    Events,
    Heartbeat,
    PeerMessage,
    Resumed,
    Resync,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
)
from exchange.engine.settlement import watermark
from exchange.engine.soft import NOTHING_APPLIED, Link, Soft

SUM_MASK = (1 << 128) - 1


def event_of(order: Order) -> OrderEvent:
    """Describe an order as it is in the stream: an IOC never shows quantity (B1)."""
    rests = order.time_in_force is not IOC
    return OrderEvent(
        order.order_id,
        order.symbol,
        order.side,
        order.price,
        open_of(order) if rests else Lots(0),
        order.stamp,
        order.version,
        order.account,
    )


def sum_text(book: OwnerBook) -> str:
    """Write the additive hash as it goes over the wire: modulo 2**128."""
    return f"{book.sum & SUM_MASK:032x}"


def runs_of(epoch: Epoch, first: int, events: list[OrderEvent], most: int) -> Iterator[Events]:
    """Cut a run of the stream into messages: one of 200,000 events fits no line (E6)."""
    for start in range(0, len(events), most):
        yield Events(epoch, Seq(first + start), events[start : start + most])


def start_stream(soft: Soft, link: Link, have: tuple[int, int] | None) -> Decision:
    """Bring a peer level: the events it missed if we still have them, else a snapshot (B2)."""
    epoch, seq = soft.state.scalars.epoch, soft.stream_seq
    oldest = seq - len(soft.ring) + 1
    if have is None or have[0] != epoch or not oldest - 1 <= have[1] <= seq:
        return start_snapshot(soft, link)
    decision = Decision()
    link.applied = Seq(have[1])
    missed = list(soft.ring)[len(soft.ring) - (seq - have[1]) :] if seq > have[1] else []
    for message in runs_of(epoch, have[1] + 1, missed, soft.config.chunk):
        _send(link, decision, message)
    _send(link, decision, Resumed(epoch, seq))
    return decision


def start_snapshot(soft: Soft, link: Link) -> Decision:
    """Begin a snapshot; the chunks follow as the link has room."""
    decision = Decision()
    link.outgoing = deque(sorted(soft.own.orders))
    link.applied = NOTHING_APPLIED  # it shows nothing until it says so (B3)
    _send(link, decision, SnapshotBegin(soft.state.scalars.epoch, soft.stream_seq))
    _want_more(link, decision)
    return decision


def continue_snapshot(soft: Soft, link: Link) -> Decision:
    """Send the next chunk, as the orders are now, or the end."""
    decision = Decision()
    if link.outgoing is None:
        return decision
    link.progress_us = soft.now_us
    chunk: list[OrderEvent] = []
    while link.outgoing and len(chunk) < soft.config.chunk:
        order = soft.state.orders.get(link.outgoing.popleft())
        if order is not None and order.order_id in soft.own.orders:
            chunk.append(event_of(order))
    if chunk:
        _send(link, decision, SnapshotChunk(chunk))
    if link.outgoing:
        _want_more(link, decision)
        return decision
    link.outgoing = None
    count, total = len(soft.own.orders), sum_text(soft.own)
    _send(
        link,
        decision,
        SnapshotEnd(soft.state.scalars.epoch, soft.stream_seq, count, total),
    )
    return decision


def heartbeat(soft: Soft, link: Link) -> Heartbeat:
    """Say how our stream, our book and our offers stand (B4, S7)."""
    return Heartbeat(
        soft.state.scalars.epoch,
        soft.stream_seq,
        len(soft.own.orders),
        sum_text(soft.own),
        watermark(soft, link.peer),
        link.pace.is_aside,
    )


def learn_events(soft: Soft, link: Link, message: Events, *, clock: Clock) -> list[OrderEvent]:
    """Apply a run of a peer's stream; return the events to match against (B1, B2, S3).

    Those are the orders that show more than before, or at other terms, as they are at the end of
    the run.  A taker that is being filled says how much is left at each reply: nothing appeared.
    """
    _check_epoch(soft, link, message.epoch)
    for event in message.events:
        _check_event(link, event, clock)
    last = (message.epoch, Seq(message.first_seq + len(message.events) - 1))
    if link.incoming is not None:
        _check_next(link.incoming_have, message)
        for event in message.events:
            _update(link.incoming, event)
        link.incoming_have = last
    if not link.is_synced and link.incoming is not None:
        return []
    if link.have is None:
        raise LinkError(f"node {link.peer} sent events before a snapshot")
    _check_next(link.have, message)
    grown: dict[OrderId, OrderEvent] = {}
    for event in message.events:
        order_id = event.order_id
        known = link.replica.orders.get(order_id)
        if known is not None and event.version < known.version:
            raise RemoteProtocolError(f"node {link.peer} rewound order {order_id}")
        _update(link.replica, event)
        if order_id in grown or known is None or _has_grown(known, event):
            grown[order_id] = event
    link.have = last
    return [event for event in grown.values() if event.open]


def _has_grown(known: OrderEvent, event: OrderEvent) -> bool:
    return event.open > known.open or (event.stamp, event.price) != (known.stamp, known.price)


def begin_snapshot(soft: Soft, link: Link, message: SnapshotBegin) -> None:
    """Start to receive a snapshot; what we had is kept, and stale, until it is complete."""
    _check_epoch(soft, link, message.epoch)
    link.incoming = OwnerBook()
    link.incoming_have = (message.epoch, message.seq)
    if not link.is_synced:
        link.have = None


def learn_chunk(link: Link, message: SnapshotChunk, *, clock: Clock) -> None:
    """Add a chunk to the snapshot; the later message wins."""
    if link.incoming is None:
        raise LinkError(f"node {link.peer} sent a chunk outside a snapshot")
    for event in message.orders:
        _check_event(link, event, clock)
        _update(link.incoming, event)


def end_snapshot(link: Link, message: SnapshotEnd) -> None:
    """Check the snapshot against the owner's sum and swap it in (B4)."""
    if link.incoming is None or link.incoming_have != (message.epoch, message.seq):
        raise LinkError(f"node {link.peer} ended a snapshot out of order")
    if (len(link.incoming.orders), sum_text(link.incoming)) != (message.count, message.sum):
        raise LinkError(f"the snapshot of node {link.peer} does not add up")
    link.replica, link.incoming = link.incoming, None
    link.have = link.incoming_have
    link.told = None  # its owner counts from nothing again, after a resync too (B3)


def check_level(link: Link, message: Resumed) -> None:
    """Check that the events of a resumed stream brought us level."""
    if link.have != (message.epoch, message.seq):
        raise LinkError(f"node {link.peer} resumed its stream with a gap")


def check_heartbeat(link: Link, message: Heartbeat) -> Resync | None:
    """Compare our replica with the owner's sum; ask for a snapshot where they differ (B4)."""
    is_level = link.is_synced and link.incoming is None
    if not is_level or link.have != (message.epoch, message.seq):
        return None
    if (len(link.replica.orders), sum_text(link.replica)) == (message.count, message.sum):
        return None
    return Resync()


def decide_match_replica(soft: Soft, link: Link) -> Decision:
    """Match own younger orders against a peer that has just come level (S3)."""
    decision = Decision()
    if soft.is_ready:
        decision.follow.extend(MatchOrder(key) for key in crossing(soft.own, [link.replica]))
    return decision


def match_against(events: list[OrderEvent]) -> Decision:
    """Match own younger orders against events that show open quantity (S3)."""
    decision = Decision()
    decision.follow.extend(
        MatchAgainst(event.symbol, event.side, event.price, event.stamp) for event in events
    )
    return decision


def _update(book: OwnerBook, event: OrderEvent) -> None:
    known = book.orders.get(event.order_id)
    if known is not None:
        is_same = (known.symbol, known.side, known.account) == (
            event.symbol,
            event.side,
            event.account,
        )
        if not is_same:
            raise RemoteProtocolError(f"order {event.order_id} became another one")
    book.update(event)


def _check_epoch(soft: Soft, link: Link, epoch: int) -> None:
    if epoch != soft.state.peer(link.peer).epoch:
        raise RemoteProtocolError(f"node {link.peer} speaks of epoch {epoch}, not its own")


def _check_next(have: tuple[int, int], message: Events) -> None:
    if (message.epoch, message.first_seq) != (have[0], have[1] + 1):
        raise LinkError(f"gap: have {have}, got {message.first_seq}")


def _check_event(link: Link, event: OrderEvent, clock: Clock) -> None:
    """Refuse what a peer may not say (B7): foreign orders, impossible numbers."""
    if node_of(event.order_id) != link.peer or node_of(event.account) != link.peer:
        raise RemoteProtocolError(f"node {link.peer} speaks for order {event.order_id}")
    if not (0 < event.price <= PRICE_MAX and 0 <= event.open <= QUANTITY_MAX):
        raise RemoteProtocolError(f"node {link.peer} sent impossible numbers")
    if event.version < 1:
        raise RemoteProtocolError(f"node {link.peer} sent impossible numbers")
    check_stamp(link, event.stamp, clock)


def _send(link: Link, decision: Decision, message: PeerMessage) -> None:
    assert link.session is not None, "a stream needs a session"
    decision.effects.append(Send(link.peer, link.session, message))


def _want_more(link: Link, decision: Decision) -> None:
    assert link.session is not None, "a snapshot needs a session"
    decision.effects.append(WantMore(link.peer, link.session))
