"""Matching: what an order meets in the market's book, as records (S2, S3, S10).

Only the owner of the younger order of a crossing pair acts: it trades locally with own
makers and proposes to the owners of the others, at the maker's price.  The book is not
changed while it is walked: every maker is met at most once in a pass, and what our offers
out have already reserved at a peer is subtracted from what is seen of it.
"""

from collections.abc import Iterable

import msgspec

from exchange.domain.book import OrderEvent, crossed_by, crossing, makers
from exchange.domain.orders import IOC, FirstAnswer, Reason, SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    NUMBER_BITS,
    AccountId,
    Clock,
    Lots,
    NodeId,
    OrderId,
    Seq,
    Stamp,
    Symbol,
    Ticks,
    TradeId,
    make_stamp,
)
from exchange.engine.decision import Decision, MatchAgainst, MatchOrder
from exchange.engine.effects import Send
from exchange.engine.messages import Offer
from exchange.engine.records import (
    LocalTrade,
    OfferId,
    OrderCanceled,
    OrderReduced,
    TradeOffered,
)
from exchange.engine.soft import Soft


class Taker(msgspec.Struct, gc=False):
    """The order being matched, as it is in this pass."""

    order_id: OrderId
    account: AccountId
    symbol: Symbol
    side: Side
    price: Ticks
    stamp: Stamp
    quantity: Lots  # open
    time_in_force: TimeInForce
    self_trade: SelfTrade


def clock_now(soft: Soft) -> Clock:
    """Return the hybrid logical clock: never behind the wall, a peer, or an own stamp (S2)."""
    heard, own = soft.clock, soft.state.scalars.clock
    return heard if heard > own else own  # noqa: FURB136 - `max` costs a microsecond


def next_stamp(soft: Soft) -> Stamp:
    """Return the stamp that an order gets now; taken by applying a record that has it (S2)."""
    return make_stamp(clock_now(soft) + 1, soft.state.node_id)


def match(
    soft: Soft, taker: Taker, met: Iterable[OrderEvent], decision: Decision, *, number: int
) -> FirstAnswer:
    """Match a taker against the makers it met; records and offers go into the decision.

    It meets no more than `config.slice` of them: the rest is for a pass of another turn.
    `number` is the last order or trade number given out.  What it returns is what the first
    answer says, if this is the pass at entry.
    """
    filled = offered = cost = 0
    reason = Reason.NONE
    left: int = taker.quantity
    room, is_cut = soft.config.slice, False
    state, now, own = soft.state, soft.wall, soft.state.node_id
    next_seq: dict[NodeId, int] = {}
    for entry in met:
        if entry.stamp >= taker.stamp:
            continue  # its owner is the proposer (S2)
        maker = entry.order_id
        owner = NodeId(maker >> NUMBER_BITS)
        if owner == own and entry.account == taker.account:
            if taker.self_trade is not SelfTrade.CANCEL_NEWEST:
                decision.records.append(OrderCanceled(maker, Reason.SELF_TRADE, now))
            if taker.self_trade is not SelfTrade.CANCEL_OLDEST:
                reason = Reason.SELF_TRADE
                break
            continue
        free = entry.open if owner == own else entry.open - state.offered_against.get(maker, 0)
        if free <= 0:
            continue
        quantity = Lots(min(left, free))
        left -= quantity
        number += 1
        trade_id = TradeId(state.id_zero + number)
        if owner == own:
            decision.records.append(
                LocalTrade(
                    trade_id,
                    maker,
                    taker.order_id,
                    quantity,
                    entry.price,
                    state.instruments[taker.symbol].trade_time(now),
                )
            )
            filled += quantity
            cost += quantity * entry.price
        else:
            offer_id = _next_offer_id(soft, owner, next_seq)
            decision.records.append(
                TradeOffered(
                    owner,
                    offer_id,
                    trade_id,
                    taker.order_id,
                    maker,
                    quantity,
                    entry.price,
                    taker.price,
                    taker.stamp,
                    entry.stamp,
                    now,
                )
            )
            link = soft.links[owner]
            assert link.session is not None, "a matched peer has a session"
            offer = Offer(
                offer_id,
                trade_id,
                taker.order_id,
                maker,
                taker.side,
                quantity,
                entry.price,
                taker.stamp,
                entry.stamp,
            )
            decision.effects.append(Send(owner, link.session, offer))
            offered += quantity
        room -= 1
        if not (left and room):
            is_cut = left > 0
            break
    if is_cut:
        decision.cut = taker.order_id
    if not left or is_cut or (reason is Reason.NONE and taker.time_in_force is not IOC):
        return FirstAnswer(Lots(filled), Lots(offered), cost, is_cut=is_cut)
    reason = reason or Reason.REMAINDER
    decision.records.append(OrderReduced(taker.order_id, reason, now))
    return FirstAnswer(Lots(filled), Lots(offered), cost, Lots(left), reason)


def decide_match_order(soft: Soft, item: MatchOrder) -> Decision:
    """Match an own order again, if it is still open (S3)."""
    decision = Decision()
    order = soft.state.orders.get(item.order_id)
    if order is None or not soft.is_ready or not order.open:
        return decision
    stamp = next_stamp(soft) if order.time_in_force is IOC else order.stamp
    taker = Taker(
        order.order_id,
        order.account,
        order.symbol,
        order.side,
        order.price,
        stamp,
        order.open,
        order.time_in_force,
        order.self_trade,
    )
    met = makers(soft.matched, taker.symbol, taker.side, taker.price)
    match(soft, taker, met, decision, number=soft.state.scalars.number)
    return decision


def decide_match_against(soft: Soft, item: MatchAgainst) -> Decision:
    """Find the own younger orders that an open order crosses; each is matched again (S3)."""
    decision = Decision()
    if soft.is_ready:
        for entry in crossed_by(soft.own, item.symbol, item.side, item.price):
            if entry.stamp > item.stamp:
                decision.follow.append(MatchOrder(entry.order_id))
    return decision


def decide_match_all(soft: Soft) -> Decision:
    """Match own orders that cross, oldest first: the node has become ready (C6).

    Among them those that never rest, and so are in no book.
    """
    orders, decision = soft.state.orders, Decision()
    found = [one.order_id for one in orders.values() if one.time_in_force is IOC and one.open]
    found += crossing(soft.own, soft.matched)
    found.sort(key=lambda order_id: orders[order_id].stamp)
    decision.follow.extend(MatchOrder(order_id) for order_id in found)
    return decision


def _next_offer_id(soft: Soft, decider: NodeId, next_seq: dict[NodeId, int]) -> OfferId:
    """Return the next id of an offer to a decider; seq starts at 1 in each epoch (S5)."""
    state = soft.state
    epoch = state.scalars.epoch
    seq = next_seq.get(decider)
    if seq is None:
        last = state.peer(decider).last_offer
        seq = last.seq + 1 if last.epoch == epoch else 1
    next_seq[decider] = seq + 1
    return OfferId(epoch, Seq(seq))
