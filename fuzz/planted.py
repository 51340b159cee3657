"""Bugs that must be caught: each breaks one rule of the design, in one place.

A planted bug is (file, old text, new text).  `tests/fuzz/test_planted.py` asserts that each
old text occurs exactly once, so that they cannot rot.  `fuzz.mutants` plants them one by one
in a private copy and measures how long the hunters need.
"""

import msgspec


class Planted(msgspec.Struct, frozen=True):
    """One bug."""

    name: str
    rule: str  # that it breaks
    file: str
    old: str
    new: str
    hunters: tuple[str, ...] = ("mixed",)  # names in `fuzz.mutants.HUNTERS`, in this order


ENGINE = "exchange/engine/engine.py"
CORE = "exchange/engine/core.py"
LEDGER = "exchange/engine/ledger.py"
APPLY = "exchange/engine/apply.py"
MATCHING = "exchange/engine/matching.py"
SETTLEMENT = "exchange/engine/settlement.py"
SESSIONS = "exchange/engine/sessions.py"
REPLICATION = "exchange/engine/replication.py"
SOFT = "exchange/engine/soft.py"
STATE = "exchange/engine/state.py"
COMMANDS = "exchange/engine/commands.py"
ORDERS = "exchange/domain/orders.py"
BOOK = "exchange/domain/book.py"
STORE = "exchange/store/store.py"
CHECKPOINT = "exchange/store/checkpoint.py"

PLANTED = (
    # The log and what leaves.
    Planted(
        "skip_a_force",
        "W2",
        STORE,
        "            self.disk.write(write.changes)\n",
        "            if write.checkpoint is not None:\n"
        "                self.disk.write(write.changes)\n",
    ),
    Planted(
        "acknowledge_before_force",
        "E3",
        ENGINE,
        "step = Step(self._records, self._effects, self.state.lsn, seen)",
        "step = Step(self._records, self._effects, Lsn(self.state.lsn - len(self._records)), seen)",
    ),
    Planted(
        "boot_epoch_not_forced",
        "W6",
        STORE,
        "        self.commit(write)\n        self.committed(write)\n",
        "        self._prepared = self.proof\n        state.lsn = self.proof.lsn\n",
    ),
    Planted(
        "checkpoint_without_its_lsn",
        "W5",
        CHECKPOINT,
        "checkpoint = Checkpoint(proof.lsn, proof.digest, dict(self._sums))",
        "checkpoint = Checkpoint(self.lsn, proof.digest, dict(self._sums))",
    ),
    Planted(
        "entries_newer_than_the_checkpoint",
        "W5",
        STORE,
        "            self.disk.write(write.changes)\n",
        "            if write.checkpoint is not None:\n"
        "                rows = [row for row in write.changes if row[0] not in ('log', 'meta')]\n"
        "                self.disk.write(rows)\n"
        "            self.disk.write(write.changes)\n",
    ),
    Planted(
        "redo_from_the_wrong_lsn",
        "W5",
        "exchange/store/redo.py",
        "log_key(proof.lsn + 1)",
        "log_key(proof.lsn + 2)",
    ),
    Planted(
        "row_encoded_ahead_and_changed_since",
        "W5",
        CHECKPOINT,
        "[key for key in dirty if key in table]",
        "[key for key in dirty if key in table and key not in ahead]",
    ),
    Planted(
        "changed_entry_evicted",
        "E7",
        CHECKPOINT,
        "clean = (key for key in table if key not in table.dirty and key not in ahead)",
        "clean = (key for key in table if key not in ahead)",
    ),
    Planted(
        "idempotency_key_not_stored",
        "E7",
        APPLY,
        "state.client_keys.put((order.account, order.client_order_id), terms)",
        "state.client_keys[order.account, order.client_order_id] = terms",
    ),
    Planted(
        "idempotency_key_not_logged",
        "E7",
        COMMANDS,
        "        item.client_order_id,\n        first,\n",
        '        "",\n        first,\n',
    ),
    Planted(
        "rejection_not_logged",
        "E2",
        COMMANDS,
        "        decision.records.append(_rejected(soft, item, order_id))\n"
        "        decision.acknowledge.append(Acknowledge(item.ticket, order_id, item.wait_done))\n"
        "        return decision\n",
        '        return _answer(item.ticket, Refused("insufficient_funds", "too little"))\n',
    ),
    Planted(
        "failed_force_swallowed",
        "E4",
        STORE,
        "            self._has_failed = True\n            raise\n",
        "            pass\n",
    ),
    Planted(
        "chain_not_checked",
        "W4",
        "exchange/store/frames.py",
        "    if hasher.digest() != digest:\n",
        "    if not digest:\n",
        ("rotten",),
    ),
    Planted(
        "row_digest_not_checked",
        "W5",
        "exchange/store/tables.py",
        "            check_entry(self.name, key, sealed)  # raises\n",
        "            pass\n",
        ("rotten",),
    ),
    Planted(
        "lmdb_does_not_sync",
        "W1",
        "exchange/store/lmdb_disk.py",
        "                readonly=is_read_only,\n",
        "                readonly=is_read_only,\n                sync=False,\n",
        ("tests/exchange/store/test_lmdb_disk.py",),
    ),
    # Settlement.
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
        ("tests/exchange/engine/test_settlement.py",),
    ),
    Planted(
        "forget_early",
        "S7",
        SETTLEMENT,
        "    unresolved = list(soft.state.offers_to.get(decider, ()))[:1]\n",
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
        "            self._publish(list(touched.values()))\n"
        "        if self._held:\n"
        "            for effect in self._held:\n"
        "                self._emit(effect)\n"
        "            self._held.clear()\n",
        "        if self._held:\n"
        "            for effect in self._held:\n"
        "                self._emit(effect)\n"
        "            self._held.clear()\n"
        "        if touched:\n"
        "            self._publish(list(touched.values()))\n",
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
    # Orders and money.
    Planted(
        "cancel_intent_lost",
        "S9",
        APPLY,
        "    order.canceled = True\n",
        "    order.total = Lots(order.filled + order.offered)\n",
    ),
    Planted(
        "hold_released_twice",
        "S1",
        LEDGER,
        "    order.held = Units(order.held - paid)\n",
        "",
    ),
    Planted(
        "price_improvement_kept",
        "S1",
        LEDGER,
        "            needed += max(offer.limit, order.price) * offer.quantity\n",
        "            needed += order.price * offer.quantity\n",
    ),
    Planted(
        "self_trade_let_through",
        "S10",
        MATCHING,
        "        if owner == own and entry.account == taker.account:\n",
        "        if owner == own and entry.order_id == taker.order_id:\n",
    ),
    Planted(
        "off_by_one_tick",
        "M1",
        BOOK,
        "    return price if side is BUY else -price\n",
        "    return price + 1 if side is BUY else -price\n",
    ),
    Planted(
        "oldest_first_reversed",
        "S2",
        BOOK,
        "            yield from level\n",
        "            yield from reversed(level)\n",
    ),
    Planted(
        "clearing_not_booked",
        "S13",
        LEDGER,
        "    clearing[rule.base] = Units(clearing.get(rule.base, 0) - sign * shares)\n",
        "",
    ),
    # Sessions, replicas, acknowledgement.
    Planted(
        "old_session_heard",
        "S6",
        ENGINE,
        "        if link.session == batch.session:\n            return True\n",
        "        if link.session is not None:\n            return True\n",
        ("late", "mixed"),
    ),
    Planted(
        "old_session_opened_again",
        "S6",
        SESSIONS,
        "session > link.last_session",
        "session != link.session",
        ("late", "mixed"),
    ),
    Planted(
        "gap_applied",
        "B2",
        REPLICATION,
        '        raise LinkError(f"gap: have {have}, got {message.first_seq}")\n',
        "        return\n",
        ("tests/exchange/engine/test_replication.py",),
    ),
    Planted(
        "snapshot_swapped_in_unchecked",
        "B4",
        REPLICATION,
        '        raise LinkError(f"the snapshot of node {link.peer} does not add up")\n',
        "        pass\n",
        ("tests/exchange/engine/test_replication.py",),
    ),
    Planted(
        "stale_orders_matched",
        "B5",
        SESSIONS,
        "    link.detail = reason\n    soft.refresh_matched()\n",
        "    link.detail = reason\n",
    ),
    Planted(
        "taker_unbroadcast_at_acknowledgement",
        "B1",
        CORE,
        "            self._publish(list(touched.values()))\n",
        "            self._publish([event for event in touched.values() if event.version > 1])\n",
    ),
    Planted(
        "clock_not_carried",
        "S2",
        ENGINE,
        "        soft.clock = max(soft.clock, batch.clock)\n",
        "",
    ),
    Planted(
        "peer_counted_from_resync_instead_of_hello",
        "B3",
        SOFT,
        "        return not self.is_suspected and not self.quarantine\n",
        "        return self.is_synced and not self.is_suspected and not self.quarantine\n",
        ("skewed", "mixed"),
    ),
    Planted(
        "acknowledged_before_visible",
        "B3",
        CORE,
        "            if link.is_waited_for and link.applied < visible:\n",
        "            if link.is_waited_for and not link.is_synced and link.applied < visible:\n",
    ),
    Planted(
        "retry_does_not_wait",
        "B3",
        SOFT,
        "NOTHING_APPLIED = Seq(-1)",
        "NOTHING_APPLIED = Seq(0)",
        ("skewed", "mixed"),
    ),
    Planted(
        "matched_before_resync",
        "C6",
        CORE,
        "        if all(link.is_synced or link.is_suspected or link.quarantine "
        "for link in self._links()):\n",
        "        if self.soft.links is not None:\n",
    ),
    Planted(
        "silent_node_suspects_nobody",
        "B5",
        ENGINE,
        "        if was_silent:\n",
        "        if was_silent and not self._has_begun:\n",
        ("paused", "mixed"),
    ),
    Planted(
        "silent_node_ready_before_it_suspects_all",
        "B5",
        ENGINE,
        "            for link in self._links():  # all of them, before the last "
        "makes the node ready\n",
        "            for link in ():\n",
        ("tests/fuzz/test_regressions.py",),
    ),
    Planted(
        "half_open_link_kept",
        "B5",
        ENGINE,
        "has_more_to_lose = link.session is not None or not link.is_suspected",
        "has_more_to_lose = not link.is_suspected",
    ),
    Planted(
        "sessions_that_come_and_go_count_as_progress",
        "B5",
        SESSIONS,
        "    link.progress_us = link.level_us  # sessions that come and go are no progress (B5)\n",
        "    link.progress_us = link.level_us = soft.now_us\n",
        ("tests/fuzz/test_regressions.py",),
    ),
    Planted(
        "endless_snapshot_is_waited_for",
        "C6",
        SESSIONS,
        "    if is_syncing and soft.now_us - link.taken_us > limit:\n",
        "    if is_syncing and soft.now_us - link.heard_us > limit:\n",
        ("tests/fuzz/test_regressions.py",),
    ),
    # The shell.
    Planted(
        "hello_not_gated",
        "E3",
        "exchange/engine/effects.py",
        "    return type(effect) is Send and type(effect.message) is Applied\n",
        "    return type(effect) is Send and type(effect.message).__name__ in (\n"
        "        'Applied', 'Hello'\n    )\n",
    ),
    Planted(
        "published_before_durable",
        "S8",
        "exchange/node/hub.py",
        "        while gated and gated[0][0] <= self.durable_lsn:\n",
        "        while gated:\n",
        ("tests/exchange/node/test_hub.py",),
    ),
    # Identity.
    Planted(
        "lower_epoch_let_in",
        "C3",
        SESSIONS,
        "    if hello.epoch < known.epoch:\n",
        "    if hello.epoch < 0:\n",
        ("restored",),
    ),
    Planted(
        "restored_backup_let_in",
        "C3",
        SESSIONS,
        "    return hello.seen is not None and not soft.has_proof(hello.seen)\n",
        "    return False\n",
        ("restored",),
    ),
    Planted(
        "proof_replaced_by_a_hello",
        "C3",
        ENGINE,
        "        if was_helloed:\n            self._note_proof(link, batch.proof)\n",
        "        self._note_proof(link, batch.proof)\n",
        ("restored", "tests/fuzz/test_regressions.py"),
    ),
    Planted(
        "archived_proof_denied",
        "C3",
        STORE,
        "        if proof.lsn < read_base(self.disk, self.identity).lsn:\n",
        "        if proof.lsn < 0:\n",
    ),
    Planted(
        "trimmed_past_the_checkpoint",
        "W5",
        "recovery/archive.py",
        "min(node.store.checkpoint_lsn, node.proof.lsn - 1)",
        "min(node.proof.lsn, node.proof.lsn - 1)",
        ("tests/recovery/test_archive.py",),
    ),
)

# The rules that only change with a proof, as far as they are built (S11 is not).
SAFETY = ("E2", "E3", "E4", "S4", "S5", "S6", "S7", "W1", "W4", "W5", "C3")


def safety_rows() -> list[str]:
    """Return the rows of the table in docs/testing.md: rule, planted bugs, who catches them."""
    rows = []
    for rule in SAFETY:
        bugs = [bug for bug in PLANTED if bug.rule == rule]
        names = ", ".join(f"`{bug.name}`" for bug in bugs)
        hunters = dict.fromkeys(hunter for bug in bugs for hunter in bug.hunters)
        rows.append(f"| {rule} | {names} | {', '.join(f'`{hunter}`' for hunter in hunters)} |")
    return rows
