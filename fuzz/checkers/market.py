"""The market: replicas, crossed books, priority, and how much it costs to agree (B1 to B5)."""

from typing import ClassVar

from exchange.domain.orders import Order as OwnedOrder
from exchange.domain.orders import Side, TimeInForce
from exchange.domain.units import NodeId, OrderId, Stamp, node_of
from exchange.engine.effects import Answer, AnswerBody, OrderAnswer
from exchange.engine.engine import Step
from exchange.engine.messages import Session
from exchange.engine.records import (
    LocalTrade,
    OrderAmended,
    OrderCanceled,
    OrderPlaced,
    OrderReduced,
    Record,
    TradeAccepted,
    TradeDeclined,
    TradeOffered,
    TradeSettled,
)
from exchange.engine.soft import Link
from fuzz.checkers.base import Checker
from fuzz.clients import Call
from fuzz.model import Order, open_quantity
from fuzz.process import Process

NOBODY: frozenset[int] = frozenset()


class ReplicasEqualOwners(Checker):
    """Every node's copy of the market is what the owners have (B1, B4)."""

    def at_end(self) -> None:
        """Compare every replica with its owner's book, and that with the model."""
        machines = self.cluster.machines
        for machine in machines.values():
            if machine.process is None:
                continue
            own = _book(machine.process.engine.soft.own)
            known = self.exchange.node(machine.node)
            model = {
                order.order_id: (open_quantity(known, order), order.price, order.stamp)
                for order in known.orders.values()
                if open_quantity(known, order) and not order.is_ioc
            }
            if own != model:
                self.fail(f"node {machine.node} shows {own}, its log says {model}")
            for peer in machines.values():
                if peer is machine or peer.process is None:
                    continue
                replica = _book(peer.process.engine.soft.links[NodeId(machine.node)].replica)
                if replica != own:
                    self.fail(f"node {peer.node} sees {replica} of node {machine.node}: {own}")


def _book(book: object) -> dict[int, tuple[int, int, int]]:
    orders = book.orders  # type: ignore[attr-defined]  # an OwnerBook
    return {key: (entry.open, entry.price, entry.stamp) for key, entry in orders.items()}


class NotCrossed(Checker):
    """When all is quiet, no two orders that could trade are left (S3)."""

    def at_end(self) -> None:
        """Compare best bid and best ask of every instrument, leaving out self-trades."""
        live: dict[str, list[Order]] = {}
        for node in self.exchange.nodes.values():
            for order in node.orders.values():
                if open_quantity(node, order):
                    live.setdefault(order.symbol, []).append(order)
        for orders in live.values():
            asks = [order for order in orders if not order.is_buy]
            for bid in (order for order in orders if order.is_buy):
                for ask in asks:
                    if bid.price >= ask.price:
                        self.fail(f"{bid.symbol} is crossed: {bid.order_id} and {ask.order_id}")


class DeclinesBounded(Checker):
    """Agreeing costs a bounded number of offers: no storm, no duel (S2, S3, faults 2.1)."""

    kinds: ClassVar[tuple[type, ...]] = (TradeDeclined, TradeAccepted, LocalTrade, TradeOffered)

    def begin(self) -> None:
        """Count."""
        self._declines = 0

    def on_record(self, node: NodeId, lsn: int, record: Record) -> None:
        """Count declines, and what may cause them."""
        if isinstance(record, TradeDeclined):
            self._declines += 1
            self.cluster.counters["declines"] += 1
        elif isinstance(record, TradeAccepted):
            self.cluster.counters["trades between nodes"] += 1
        elif isinstance(record, LocalTrade):
            self.cluster.counters["trades at one node"] += 1
        elif isinstance(record, TradeOffered):
            self.cluster.counters["offers"] += 1

    def at_end(self) -> None:
        """Compare with what people did."""
        calls = len(self.cluster.clients.calls)
        starts = sum(machine.starts for machine in self.cluster.machines.values())
        bound = 20 + 4 * calls + 10 * starts
        if self._declines > bound:
            self.fail(f"{self._declines} declines for {calls} requests and {starts} starts")


class SilentNodeWaits(Checker):
    """A node that was silent itself matches no peer before it is resynced (B5).

    And answers nobody before a peer has answered a hello that it said since, or as much time
    is over as a start would wait (C5).
    """

    def on_answering(self, process: Process, call: Call, body: AnswerBody) -> None:
        """See that somebody has let the node in again."""
        woke_us, now_us = process.woke_us, self.cluster.now_us
        if not woke_us:
            return
        if process.heard_us < woke_us and now_us < woke_us + process.engine.config.suspect_us:
            self.fail(f"node {process.node} was away until {woke_us} us, and answers: {body}")
        self.cluster.counters["answer after a silence"] += 1

    def on_decided(self, process: Process, step: Step) -> None:
        """Look at the first turn after a silence: no resync fits into one turn."""
        if process.silence_us <= process.engine.config.suspect_us:
            return
        if any(isinstance(record, TradeOffered) for record in step.records):
            self.fail(f"node {process.node} was silent for {process.silence_us} us, and offers")


class PriceTimePriority(Checker):
    """An order placed after another was acknowledged is younger, and meets it (B3).

    `_shown` holds what every peer that counts has in its book: acknowledged orders, as long
    as nothing has changed about them since, and the nodes that were waited for.
    """

    def begin(self) -> None:
        """Remember what was shown, and who was waited for at the end of the last turn."""
        self._shown: dict[OrderId, tuple[int, int, frozenset[int]]] = {}  # stamp, version, nodes
        self._stamps: list[tuple[int, int, frozenset[int]]] = []  # owner, stamp, nodes
        self._waited_for: dict[Process, frozenset[tuple[int, Session | None]]] = {}
        self._counted: frozenset[int] = frozenset()  # waited for before the turn and behind it
        self._settled: frozenset[int] = frozenset()  # makers that offers had reserved at its begin
        self._matched: frozenset[int] = frozenset()  # before the turn and behind it
        self._matched_before: dict[Process, frozenset[int]] = {}
        self._changed_lsn: dict[int, int] = {}  # of its owner's log, by order
        self._pending: dict[int, tuple[int, int, frozenset[int]]] = {}  # by ticket

    def on_decided(self, process: Process, step: Step) -> None:
        """Note who an acknowledgement has waited for, and check what was decided."""
        if self.cluster.plan.ack != "visible":
            return  # nothing is ever shown: B3 promises nothing
        soft = process.engine.soft
        links = soft.links.items()
        now = frozenset([(peer, link.session) for peer, link in links if _counts(link)])
        both = now & self._waited_for.get(process, frozenset())
        covered = frozenset([peer for peer, _ in both])  # not who was suspected and came again
        if process.silence_us > process.engine.config.suspect_us:
            covered = frozenset()  # the turn began with nobody: hellos may have come in it (B5)
        self._waited_for[process], self._counted = now, covered
        self._settled = NOBODY
        if step.records:
            offers = self.exchange.node(process.node).offers
            settled = [record for record in step.records if type(record) is TradeSettled]
            self._settled = frozenset(offers[one.decider, one.offer_id].maker for one in settled)
        matched = frozenset([peer for peer, link in soft.links.items() if link.is_matched])
        self._matched = matched & self._matched_before.get(process, NOBODY)
        self._matched_before[process] = matched
        if step.records:
            first_lsn = step.last_lsn - len(step.records) + 1
            for lsn, record in enumerate(step.records, start=first_lsn):
                self._check(process, record)
                for order_id in self._touched(process, record):
                    self._changed_lsn[order_id] = lsn
        for effect in step.effects:
            if isinstance(effect, Answer) and isinstance(effect.body, OrderAnswer):
                order = process.engine.state.orders.get(effect.body.order_id)
                is_waited = effect.body.visible >= 0 or effect.body.is_replay
                if order is None or not order.open or not is_waited or _never_rests(order):
                    continue
                if self._changed_lsn.get(order.order_id, 0) <= effect.body.lsn:
                    self._pending[effect.ticket] = (order.stamp, order.version, covered)

    def on_told(self, call: Call, body: AnswerBody, ticket: int) -> None:
        """Hear that a client knows: from now on the order counts as shown."""
        shown = self._pending.pop(ticket, None)
        if shown is not None and isinstance(body, OrderAnswer):
            self._shown[body.order_id] = shown
            self._stamps.append((node_of(body.order_id), shown[0], shown[2]))

    def _touched(self, process: Process, record: Record) -> tuple[int, ...]:
        match record:
            case OrderPlaced() | OrderAmended() | OrderReduced() | OrderCanceled():
                return (record.order_id,)
            case LocalTrade():
                return (record.maker, record.taker)
            case TradeOffered():
                return (record.taker,)
            case TradeAccepted():
                return (record.maker,)
            case TradeSettled(decider, offer_id):
                return (self.exchange.node(process.node).offers[decider, offer_id].taker,)
            case _:
                return ()

    def _check(self, process: Process, record: Record) -> None:
        match record:
            case OrderPlaced():
                self._is_younger(process, record)
            case LocalTrade() | TradeOffered():
                self._skips_nobody(process, record)
            case _:
                pass

    def _is_younger(self, process: Process, record: OrderPlaced) -> None:
        for owner, stamp, nodes in self._stamps:
            if stamp < record.stamp or process.node not in nodes or owner == process.node:
                continue
            if owner in self._counted:
                self.fail(
                    f"node {process.node} gives stamp {record.stamp}, but {stamp} of node {owner} "
                    "was acknowledged, and shown here, before"
                )

    def _skips_nobody(self, process: Process, record: LocalTrade | TradeOffered) -> None:
        """See that no order that is better, or as good and older, was passed over."""
        state = process.engine.state
        taker = state.find_order(record.taker)
        if isinstance(record, TradeOffered):
            maker_stamp = record.maker_stamp
        else:
            maker = state.find_order(record.maker)
            maker_stamp = maker.stamp if maker is not None else Stamp(0)
        if taker is None:
            return
        sign = 1 if taker.side is Side.BUY else -1
        chosen = (sign * record.price, maker_stamp)
        for order_id, (stamp, version, nodes) in self._shown.items():
            order = self._find(order_id) if order_id != record.maker else None
            if order is None or (order.version, order.stamp) != (version, stamp):
                continue  # something has happened to it since it was shown
            if order.side is taker.side or order.symbol != taker.symbol:
                continue
            if (sign * order.price, stamp) >= chosen or stamp >= taker.stamp or not order.open:
                continue
            if self._is_met(process, order, nodes, taker.account):
                self.fail(f"node {process.node} skips {order}: {record}")

    def _is_met(
        self, process: Process, order: OwnedOrder, nodes: frozenset[int], account: int
    ) -> bool:
        """Tell whether a node must have seen something open of an order."""
        owner = node_of(order.order_id)
        if owner == process.node:
            return order.account != account
        if (
            process.node not in nodes
            or owner not in self._matched
            or order.order_id in self._settled
        ):
            return False
        return order.open > process.engine.state.offered_against.get(order.order_id, 0)

    def _find(self, order_id: OrderId) -> OwnedOrder | None:
        process = self.cluster.machines[node_of(order_id)].process
        return None if process is None else process.engine.state.orders.get(order_id)


def _counts(link: Link) -> bool:
    """Tell whether acknowledgements must wait for a peer: from its hello on (B3)."""
    is_out = link.is_suspected or link.quarantine or link.pace.is_aside
    return not (is_out or link.is_aside_there)


def _never_rests(order: OwnedOrder) -> bool:
    """Tell whether an order is in nobody's book: then nobody skips it."""
    return order.time_in_force is TimeInForce.IOC
