"""The core of an engine: decide, apply, publish, acknowledge; and the end of a link.

A decision is applied record by record; the orders it touched are brought in line in the own
book at once and enter the stream at the end of the input, before its effects (S3).  Answers
about orders wait here until every peer shows them (B3).  `engine` feeds this with inputs.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import assert_never

import msgspec

from exchange.domain.book import OrderEvent
from exchange.domain.units import (
    Clock,
    Lots,
    Lsn,
    Micros,
    NodeId,
    OrderId,
    Symbol,
)
from exchange.engine import sessions
from exchange.engine.apply import apply
from exchange.engine.decision import (
    Acknowledge,
    Decision,
    FollowUp,
    MatchAgainst,
    MatchOrder,
)
from exchange.engine.effects import Answer, CloseLink, Effect, OrderAnswer, Send, order_answer
from exchange.engine.ledger import check_state
from exchange.engine.matching import (
    clock_now,
    decide_match_against,
    decide_match_all,
    decide_match_order,
)
from exchange.engine.messages import PeerMessage, Proof, SealedProof
from exchange.engine.proofs import seal
from exchange.engine.records import (
    OrderRejected,
    Record,
    TradeOffered,
    TradeSettled,
)
from exchange.engine.replication import event_of, runs_of
from exchange.engine.soft import EngineConfig, Link, Soft
from exchange.engine.state import State


class Core:
    """What decides and applies; soft state changes here only as a consequence (E2)."""

    def __init__(
        self,
        state: State,
        config: EngineConfig,
        *,
        has_proof: Callable[[SealedProof], bool] = lambda _proof: True,
    ) -> None:
        """Start from a state that is loaded, redone and booted."""
        state.derive()
        self.state = state
        self.config = config
        self.soft = Soft(state, config, has_proof)
        self._forced = Proof(Lsn(0), b"")
        self._sealed: SealedProof | None = None  # made of `_forced` when something is said
        self._records: list[Record] = []
        self._effects: list[Effect] = []
        self._held: list[Effect] = []  # of the input being handled: leave after its events
        self._touched: dict[OrderId, OrderEvent] = {}  # by the input being handled
        self._acknowledge: list[Acknowledge] = []
        self._seen: dict[NodeId, SealedProof] = {}
        self._agenda: OrderedDict[FollowUp, Symbol] = OrderedDict()  # for the next turns
        self._busy: Counter[Symbol] = Counter()  # instruments on the agenda
        self._has_begun = False
        self._paced_us = 0  # when the pace of peers was looked at last
        for order in state.orders.values():
            self.soft.own.update(event_of(order))

    @property
    def clock(self) -> Clock:
        """Return the hybrid logical clock: stamp every outgoing batch with it (S2)."""
        return clock_now(self.soft)

    @property
    def wall(self) -> Micros:
        """Return what the wall clock shows in this turn: say so in every outgoing batch (S2)."""
        return self.soft.wall

    @property
    def is_ready(self) -> bool:
        """Tell whether clients are served: every known peer is synced or suspected (C6).

        And not all that have spoken refuse this node (C3).
        """
        return self.soft.is_ready and not self.soft.outcast

    @property
    def outcast(self) -> str:
        """Say who refuses this node while nobody lets it in; empty if it may serve (C3)."""
        return self.soft.outcast

    def forced(self, proof: Proof) -> None:
        """Note how far the log is durable: every outgoing batch says so (C3)."""
        self._forced, self._sealed = proof, None

    @property
    def proof(self) -> SealedProof:
        """Return how far the log is durable, as peers are told it (C3)."""
        if self._sealed is None:
            self._sealed = seal(self.state, self._forced)
        return self._sealed

    def check(self) -> None:
        """Assert the invariants; tests and fuzzing call it after every step."""
        soft = self.soft
        check_state(self.state)
        soft.own.check()
        assert not set(soft.sweeping) & set(soft.own.orders), "an order in its sweep is shown"
        assert Counter(self._agenda.values()) == self._busy, "busy instruments are miscounted"
        for order_id, entry in soft.own.orders.items():
            order = self.state.orders[order_id]
            assert (entry.open, entry.price, entry.stamp) == (
                order.open,
                order.price,
                order.stamp,
            ), "the own book is not what the orders are"
        for link in soft.links.values():
            link.replica.check()
            assert not link.is_synced or link.session is not None, "synced without a session"
        seqs = [seq for seq, _ in soft.waiting]
        assert seqs == sorted(seqs), "answers wait out of order"

    # Deciding and applying.

    def _run(self, decision: Decision) -> None:
        """Apply a decision, then decide what follows from it, or put it on the agenda."""
        if decision.cut is not None:
            self.soft.sweeping.setdefault(decision.cut, [])
        for record in decision.records:
            self._log(record)
        if self.state.touched:
            self._project()
        for effect in decision.effects:
            if isinstance(effect, CloseLink):
                self._fault(self.soft.links[effect.peer], effect.reason)
            else:
                self._held.append(effect)
        self._acknowledge.extend(decision.acknowledge)
        if decision.cut is not None:
            self._put_off(MatchOrder(decision.cut))
            self._agenda.move_to_end(MatchOrder(decision.cut), last=False)  # it has begun
        for item in decision.follow:
            if self._agenda or len(self._records) > self.config.slice:
                self._put_off(item)
            else:
                self._follow(item)

    def _put_off(self, item: FollowUp) -> None:
        """Leave it to a coming turn to look at something; looking twice does no harm (S3)."""
        if item in self._agenda:
            return
        if isinstance(item, MatchOrder):
            order = self.state.orders.get(item.order_id)
            if order is None:
                return
            symbol = order.symbol
        else:
            symbol = item.symbol
        self._agenda[item] = symbol
        self._busy[symbol] += 1

    def _work_off(self) -> None:
        """Do what earlier turns have left, first come first served, as much as a turn may."""
        records = self._records
        while self._agenda and len(records) < self.config.slice:
            item, symbol = self._agenda.popitem(last=False)
            self._busy[symbol] -= 1
            if not self._busy[symbol]:
                del self._busy[symbol]
            self._follow(item)
            self._flush()

    def _follow(self, item: FollowUp) -> None:
        match item:
            case MatchOrder():
                decision = decide_match_order(self.soft, item)
            case MatchAgainst():
                decision = decide_match_against(self.soft, item)
            case _:
                assert_never(item)
        self._run(decision)
        sweeping = self.soft.sweeping
        if sweeping and decision.cut is None and isinstance(item, MatchOrder):
            acknowledge = sweeping.pop(item.order_id, None)
            if acknowledge is not None:
                self._acknowledge.extend(acknowledge)
                self._show(item.order_id)

    def _show(self, order_id: OrderId) -> None:
        """Show what is left of an order that has met all it could (B1)."""
        order = self.state.orders.get(order_id)
        if order is not None:
            self.state.touched[order_id] = order
            self._project()
            against = MatchAgainst(order.symbol, order.side, order.price, order.stamp)
            self._run(decide_match_against(self.soft, against))

    def _log(self, record: Record) -> None:
        state = self.state
        if type(record) is TradeSettled:
            self._show_maker(record)
        apply(state, record)
        state.lsn += 1  # type: ignore[assignment]  # every order passes
        self._records.append(record)
        if type(record) is TradeOffered:
            self.soft.offers += 1
            self._hide_maker(record)
        elif type(record) is OrderRejected:
            self.soft.note_rejection(record.account)

    def _hide_maker(self, record: TradeOffered) -> None:
        """Spare matching the makers that our offers out reserve whole (S3)."""
        replica = self.soft.links[record.decider].replica
        entry = replica.orders.get(record.maker)
        if entry is not None and self.state.offered_against[record.maker] >= entry.open:
            replica.hide(record.maker, self.state.orders[record.taker].symbol)

    def _show_maker(self, record: TradeSettled) -> None:
        """Let matching see the maker again that an answered offer had reserved."""
        offer = self.state.offers[record.decider, record.offer_id]
        self.soft.links[record.decider].replica.show(offer.maker)

    def _project(self) -> None:
        """Bring the own book in line with the orders touched; they enter the stream later."""
        update, touched, sweeping = self.soft.own.update, self.state.touched, self.soft.sweeping
        for order_id, order in touched.items():
            event = event_of(order)
            if sweeping and order_id in sweeping:  # its quantity is for what it meets next
                event = msgspec.structs.replace(event, open=Lots(0))
            self._touched[order_id] = event
            update(event)
        touched.clear()

    def _flush(self) -> None:
        """End an input: events first, then its effects, then its acknowledgements (S3, B3)."""
        touched = self._touched
        if touched:
            self._publish([*touched.values()])
        if self._held:
            for effect in self._held:
                self._emit(effect)
            self._held.clear()
        if touched and self.soft.waiting_done:
            for order_id in [key for key in touched if key in self.soft.waiting_done]:
                self._finish_waiting(order_id)
        touched.clear()
        if self._acknowledge:
            for item in self._acknowledge:
                self._wait(item)
            self._acknowledge.clear()

    def _publish(self, events: list[OrderEvent]) -> None:
        """Put events into the stream and on every link that has said hello (B1)."""
        soft = self.soft
        before = soft.stream_seq
        soft.stream_seq += len(events)  # type: ignore[assignment]  # every order passes
        soft.ring.extend(events)
        most = self.config.chunk
        for link in soft.links.values():
            if not link.is_helloed or link.session is None:
                continue
            tail = link.tail
            if tail is not None and len(tail.events) + len(events) <= most:
                tail.events.extend(events)
                continue
            for message in runs_of(self.state.scalars.epoch, before + 1, events, most):
                self._effects.append(Send(link.peer, link.session, message))
                link.tail = message

    def _emit(self, effect: Effect) -> None:
        if isinstance(effect, Send):
            self.soft.links[effect.peer].tail = None
        self._effects.append(effect)

    # Acknowledgements (B3).

    def _wait(self, item: Acknowledge) -> None:
        """Queue the answer about an order until the stream so far is visible."""
        soft = self.soft
        order_id, body = item.order_id, item.body
        if soft.sweeping and order_id in soft.sweeping:
            soft.sweeping[order_id].append(item)  # it is answered when it is through
            return
        if item.wait_done and self._is_in_doubt(order_id):
            soft.waiting_done.setdefault(order_id, []).append(item.ticket)
            return
        is_durable_enough = self.config.ack == "durable"
        if body is None:
            state, visible = self.state, -1
            order = state.orders.get(order_id) or state.find_order(order_id)
            assert order is not None, "an order is acknowledged that is not there"
            if not is_durable_enough:
                visible = 0
                for link in soft.links.values():
                    visible += link.is_waited_for
            instrument = state.rules[order.symbol].instrument
            body = order_answer(order, instrument, lsn=state.lsn, visible=visible)
        answer = Answer(item.ticket, body)
        if is_durable_enough:
            self._effects.append(answer)
        else:
            soft.waiting.append((soft.stream_seq, answer))

    def _is_in_doubt(self, order_id: OrderId) -> bool:
        """Tell whether an order has offers out to deciders that may yet answer soon."""
        reserved, links = self.state.offers_by_taker.get(order_id), self.soft.links
        if reserved is None:
            return False
        return all(links[decider].may_answer_soon for decider in reserved.deciders)

    def _finish_waiting(self, order_id: OrderId) -> None:
        """Answer those who waited for an order to be out of doubt."""
        if not self._is_in_doubt(order_id):
            for ticket in self.soft.waiting_done.pop(order_id):
                self._acknowledge.append(Acknowledge(ticket, order_id))

    def _finish_all_waiting(self) -> None:
        """Look who waits for a peer that will not answer soon."""
        for order_id in list(self.soft.waiting_done):
            self._finish_waiting(order_id)

    def _release_waiting(self) -> None:
        """Send the answers that every peer we wait for has made visible: once a turn.

        How many that are is said as it is now: some may have gone since the order was placed.
        """
        soft = self.soft
        waiting = soft.waiting
        if not waiting:
            return
        visible, peers = soft.stream_seq, 0
        for link in soft.links.values():
            if link.is_waited_for:
                peers += 1
                if link.applied < visible:
                    visible = link.applied
        while waiting and waiting[0][0] <= visible:
            answer = waiting.popleft()[1]
            body = answer.body
            if type(body) is OrderAnswer and body.visible not in (-1, peers):
                answer = Answer(answer.ticket, msgspec.structs.replace(body, visible=peers))
            self._effects.append(answer)

    # The end of a link (B5).

    def _check_ready(self) -> None:
        soft = self.soft
        if soft.is_ready or soft.outcast:
            return
        if all(link.is_synced or link.is_suspected or link.quarantine for link in self._links()):
            soft.is_ready = True
            self._run(decide_match_all(soft))

    def _suspect(self, link: Link, reason: str) -> None:
        """Stop waiting for a peer; suspecting closes the link (B5)."""
        if link.session is not None:
            self._drop(link, reason)
        link.is_suspected = True
        link.detail = reason
        self._finish_all_waiting()
        self._check_ready()

    def _lost(self, link: Link, reason: str) -> None:
        """Suspect a peer whose link is gone: nobody waits for the dead (B5).

        A node that is starting gives it the time to come: it may be starting too (C5).
        """
        if self.soft.is_ready:
            self._suspect(link, reason)

    def _drop(self, link: Link, reason: str) -> None:
        """End the session from our side."""
        assert link.session is not None, "no session to end"
        self._held.append(CloseLink(link.peer, link.session, reason))
        sessions.close_session(self.soft, link, reason)

    def _fault(self, link: Link, reason: str) -> None:
        """Drop a link that went wrong; its next session begins anew (B2)."""
        if link.session is not None:
            self._drop(link, reason)
            self._lost(link, reason)

    def _send(self, link: Link, message: PeerMessage) -> None:
        if link.session is not None:
            self._held.append(Send(link.peer, link.session, message))

    def _links(self) -> list[Link]:
        return [link for _, link in sorted(self.soft.links.items())]
