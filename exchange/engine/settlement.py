"""Settlement: two-phase commit between the owners of the two sides of a trade (design 4).

Theory of operation
===================
The taker's owner, the proposer, has reserved the taker's quantity and sent an offer.  The
maker's owner, the decider, answers at once; its forced acceptance is the commit point.

    offer                        | acceptance stands | none
    -----------------------------+-------------------+-----------------------------
    below the forgotten mark     | impossible        | quarantine: state was lost (S7)
    at or below the mark         | the same answer   | declined, nothing logged (S5)
    above the mark               | impossible        | decided now, the mark moves here

Only the decider's reply ends the proposer's doubt (S4).  A reply to an offer that is not out
any more is old news.  `decide` functions here read and never change.
"""

import msgspec

from exchange.domain.orders import Side
from exchange.domain.units import Lots, NodeId, OrderId, Seq, format_id, node_of
from exchange.engine.decision import Decision, MatchAgainst, MatchOrder
from exchange.engine.effects import Alarm, CloseLink, Send
from exchange.engine.errors import RemoteProtocolError
from exchange.engine.messages import Offer, Reply
from exchange.engine.records import (
    HeuristicChecked,
    OfferId,
    Record,
    TradeAccepted,
    TradeDeclined,
    TradeSettled,
)
from exchange.engine.soft import Link, Soft
from exchange.engine.state import HeuristicOut, OfferOut


def decide_offer(soft: Soft, link: Link, offer: Offer) -> Decision:
    """Answer an offer: accept as much as the maker has open, or decline (S3, S5)."""
    state = soft.state
    _check_offer(soft, link.peer, offer)
    decision = Decision()
    peer = state.peer(link.peer)
    acceptance = state.acceptances.get((link.peer, offer.offer_id))
    if acceptance is None and offer.offer_id < peer.forgotten:
        raise RemoteProtocolError(
            f"node {link.peer} offers {offer.offer_id} again, which it had acknowledged: "
            "it has lost state or is a copy (S7)"
        )
    if offer.offer_id <= peer.mark:
        accepted = acceptance.quantity if acceptance else Lots(0)
    else:
        record = _decide_new(soft, link, offer)
        decision.records.append(record)
        accepted = record.quantity if isinstance(record, TradeAccepted) else Lots(0)
    assert link.session is not None, "an offer came over a session"
    decision.effects.append(Send(link.peer, link.session, Reply(offer.offer_id, accepted)))
    return decision


def decide_reply(soft: Soft, link: Link, reply: Reply) -> Decision:
    """Settle or release what was offered; released quantity is matched again (S3)."""
    state = soft.state
    decision = Decision()
    offer = state.offers.get((link.peer, reply.offer_id))
    if offer is None:
        _check_heuristic(soft, link, reply, decision)
        return decision  # answered before, or resolved by an operator
    if not 0 <= reply.quantity <= offer.quantity:
        raise RemoteProtocolError(
            f"node {link.peer} accepted {reply.quantity} of {offer.quantity} lots"
        )
    decision.records.append(TradeSettled(link.peer, reply.offer_id, reply.quantity, soft.wall))
    taker = state.orders[offer.taker]
    decision.follow.append(MatchOrder(taker.order_id))
    decision.follow.append(MatchAgainst(taker.symbol, taker.side, taker.price, taker.stamp))
    maker = link.replica.orders.get(offer.maker)
    if maker is not None and link.is_matched:
        if (
            reply.quantity < offer.quantity
            and maker.stamp == offer.maker_stamp
            and maker.price == offer.price
        ):
            # The event before the reply must have shown why; matching would never end (S3).
            assert link.session is not None, "a reply came over a session"
            why = f"node {link.peer} declined order {offer.maker} and still shows it open"
            decision.effects.append(CloseLink(link.peer, link.session, why))
        else:
            decision.follow.append(MatchAgainst(taker.symbol, maker.side, maker.price, maker.stamp))
    return decision


def watermark(soft: Soft, decider: NodeId) -> OfferId:
    """Return the offer below which all ours to `decider` are resolved and applied (S7).

    What an operator decided stays above it, so that the decider keeps its own answer.
    """
    out = soft.state.offers_to.get(decider)
    unresolved = [next(iter(out))] if out else []
    # As many as people decided and the decider has not spoken about: a handful.
    unresolved += [offer_id for peer, offer_id in soft.state.heuristics if peer == decider]
    if unresolved:
        return min(unresolved)
    last = soft.state.peer(decider).last_offer
    return OfferId(last.epoch, Seq(last.seq + 1))


def unresolved_offers(soft: Soft, decider: NodeId) -> list[Offer]:
    """Return the offers to send again at the start of a session, in order (S6)."""
    state = soft.state
    offers = [_offer(state.offers[decider, key]) for key in state.offers_to.get(decider, ())]
    for (peer, _), entry in state.heuristics.items():
        if peer == decider and entry.answer < 0:
            offers.append(_asked(entry))
    return sorted(offers, key=lambda offer: offer.offer_id)


def _offer(offer: OfferOut) -> Offer:
    return Offer(
        offer.offer_id,
        offer.trade_id,
        offer.taker,
        offer.maker,
        offer.side,
        offer.quantity,
        offer.price,
        offer.taker_stamp,
        offer.maker_stamp,
    )


def _asked(entry: HeuristicOut) -> Offer:
    """Ask what became of an offer that an operator has decided.

    If the decider has never handled it, it may still do what was decided, and no more: an
    aborted offer is declined for ever (S5).
    """
    offer = _offer(entry.offer)
    if not entry.decided:
        return msgspec.structs.replace(offer, is_withdrawn=True)
    return msgspec.structs.replace(offer, quantity=entry.decided)


def _check_heuristic(soft: Soft, link: Link, reply: Reply, decision: Decision) -> None:
    """Hold an operator's decision against the decider's own: agreement forgets (S4)."""
    entry = soft.state.heuristics.get((link.peer, reply.offer_id))
    if entry is None or entry.answer >= 0:
        return
    decision.records.append(HeuristicChecked(link.peer, reply.offer_id, reply.quantity, soft.wall))
    if entry.decided != reply.quantity:
        trade = format_id(entry.offer.trade_id)
        detail = (
            f"trade {trade}: {entry.operator} decided {entry.decided} lots, node {link.peer} "
            f"had decided {reply.quantity}; both records stay, see exchange-recover timeline"
        )
        decision.effects.append(Alarm("heuristic_disagrees", detail))


def _check_offer(soft: Soft, peer: NodeId, offer: Offer) -> None:
    """Refuse what no honest proposer sends (B7)."""
    if offer.quantity <= 0 or offer.price <= 0:
        raise RemoteProtocolError(f"node {peer} offered {offer.quantity} lots at {offer.price}")
    if node_of(offer.taker) != peer or node_of(offer.trade_id) != peer:
        raise RemoteProtocolError(f"node {peer} offered an order of node {node_of(offer.taker)}")
    if node_of(offer.maker) != soft.state.node_id:
        raise RemoteProtocolError(f"node {peer} sent an offer for node {node_of(offer.maker)}")


def _decide_new(soft: Soft, link: Link, offer: Offer) -> Record:
    """Decide an offer above the mark."""
    why = "quarantined" if link.quarantine else _why_not(soft, offer)
    if offer.is_withdrawn:
        why = "withdrawn"
    if why:
        return TradeDeclined(link.peer, offer.offer_id, offer.trade_id, why, soft.wall)
    maker = soft.state.orders[offer.maker]
    return TradeAccepted(
        link.peer,
        offer.offer_id,
        offer.trade_id,
        offer.maker,
        offer.taker,
        Lots(min(offer.quantity, maker.open)),
        offer.price,
        soft.state.instruments[maker.symbol].trade_time(soft.wall),
    )


def _why_not(soft: Soft, offer: Offer) -> str:
    """Say why an offer cannot be accepted; empty if it can."""
    maker = soft.state.orders.get(OrderId(offer.maker))
    if maker is None or not maker.open or maker.order_id not in soft.own.orders:
        return "gone"
    if maker.price != offer.price or maker.stamp != offer.maker_stamp:
        return "changed"
    if maker.side is offer.side or offer.side not in (Side.BUY, Side.SELL):
        return "wrong side"
    return "" if maker.stamp < offer.taker_stamp else "younger"
