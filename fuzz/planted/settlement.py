"""Bugs of the settlement of a trade between two nodes: S2 to S9."""

from fuzz.planted.bug import APPLY, COMMANDS, CORE, MATCHING, SETTLEMENT, STATE, Planted

BUGS = (
    Planted(
        "maker_not_matched_again_behind_a_reply",
        "S3",
        SETTLEMENT,
        "            decision.follow.append(MatchAgainst(taker.symbol, maker.side, maker.price, "
        "maker.stamp))\n",
        "            pass\n",
        ("tests/exchange/engine/test_settlement.py",),
    ),
    Planted(
        "mark_dropped",
        "S5",
        SETTLEMENT,
        "    if offer.offer_id <= peer.mark:\n",
        "    if (link.peer, offer.offer_id) in state.acceptances:\n",
        ("late", "mixed"),
    ),
    Planted(
        "mark_dropped_sessions_off",
        "S5",
        SETTLEMENT,
        "    if offer.offer_id <= peer.mark:\n",
        "    if (link.peer, offer.offer_id) in state.acceptances:\n",
        ("no_sessions",),
    ),
    Planted(
        "decline_moves_no_mark",
        "S5",
        APPLY,
        "def _trade_declined(state: State, record: TradeDeclined) -> None:\n"
        "    peer = peer_of(state, record.proposer)\n"
        "    peer.mark = max(peer.mark, record.offer_id)\n",
        "def _trade_declined(state: State, record: TradeDeclined) -> None:\n"
        "    peer_of(state, record.proposer)\n",
    ),
    Planted(
        "offer_applied_twice",
        "S5",
        APPLY,
        "    peer = peer_of(state, record.proposer)\n"
        "    peer.mark = max(peer.mark, record.offer_id)\n"
        "    key = (record.proposer, record.offer_id)\n",
        "    peer = peer_of(state, record.proposer)\n"
        "    key = (record.proposer, record.offer_id)\n",
    ),
    Planted(
        "presume_commit",
        "S5",
        SETTLEMENT,
        "accepted = acceptance.quantity if acceptance else Lots(0)\n",
        "accepted = acceptance.quantity if acceptance else offer.quantity\n",
        ("late", "no_sessions"),
    ),
    Planted(
        "timeout_releases",
        "S4",
        CORE,
        "        link.is_suspected = True\n        link.detail = reason\n",
        "        link.is_suspected = True\n        link.detail = reason\n"
        "        from exchange.engine.records import TradeSettled\n"
        "        for offer_id in list(self.state.offers_to.get(link.peer, ())):\n"
        "            self._log(TradeSettled(link.peer, offer_id, 0, self.soft.wall))\n"
        "        self._project()\n",
    ),
    Planted(
        "aborted_offer_accepted_after_all",
        "S5",
        SETTLEMENT,
        "    if offer.is_withdrawn:\n",
        "    if offer.is_withdrawn and why:\n",
        ("mixed", "tests/recovery/test_resolution.py"),
    ),
    Planted(
        "operators_decision_not_checked",
        "S4",
        SETTLEMENT,
        "    if entry is None or entry.answer >= 0:\n",
        "    if entry is None or entry.answer < 0:\n",
        ("tests/recovery/test_resolution.py",),
    ),
    Planted(
        "amended_after_it_was_told_filled",
        "S9",
        COMMANDS,
        " or order.filled >= order.total:\n",
        " or order.is_done:\n",
        ("tests/exchange/engine/test_settlement.py",),
    ),
    Planted(
        "more_asked_than_an_operator_decided",
        "S5",
        SETTLEMENT,
        "    return msgspec.structs.replace(offer, quantity=entry.decided)\n",
        "    return offer\n",
        ("tests/exchange/engine/test_settlement_in_doubt.py",),
    ),
    Planted(
        "forget_early",
        "S7",
        SETTLEMENT,
        "    unresolved = [next(iter(out))] if out else []\n",
        "    unresolved: list[OfferId] = []\n",
    ),
    Planted(
        "watermark_not_recorded",
        "S7",
        APPLY,
        "    peer.forgotten = max(peer.forgotten, record.below)\n",
        "",
    ),
    Planted(
        "reservation_forgotten_on_restart",
        "S3",
        STATE,
        "            self.add_offer(key, self.offers[key])\n",
        "            self.add_offer(key, self.offers[key])\n"
        "            self.offered_against[self.offers[key].maker] = 0\n",
    ),
    Planted(
        "reservation_forgotten_on_redo",
        "S3",
        "exchange/store/redo.py",
        "        apply(state, record)\n",
        "        apply(state, record)\n"
        "        if type(record).__name__ == 'TradeOffered':\n"
        "            state.orders[record.taker].offered = 0\n",
    ),
    Planted(
        "whole_offer_settled_on_partial_acceptance",
        "S3",
        SETTLEMENT,
        "TradeSettled(link.peer, reply.offer_id, reply.quantity, soft.wall)",
        "TradeSettled(link.peer, reply.offer_id, offer.quantity if reply.quantity else "
        "reply.quantity, soft.wall)",
    ),
    Planted(
        "more_accepted_than_open",
        "S3",
        SETTLEMENT,
        "        Lots(min(offer.quantity, maker.open)),\n",
        "        offer.quantity,\n",
    ),
    Planted(
        "changed_maker_accepted",
        "S9",
        SETTLEMENT,
        "    if maker.price != offer.price or maker.stamp != offer.maker_stamp:\n",
        "    if maker.price != offer.price:\n",
    ),
    Planted(
        "wrong_proposer",
        "S2",
        MATCHING,
        "        if entry.stamp >= taker.stamp:\n",
        "        if entry.stamp == taker.stamp:\n",
    ),
    Planted(
        "reply_before_the_makers_event",
        "S3",
        CORE,
        "        if touched:\n"
        "            self._publish([*touched.values()])\n"
        "        if self._held:\n"
        "            for effect in self._held:\n"
        "                self._emit(effect)\n"
        "            self._held.clear()\n",
        "        if self._held:\n"
        "            for effect in self._held:\n"
        "                self._emit(effect)\n"
        "            self._held.clear()\n"
        "        if touched:\n"
        "            self._publish([*touched.values()])\n",
    ),
    Planted(
        "published_by_both_sides",
        "S8",
        APPLY,
        "    clear(state, peer_of(state, key[0]), order, quantity=quantity, price=offer.price)\n",
        "    clear(state, peer_of(state, key[0]), order, quantity=quantity, price=offer.price)\n"
        "    publish_trade(\n"
        "        state, order, offer.trade_id, price=offer.price, quantity=quantity, ts=ts\n"
        "    )\n",
    ),
    Planted(
        "own_release_not_matched_again",
        "S3",
        SETTLEMENT,
        "    decision.follow.append(MatchOrder(taker.order_id))\n",
        "",
    ),
    Planted(
        "offers_sent_again_out_of_order",
        "S6",
        SETTLEMENT,
        "    return sorted(offers, key=lambda offer: offer.offer_id)\n",
        "    return sorted(offers, key=lambda offer: offer.offer_id, reverse=True)\n",
    ),
)
