"""The engine: one node as a deterministic state machine, owned by one task (E1).

Theory of operation
===================
A turn of the shell is `begin`, then `handle` for each input, then `drain`.

    decide    reads state and soft state, returns a Decision: records, effects, follow-ups
    apply     changes durable state by one record, as redo does (E2)
    observe   the methods here that change soft state: replicas, sessions, clock, waiting

After the records of an input are applied, each order they touched enters the stream once,
as it is at the end of the input; then come the effects, so a maker's event always precedes
the reply about it (S3).  The shell holds all effects back until the last LSN decided with
them is durable (E3).  Forgetting is lazy: its records travel with the next real ones (S7).
"""

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from exchange.domain.instruments import Instrument
from exchange.domain.units import (
    Lsn,
    Micros,
    NodeId,
    Symbol,
)
from exchange.engine import (
    account_commands,
    bounds,
    clocks,
    commands,
    inputs,
    key_commands,
    messages,
    replication,
    sessions,
    settlement,
)
from exchange.engine.core import Core
from exchange.engine.decision import (
    Decision,
)
from exchange.engine.effects import Alarm, Answer, Effect, Send, Stop
from exchange.engine.errors import LinkError, RemoteProtocolError
from exchange.engine.messages import Ack, Applied, Batch, Events, PeerMessage, SealedProof
from exchange.engine.proofs import Standing
from exchange.engine.queries import (
    ANSWERED_BY_OUTCASTS,
    OUTCAST_REMEDY,
    answer_query,
    refused_outcast,
)
from exchange.engine.records import (
    OfferId,
    OffersForgotten,
    PeerSeen,
    Record,
)
from exchange.engine.soft import EngineConfig, Link, Soft

LISTED_MAX = 16_384  # instruments of a cluster: as many as rules are kept for
PACED_US = 50_000  # between looks at how slow peers are: a fifth of what is slow

__all__ = ["Engine", "EngineConfig", "Step"]


class Step(msgspec.Struct, frozen=True):
    """What one turn produced.  All records of a step go into one frame."""

    records: list[Record]
    effects: list[Effect]  # may leave when `last_lsn` is durable
    last_lsn: Lsn
    seen: dict[NodeId, SealedProof]  # goes into the frame (C3); empty without records


class Engine(Core):
    """One node.  Feed it inputs in turns; it never does I/O and never asks the time."""

    def begin(self, *, wall_us: int, mono_us: int) -> None:
        """Start a turn at this time.  After a silence of ours all begins anew (B5)."""
        soft = self.soft
        was_silent = self.was_silent(mono_us)
        since_us, soft.now_us = soft.now_us, mono_us
        soft.wall = Micros(max(0, wall_us))
        clocks.advance(soft)
        if not self._has_begun:
            for peer in sorted(self.state.peers):
                sessions.new_link(soft, peer)
            self._has_begun = True
        if was_silent:
            self._begin_anew()
        elif soft.mute_until_us and mono_us >= soft.mute_until_us:
            soft.mute_until_us = 0  # nobody came: as at a start, it goes on alone (C5)
        if mono_us - self._paced_us >= PACED_US:
            self._paced_us = mono_us
            clocks.compare(soft)
            for link in soft.links.values():
                link.pace.stood_still(mono_us - since_us)
                self._watch_pace(link)
            self._flush()
        if self._agenda:
            self._work_off()

    @property
    def is_busy(self) -> bool:
        """Tell whether a turn is wanted for what earlier ones have left, without any input."""
        return bool(self._agenda)

    @property
    def pending(self) -> list[Record]:
        """Return the records of this turn so far: how much work it was."""
        return self._records

    def was_silent(self, mono_us: int) -> bool:
        """Tell whether this node has stood still since its last turn began (B5)."""
        return self._has_begun and mono_us - self.soft.now_us > self.config.suspect_us

    @property
    def is_mute(self) -> bool:
        """Tell whether no answer may leave: it stood still, and was let in by nobody since."""
        return self.soft.mute_until_us > 0

    def handle(self, item: inputs.Input) -> inputs.Input | None:
        """Take one input: decide, apply, observe.  Return what is left of it for another turn.

        No input takes more than about `config.slice` records of one turn.  What is left comes
        before all that its source has put behind it.
        """
        if self._agenda and self._must_wait(item):
            return item
        rest: inputs.Input | None = None
        decide = _COMMANDS.get(type(item))
        if decide is not None and self.soft.outcast:
            self._held.append(Answer(item.ticket, refused_outcast(self.soft)))  # type: ignore[union-attr]  # commands have a ticket
        elif decide is not None:
            decision = decide(self.soft, item)
            self._run(decision)
            rest = decision.rest
        elif type(item) is inputs.PeerBatch:
            rest = self._on_batch(item)
        else:
            self._handlers[type(item)](self, item)
        self._flush()
        return rest

    def _must_wait(self, item: inputs.Input) -> bool:
        """Tell whether an order must wait for older ones that are still being matched (S2)."""
        if isinstance(item, inputs.PlaceOrder):
            return item.symbol in self._busy
        if isinstance(item, inputs.AmendOrder):
            order = self.state.orders.get(item.order_id)
            return order is not None and order.symbol in self._busy
        return False

    def drain(self) -> Step:
        """End the turn: hand out its records and effects."""
        if not self.soft.outcast:
            self._release_waiting()
        if self._records:
            self._log_forgetting()
        for link in self.soft.links.values():
            link.tail = None
            if link.is_helloed and link.applied < self.soft.stream_seq:
                link.pace.sent(self.soft.stream_seq, self.soft.now_us)
            if link.is_ack_due and link.session is not None:
                ack = Ack(settlement.watermark(self.soft, link.peer))
                self._effects.append(Send(link.peer, link.session, ack))
            link.is_ack_due = False
        seen: dict[NodeId, SealedProof] = {}
        if self._records:
            seen, self._seen = self._seen, {}
        step = Step(self._records, self._effects, self.state.lsn, seen)
        self._records, self._effects = [], []
        return step

    # Inputs from clients and the shell.

    def _on_ask(self, item: inputs.Ask) -> None:
        is_answered = not self.soft.outcast or isinstance(item.query, ANSWERED_BY_OUTCASTS)
        body = answer_query(self.soft, item.query) if is_answered else refused_outcast(self.soft)
        self._held.append(Answer(item.ticket, body))

    def _on_storage(self, item: inputs.StorageState) -> None:
        self.soft.is_storage_full = item.is_full

    def _on_drain(self, _item: inputs.Drain) -> None:
        self.soft.is_draining = True

    def _on_know_peer(self, item: inputs.KnowPeer) -> None:
        if item.peer == self.state.node_id:
            return
        if item.peer not in self.soft.links:
            sessions.new_link(self.soft, item.peer)
        known = self.state.peer(item.peer)
        if item.address not in ("", known.address) or (item.nonce and not known.nonce):
            nonce = known.nonce or item.nonce
            address = item.address or known.address
            decision = Decision()
            decision.records.append(PeerSeen(item.peer, nonce, known.epoch, known.boot_id, address))
            self._run(decision)

    def _on_coordinator_heard(self, item: inputs.CoordinatorHeard) -> None:
        """Take the coordinator's word that this node is the one it knows (C3)."""
        if item.asked_us >= self.soft.mute_until_us - self.config.suspect_us:
            self.soft.mute_until_us = 0

    def _on_tick(self, _item: inputs.Tick) -> None:
        soft = self.soft
        for link in self._links():
            has_more_to_lose = link.session is not None or not link.is_suspected
            if has_more_to_lose and sessions.is_overdue(soft, link):
                self._suspect(link, "nothing heard, or no progress, for too long")
        if soft.now_us - soft.beat_us >= self.config.heartbeat_us:
            soft.beat_us = soft.now_us
            self._log_forgetting()
            for link in self._links():
                if link.is_helloed:
                    self._send(link, replication.heartbeat(soft, link))
        self._check_ready()

    def _log_forgetting(self) -> None:
        """Log what peers have acknowledged; never worth a force of its own (S7)."""
        for link in self._links():
            if link.forget_below is not None:
                self._log(OffersForgotten(link.peer, link.forget_below))
                link.forget_below = None

    # Links.

    def _watch_pace(self, link: Link) -> None:
        """Set a peer aside that is too slow to be waited for, or take it back (B3, B5)."""
        was_aside, pace = link.pace.is_aside, link.pace
        if not link.is_helloed:
            return
        pace.look(self.soft.now_us, next(iter(self.state.offers_to.get(link.peer, ())), None))
        if pace.is_aside == was_aside:
            return
        self.soft.refresh_matched()
        self._send(link, replication.heartbeat(self.soft, link))  # it is told
        if not was_aside:
            link.detail = "it shows orders, or answers offers, too slowly to be waited for"
            self._finish_all_waiting()
        elif link.is_matched:
            link.detail = ""
            self._run(replication.decide_match_replica(self.soft, link))

    def _begin_anew(self) -> None:
        """Treat a silence of our own like a death: links, readiness and answers wait (B5, C6).

        Another process may have taken this node's place meanwhile (C3), and the market went on.
        So no session of before counts, every peer has the time to come that it has at a start
        (C5), and nobody is answered before a peer or the coordinator has let this node in.
        """
        soft, links = self.soft, self._links()
        if links or self.config.has_coordinator:
            soft.mute_until_us = soft.now_us + self.config.suspect_us
        if links:
            soft.is_ready = False
        for link in links:
            if link.session is not None:
                self._drop(link, "this node was silent itself")
            link.is_suspected = link.has_let_in = False
            sessions.trust(soft, link)
        self._flush()

    def _on_link_opened(self, item: inputs.LinkOpened) -> None:
        """We have dialed: say hello (S6)."""
        link = self._link(item.peer)
        if link.session is not None:
            self._drop(link, "replaced by a new session")
        sessions.open_session(self.soft, link, item.session)
        self._send(link, sessions.make_hello(self.soft, link))

    def _on_link_closed(self, item: inputs.LinkClosed) -> None:
        link = self._link(item.peer)
        if link.session == item.session:
            reason = "the connection was closed"
            sessions.close_session(self.soft, link, reason)
            self._lost(link, reason)

    def _on_link_refused(self, item: inputs.LinkRefused) -> None:
        """Note why there is no link; the alarm sounds once for a reason (S6)."""
        link = self._link(item.peer)
        if not link.is_helloed and link.refusing != item.reason:
            link.refusing = item.reason
            self._held.append(Alarm("link_refused", item.reason))

    def _on_snapshot_more(self, item: inputs.SnapshotMore) -> None:
        link = self._link(item.peer)
        if link.session == item.session:
            self._run(replication.continue_snapshot(self.soft, link))

    def _on_batch(self, item: inputs.PeerBatch) -> inputs.PeerBatch | None:
        """Take what a peer says, message by message, each with its own consequences."""
        batch = item.batch
        link = self._link(batch.sender)
        if not item.is_rest:
            try:
                bounds.check_batch(self.state, batch)
            except RemoteProtocolError as fault:
                self._break_with(link, str(fault))
                return None
        if not self._is_current(link, batch):
            return None
        soft, work, work_max = self.soft, len(self._records), self.config.slice
        link.heard_us = soft.now_us
        if not item.is_rest:
            try:
                clocks.hear(soft, link, batch)
            except RemoteProtocolError as fault:
                self._quarantine(link, str(fault))
        was_helloed = link.is_helloed and not item.came_with_hello
        for place, message in enumerate(batch.messages, 1):
            try:
                bounds.check_message(soft, link, message)
                self._on_message(link, message, batch)
            except LinkError as fault:
                self._fault(link, str(fault))
            except RemoteProtocolError as fault:
                self._quarantine(link, str(fault))
            self._flush()
            if self.config.is_session_checked and link.session != batch.session:
                return None
            work += len(message.events) if isinstance(message, Events) else 1
            if max(work, len(self._records)) > work_max and place < len(batch.messages):
                left = msgspec.structs.replace(batch, messages=batch.messages[place:])
                self._send_applied(link)
                return inputs.PeerBatch(left, is_rest=True, came_with_hello=not was_helloed)
        if was_helloed:
            self._note_proof(link, batch.proof)
        self._send_applied(link)
        return None

    def _is_current(self, link: Link, batch: Batch) -> bool:
        """Ignore what is not of the current session; a hello may open the next one (S6)."""
        if link.session == batch.session:
            return True
        is_hello = bool(batch.messages) and isinstance(batch.messages[0], messages.Hello)
        if is_hello and sessions.may_accept(self.soft, link, batch.session):
            if link.session is not None:
                self._drop(link, "replaced by a new session")
            sessions.open_session(self.soft, link, batch.session)
            return True
        return not self.config.is_session_checked and link.session is not None

    def _on_message(self, link: Link, message: PeerMessage, batch: Batch) -> None:
        if isinstance(message, messages.Hello):
            self._on_hello(link, message)
            return
        if isinstance(message, messages.Refusal):
            self._on_refusal(link, message)
            return
        if not link.is_helloed and self.config.is_session_checked:
            return
        self.soft.mute_until_us = 0  # what follows a hello answers ours: this node is let in (B5)
        if not link.has_let_in:
            self._note_refused(link, "")
        match message:
            case messages.Offer():
                clocks.check_stamp(link, message.taker_stamp, batch.clock)
                self._run(settlement.decide_offer(self.soft, link, message))
            case messages.Reply():
                self._on_reply(link, message)
            case messages.Ack():
                self._forget(link, message.watermark)
            case messages.Applied():
                self._on_applied(link, message)
            case messages.Listed():
                self._on_listed(link, message)
            case messages.Quarantine():
                self._set_quarantine(link, f"it has quarantined this node: {message.reason}")
            case messages.Resync():
                if link.outgoing is None:
                    self._run(replication.start_snapshot(self.soft, link))
            case messages.Heartbeat():
                self._forget(link, message.watermark)
                link.is_aside_there = message.is_aside
                if not link.quarantine:
                    resync = replication.check_heartbeat(link, message)
                    if resync is not None:
                        self._send(link, resync)
            case _:
                if not link.quarantine:
                    self._on_stream(link, message, batch)

    def _on_stream(self, link: Link, message: PeerMessage, batch: Batch) -> None:
        """Take a message of the peer's own stream (B1, B2)."""
        link.taken_us = self.soft.now_us
        match message:
            case Events():
                events = replication.learn_events(self.soft, link, message, clock=batch.clock)
                self._run(replication.match_against(events if link.is_matched else []))
            case messages.SnapshotBegin():
                replication.begin_snapshot(self.soft, link, message)
            case messages.SnapshotChunk():
                replication.learn_chunk(link, message, clock=batch.clock)
            case messages.SnapshotEnd():
                replication.end_snapshot(link, message)
                self._synced(link)
            case messages.Resumed():
                replication.check_level(link, message)
                self._synced(link)
            case _:
                raise RemoteProtocolError(f"node {link.peer} sent {type(message).__name__}")

    def _on_hello(self, link: Link, hello: messages.Hello) -> None:
        """Let a peer in, or say why not (S6, C3)."""
        soft = self.soft
        if link.is_helloed:
            raise LinkError(f"node {link.peer} said hello twice")
        is_of_this_life = hello.known in (b"", self.state.nonce)
        is_of_this_cluster = hello.cluster == self.state.cluster
        if (
            is_of_this_life
            and is_of_this_cluster
            and not self._is_true(link, hello.seen, hello.nonce)
        ):
            return
        refused = sessions.refuse_hello(soft, link, hello)
        if refused:
            self._refuse(link, refused, hello.nonce, "peer_refused")
            if not is_of_this_life:
                self._note_refused(link, refused)
            return
        link.refusing = ""
        if hello.epoch != self.state.peer(link.peer).epoch:
            link.quarantine = ""  # a new incarnation gets a new chance (B7)
        record = sessions.peer_seen(soft, link, hello)
        if record is not None:
            self._log(record)
        link.is_helloed = True
        link.taken_us = soft.now_us
        if link.is_suspected:
            link.is_suspected = False
            sessions.trust(soft, link)
        if link.peer < self.state.node_id:
            self._send(link, sessions.make_hello(soft, link))
        try:
            self._forget(link, hello.watermark)
        except RemoteProtocolError as fault:  # what is in doubt is sent again all the same
            self._quarantine(link, str(fault))
        instruments = [listing.instrument for listing in self.state.instruments.values()]
        for start in range(0, len(instruments), self.config.chunk):
            listed = instruments[start : start + self.config.chunk]
            self._send(link, messages.Listed(listed))
        if link.quarantine:
            self._send(link, messages.Quarantine(bounds.printable(link.quarantine)))
        self._run(replication.start_stream(soft, link, hello.have))
        for offer in settlement.unresolved_offers(soft, link.peer):
            self._send(link, offer)

    def _on_refusal(self, link: Link, refusal: messages.Refusal) -> None:
        """Hear that a peer does not let this node in: an old copy stops (C3)."""
        known = self.state.peer(link.peer)
        if not self._is_true(link, refusal.seen, known.nonce):
            return
        reason = refusal.reason[: messages.REASON_MAX]
        self._note_refused(link, reason)
        self._fault(link, f"it does not let this node in: {reason}")

    def _is_true(self, link: Link, seen: SealedProof | None, nonce: bytes) -> bool:
        """Judge the proof that a peer quotes: stop if this is an old copy, refuse a forger (C3)."""
        standing = sessions.judge_proof(self.soft, seen)
        if standing is Standing.MISSING:
            self.soft.outcast = self.soft.stopped = (
                f"node {link.peer} has seen a log of this node that is not here: this data "
                "directory is an old copy.  Do not use it; see exchange-recover recover-node"
            )
            self._emit(Stop(self.soft.stopped))
        elif standing is Standing.FORGED:
            forged = f"node {link.peer} quotes a proof that node {self.state.node_id} never made"
            self._refuse(link, forged, nonce, "forged_proof")
        return standing is Standing.KNOWN

    def _refuse(self, link: Link, reason: str, nonce: bytes, code: str) -> None:
        """Do not let a peer in, and tell it why; the alarm sounds once for a reason."""
        if link.refusing != reason:
            link.refusing = reason
            self._emit(Alarm(code, reason))
        self._send(link, sessions.make_refusal(self.soft, link, reason, nonce))
        self._fault(link, reason)

    def _note_refused(self, link: Link, reason: str) -> None:
        """Note that a peer refuses this node, or (without a reason) that it lets it in (C3)."""
        soft = self.soft
        if reason and reason != link.refused:
            told = f"node {link.peer} does not let this node in: {reason}"
            self._emit(Alarm("refused_by_peer", told))
        link.refused, link.has_let_in = reason, not reason
        was_outcast, soft.outcast = soft.outcast, sessions.outcast(soft)
        if soft.outcast and not was_outcast:
            self._emit(Alarm("outcast", f"{soft.outcast}.  {OUTCAST_REMEDY}"))
        elif was_outcast and not soft.outcast:
            self._check_ready()

    def _on_reply(self, link: Link, reply: messages.Reply) -> None:
        decision = settlement.decide_reply(self.soft, link, reply)
        if not reply.quantity and decision.records:
            self.soft.declines += 1
        self._run(decision)
        link.is_ack_due = True

    def _on_applied(self, link: Link, message: Applied) -> None:
        if message.epoch != self.state.scalars.epoch or message.seq <= link.applied:
            return
        if message.seq > self.soft.stream_seq:
            raise RemoteProtocolError(f"node {link.peer} has applied what was never sent")
        link.applied = message.seq
        link.pace.applied(message.seq, self.soft.now_us)
        link.progress_us = link.level_us = self.soft.now_us

    def _on_listed(self, link: Link, message: messages.Listed) -> None:
        """Hold what a peer knows to be listed against what the coordinator has told (C1).

        The coordinator alone lists.  A peer that knows more, or less, is one that has heard it
        at another time; what it says is kept aside until the coordinator has spoken.
        """
        for instrument in message.instruments:
            if (
                instrument.symbol not in link.told_listings
                and len(link.told_listings) >= LISTED_MAX
            ):
                raise RemoteProtocolError(f"node {link.peer} lists more than {LISTED_MAX} symbols")
            link.told_listings[instrument.symbol] = instrument
            self._compare_listing(link, instrument.symbol)

    def _compare_listing(self, link: Link, symbol: Symbol) -> None:
        """Quarantine a peer with terms of its own: its prices would mean something else (M2)."""
        listed, told = self._listed(symbol), link.told_listings.get(symbol)
        if listed is not None and told is not None and told != listed:
            raise RemoteProtocolError(f"node {link.peer} lists {symbol} with other terms")

    def _listed(self, symbol: Symbol) -> Instrument | None:
        listing = self.state.instruments.get(symbol)
        return listing.instrument if listing is not None else None

    def _on_list(self, item: inputs.ListInstrument) -> None:
        """List an instrument, and tell the peers before any order of it."""
        decision = account_commands.decide_list(self.soft, item)
        for record in decision.records:
            self._log(record)
            for link in self._links():
                if link.is_helloed:
                    self._send(link, messages.Listed([item.instrument]))
                try:
                    self._compare_listing(link, item.instrument.symbol)
                except RemoteProtocolError as fault:
                    self._quarantine(link, str(fault))
        decision.records.clear()
        self._run(decision)

    def _synced(self, link: Link) -> None:
        """Use a replica that is level: match against it, and count it as visible (S3, B3)."""
        link.is_synced = True
        link.is_suspected = False
        link.detail = ""
        self.soft.refresh_matched()
        self._run(replication.decide_match_replica(self.soft, link))
        self._check_ready()

    def _send_applied(self, link: Link) -> None:
        """Say how far the peer's stream is applied: once a batch, and exempt from E3.

        While this node takes no orders nothing can be matched, so events that are mixed into
        the snapshot count as applied: a node that joins makes nobody wait for it.
        """
        have = link.have
        if not link.is_synced and link.incoming is not None and not self.soft.is_ready:
            have = link.incoming_have
        elif not link.is_synced:
            return
        if have is not None and have != link.told and link.session is not None:
            link.told = have
            self._send(link, Applied(*have))

    def _forget(self, link: Link, below: OfferId) -> None:
        """Note a watermark; it is logged with the next records (S7)."""
        accepted = self.state.acceptances_of.get(link.peer)
        if accepted and next(iter(accepted)) < below:
            bounds.check_watermark(self.state.peer(link.peer), below)
            link.forget_below = max(below, link.forget_below or below)

    def _note_proof(self, link: Link, proof: SealedProof) -> None:
        """Remember how far the peer's log was durable; never less than before (C3).

        Not what comes with a hello: an old copy that counted itself up would replace what
        convicts it, and if this node then died before its own hello left, nobody would know.
        """
        known = self.soft.seen.get(link.peer)
        lsn = known.lsn if known is not None else self.state.peer(link.peer).seen_lsn
        if proof.lsn > lsn:
            self.soft.seen[link.peer] = self._seen[link.peer] = proof

    def _quarantine(self, link: Link, reason: str) -> None:
        """Take nothing more from a peer but settlement (B7)."""
        if self._set_quarantine(link, reason):
            self._held.append(sessions.quarantine_alarm(link))
            self._send(link, messages.Quarantine(bounds.printable(reason)))

    def _break_with(self, link: Link, reason: str) -> None:
        """Quarantine a peer for a batch of which nothing is taken; the next session goes on."""
        self._quarantine(link, reason)
        self._fault(link, reason)

    def _on_broke_protocol(self, item: inputs.PeerBroke) -> None:
        """Hear from the shell that a line of a peer was none."""
        self._break_with(self._link(item.peer), item.reason)

    def _set_quarantine(self, link: Link, reason: str) -> bool:
        if link.quarantine:
            return False
        link.quarantine = reason
        self.soft.refresh_matched()
        self._check_ready()
        return True

    def _link(self, peer: NodeId) -> Link:
        link = self.soft.links.get(peer)
        return link if link is not None else sessions.new_link(self.soft, peer)

    _handlers: ClassVar[dict[type, Callable[["Engine", Any], None]]] = {
        inputs.ListInstrument: _on_list,
        inputs.Ask: _on_ask,
        inputs.KnowPeer: _on_know_peer,
        inputs.LinkOpened: _on_link_opened,
        inputs.LinkClosed: _on_link_closed,
        inputs.LinkRefused: _on_link_refused,
        inputs.PeerBroke: _on_broke_protocol,
        inputs.SnapshotMore: _on_snapshot_more,
        inputs.CoordinatorHeard: _on_coordinator_heard,
        inputs.Tick: _on_tick,
        inputs.StorageState: _on_storage,
        inputs.Drain: _on_drain,
    }


_COMMANDS: dict[type, Callable[[Soft, Any], Decision]] = {
    inputs.OpenAccount: account_commands.decide_open_account,
    inputs.CloseAccount: account_commands.decide_close_account,
    inputs.SetKey: key_commands.decide_set_key,
    inputs.CreateKey: key_commands.decide_create_key,
    inputs.RotateKey: key_commands.decide_rotate_key,
    inputs.RevokeKey: key_commands.decide_revoke_key,
    inputs.MoveFunds: account_commands.decide_move_funds,
    inputs.SetBalance: account_commands.decide_set_balance,
    inputs.SetSwitch: account_commands.decide_set_switch,
    inputs.PlaceOrder: commands.decide_place,
    inputs.AmendOrder: commands.decide_amend,
    inputs.CancelOrder: commands.decide_cancel,
    inputs.CancelAtPrice: commands.decide_cancel_at_price,
    inputs.CancelAll: commands.decide_cancel_all,
}
