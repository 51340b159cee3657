"""Answers: what a client was told stays true, and what it was not told stays open."""

from typing import ClassVar

from exchange.domain.orders import Reason, Status
from exchange.domain.units import NodeId
from exchange.engine.effects import (
    AnswerBody,
    BalanceAnswer,
    CancelAnswer,
    OrderAnswer,
    Refused,
)
from exchange.engine.records import OrderPlaced, OrderRejected, Record, Transferred
from fuzz.checkers.base import Checker
from fuzz.clients import Call, moved
from fuzz.model import Node, Order


class OneEffectPerKey(Checker):
    """A client order id has one effect for ever, and one first answer (faults 2.15)."""

    kinds: ClassVar[tuple[type, ...]] = (OrderPlaced, OrderRejected)

    def begin(self) -> None:
        """Remember first answers by order."""
        self._first: dict[int, tuple[object, ...]] = {}
        self._cut: set[int] = set()

    def on_record(self, node: NodeId, lsn: int, record: Record) -> None:
        """Look for a second effect."""
        if isinstance(record, Transferred):
            if (record.account, record.client_key) in self.exchange.node(node).transfer_keys:
                self.fail(f"node {node} moves {record.client_key} a second time: {record}")
            return
        if isinstance(record, OrderPlaced | OrderRejected):
            known = self.exchange.node(node)
            if (record.account, record.client_order_id) in known.keys:
                self.fail(f"node {node} places {record.client_order_id} a second time: {record}")
            if record.order_id in known.orders:
                self.fail(f"node {node} uses order id {record.order_id} twice")
            if isinstance(record, OrderPlaced) and record.first.is_cut:
                self._cut.add(record.order_id)
                self.cluster.counters["order matched over several turns"] += 1

    def on_told(self, call: Call, body: AnswerBody, ticket: int) -> None:
        """Compare first answers; those that waited for the end of doubt say more."""
        if not isinstance(body, OrderAnswer) or call.operation.kind not in ("place", "again"):
            return
        target = call
        if call.operation.kind == "again":
            target = self.cluster.clients.calls[call.operation.target]
        if target.operation.is_wait_done:
            return
        told = (
            *(body.order_id, body.client_order_id, body.instrument.symbol, body.side),
            *(body.time_in_force, body.price, body.quantity, body.total, body.filled),
            *(body.in_doubt, body.cost, body.status, body.reason, body.created),
        )
        if body.order_id in self._cut:
            return  # matched over several turns: a retry is told how it stands
        first = self._first.setdefault(body.order_id, told)
        if told != first:
            self.fail(f"two first answers to one order: {first}, {told}")


class AnswersSurvive(Checker):
    """What was acknowledged is there in the end (E3, E4, S9)."""

    def begin(self) -> None:
        """Remember what was told about orders."""
        self._told: list[tuple[Call, OrderAnswer]] = []
        self._canceled: list[CancelAnswer] = []

    def on_told(self, call: Call, body: AnswerBody, ticket: int) -> None:
        """Remember."""
        if isinstance(body, OrderAnswer):
            self._told.append((call, body))
        elif isinstance(body, CancelAnswer):
            self._canceled.append(body)
            self._told.append((call, body.order))

    def at_end(self) -> None:
        """Look every order up."""
        for call, body in self._told:
            self._order(call, body)
        for canceled in self._canceled:
            order = self._find(canceled.order)
            if order is None:
                continue
            is_gone = order.canceled or order.is_rejected or order.filled >= order.total
            if not is_gone or order.filled > canceled.order.filled + canceled.in_doubt:
                self.fail(f"a cancel is lost: {canceled}, filled {order.filled}")

    def _find(self, body: OrderAnswer) -> Order | None:
        for node in self.exchange.nodes.values():
            if body.order_id in node.orders:
                return node.orders[body.order_id]
        return None

    def _order(self, call: Call, body: OrderAnswer) -> None:
        order = self._find(body)
        if order is None:
            self.fail(f"an acknowledged order is gone: {body}")
            return
        if order.filled < body.filled or order.cost < body.cost:
            self.fail(f"a fill was taken back: {body}, now {order.filled}")
        if body.status is Status.REJECTED and not order.is_rejected:
            self.fail(f"told rejected, and it was placed: {body}")
        if body.status in (Status.CANCELED, Status.FILLED) and call.operation.kind == "get":
            done = body.filled + body.in_doubt
            if order.filled > done:
                self.fail(f"told {body.status}, and it went on: {body}, filled {order.filled}")


class UnknownStaysUnknown(Checker):
    """What was told has happened once; what was refused has not; the rest may be either (E4)."""

    def at_end(self) -> None:
        """Hold the history of all requests against the log."""
        for call in self.cluster.clients.calls:
            node = self.exchange.node(call.operation.node)
            if call.operation.kind == "place":
                self._placed(node, call)
            if call.operation.kind == "move":
                self._moved(node, call)

    def _placed(self, node: Node, call: Call) -> None:
        if not call.key:
            return
        is_there = (call.account, call.key) in node.keys
        if isinstance(call.body, Refused) and call.body.code == Reason.INSUFFICIENT_FUNDS:
            self.fail(f"call {call.index} was refused for its funds, and no record says so (E2)")
        if call.outcome == "ok" and not is_there:
            self.fail(f"call {call.index} was told ok, and nothing is in the log")
        if call.outcome == "refused" and is_there and call.tries == 1 and not self._again(call):
            self.fail(f"call {call.index} was refused, and it is in the log: {call.body}")

    def _again(self, call: Call) -> bool:
        calls = self.cluster.clients.calls
        return any(
            other.operation.kind == "again" and other.operation.target == call.index
            for other in calls
        )

    def _moved(self, node: Node, call: Call) -> None:
        """Amounts are unique but for `set_balance`, which moves what is missing."""
        asset, amount = moved(self.cluster, call)
        times = node.transfers[call.account].count((asset, amount))
        is_ok = call.outcome == "ok" and isinstance(call.body, BalanceAnswer)
        if is_ok and not times:
            self.fail(f"call {call.index} moved {amount} {asset}, and nothing is in the log")
        is_refused = call.outcome == "refused" and isinstance(call.body, Refused)
        if is_refused and times and not self._is_set(call):
            self.fail(f"call {call.index} was refused, and {amount} {asset} moved")

    def _is_set(self, call: Call) -> bool:
        calls = self.cluster.clients.calls
        return any(
            other.operation.kind == "set_balance" and other.account == call.account
            for other in calls
        )
