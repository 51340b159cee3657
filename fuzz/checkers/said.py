"""What is said: nothing before it is forced, and what explains comes first (E3, S3, S6)."""

from typing import ClassVar

from exchange.domain.book import OrderEvent
from exchange.domain.units import NodeId, Seq
from exchange.engine.effects import AnswerBody, CancelAnswer, OrderAnswer
from exchange.engine.messages import (
    Ack,
    Events,
    Heartbeat,
    Hello,
    Offer,
    PeerMessage,
    Reply,
    Resumed,
    SnapshotChunk,
    SnapshotEnd,
)
from exchange.engine.records import BEFORE_ANY, OfferId, Record, TradeAccepted
from fuzz.checkers.base import Checker
from fuzz.clients import Call
from fuzz.model import Node
from fuzz.network import Link
from fuzz.process import Process


class NothingLeavesEarly(Checker):
    """Whatever a node says, its durable log already says (E3, S5, S7)."""

    def on_sending(self, process: Process, link: Link, messages: list[PeerMessage]) -> None:
        """Hold each message against the durable log of the sender."""
        node, peer = self.exchange.node(process.node), link.other(process.node).node
        for message in messages:
            match message:
                case Offer(offer_id):
                    if (peer, offer_id) not in node.offers:
                        self.fail(f"node {node.node} sends an offer that is not durable: {message}")
                case Reply(offer_id, quantity):
                    self._reply(node, peer, offer_id, quantity)
                case Ack(watermark) | Heartbeat(watermark=watermark):
                    self._watermark(node, peer, watermark)
                case Hello():
                    self._hello(node, peer, message)
                case Events(events=events) | SnapshotChunk(events):
                    for event in events:
                        self._event(node, event)
                case _:
                    pass

    def on_answering(self, process: Process, call: Call, body: AnswerBody) -> None:
        """Hold an answer about an order against the durable log."""
        if isinstance(body, CancelAnswer):
            body = body.order
        if not isinstance(body, OrderAnswer):
            return
        node = self.exchange.node(process.node)
        order = node.orders.get(body.order_id)
        if order is None or order.filled < body.filled or body.lsn > node.lsn:
            self.fail(f"node {node.node} tells what is not durable: {body}, LSN {node.lsn}")

    def _reply(self, node: Node, peer: int, offer_id: OfferId, quantity: int) -> None:
        accepted = node.accepted.get((peer, offer_id))
        committed = accepted.quantity if accepted else 0
        if quantity != committed or offer_id > node.mark[peer]:
            self.fail(f"node {node.node} answers {peer}:{offer_id} with {quantity}, not durable")

    def _watermark(self, node: Node, peer: int, watermark: OfferId) -> None:
        below = [key for key in node.doubt if key[0] == peer and key[1] < watermark]
        if below or watermark > _after(node.last_offer[peer]):
            self.fail(f"node {node.node} acknowledges {watermark}, in doubt: {below}")

    def _hello(self, node: Node, peer: int, hello: Hello) -> None:
        if hello.mark > node.mark[peer] or hello.last_offer > node.last_offer[peer]:
            self.fail(f"node {node.node} says hello with what is not durable: {hello}")
        if hello.epoch != node.epoch or hello.boot_id != node.boots[-1]:
            self.fail(f"node {node.node} says hello with another boot: {hello}")
        self._watermark(node, peer, hello.watermark)

    def _event(self, node: Node, event: OrderEvent) -> None:
        order = node.orders.get(event.order_id)
        if order is None or event.version > order.version:
            self.fail(f"node {node.node} publishes what is not durable: {event}")


class SaidInOrder(Checker):
    """On a link, what explains comes first: old offers, and the maker's event (S3, S6)."""

    kinds: ClassVar[tuple[type, ...]] = (TradeAccepted,)

    def begin(self) -> None:
        """Remember, by link and sender, what was said."""
        self._offer: dict[tuple[Link, int], OfferId] = {}
        self._level_lsn: dict[tuple[Link, int], int] = {}  # the peer has been level since
        self._shown: dict[tuple[Link, int, int], int] = {}  # order -> version
        self._accepted: dict[tuple[int, int, OfferId], tuple[int, int]] = {}  # LSN, version

    def on_record(self, node: NodeId, lsn: int, record: Record) -> None:
        """Note the version that a maker has by an acceptance."""
        if isinstance(record, TradeAccepted):
            maker = self.exchange.node(node).orders[record.maker]
            key = (node, record.proposer, record.offer_id)
            self._accepted[key] = (lsn, maker.version + 1)

    def on_sending(self, process: Process, link: Link, messages: list[PeerMessage]) -> None:
        """Walk through what is said."""
        node, peer = process.node, link.other(process.node).node
        for message in messages:
            match message:
                case Offer(offer_id):
                    if offer_id <= self._offer.get((link, node), BEFORE_ANY):
                        self.fail(f"node {node} sends {offer_id} after a younger one")
                    self._offer[link, node] = offer_id
                case Events(events=events) | SnapshotChunk(events):
                    for event in events:
                        self._shown[link, node, event.order_id] = event.version
                case SnapshotEnd() | Resumed():
                    self._level_lsn.setdefault((link, node), self.exchange.node(node).lsn)
                case Reply(offer_id, quantity):
                    if quantity:
                        self._replied(link, node, peer, offer_id)
                case _:
                    pass

    def _replied(self, link: Link, node: int, peer: int, offer_id: OfferId) -> None:
        lsn, version = self._accepted[node, peer, offer_id]
        maker = self.exchange.node(node).accepted[peer, offer_id].maker
        is_level = lsn > self._level_lsn.get((link, node), lsn)
        if is_level and self._shown.get((link, node, maker), 0) < version:
            self.fail(f"node {node} replies to {offer_id} before it shows what became of {maker}")


def _after(offer_id: OfferId) -> OfferId:
    return OfferId(offer_id.epoch, Seq(offer_id.seq + 1))
