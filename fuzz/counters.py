"""Rare states: reached, not hoped.  A campaign that never reached one of them fails.

Each counter is named for what has happened, and tells in a sentence why it is worth reaching.
"""

from typing import ClassVar

from exchange.domain.units import NodeId
from exchange.engine.effects import AnswerBody, OrderAnswer
from exchange.engine.engine import Step
from exchange.engine.messages import Heartbeat, Offer, PeerMessage, Reply, Resumed, SnapshotBegin
from exchange.engine.records import (
    OfferId,
    OffersForgotten,
    OrderAmended,
    OrderCanceled,
    Record,
    TradeAccepted,
    TradeDeclined,
    TradeOffered,
    TradeSettled,
)
from fuzz.checkers.base import Checker
from fuzz.clients import Call
from fuzz.model import offered
from fuzz.network import Link
from fuzz.process import Process

RARE = {
    # crashes
    "acceptance forced, reply unsent": "the proposer is in doubt, and only the log knows (S5)",
    "offer forced, never sent": "in doubt about what nobody has heard of (S4)",
    "write survives its process": "forced, and its caller died before it heard so (E4)",
    "failed force is there": "EIO, and yet it is on the disk: unknown means unknown (E4)",
    "killed while starting": "recovery during recovery (W6)",
    "redo with offers in doubt": "a restart must carry its doubts over (S4)",
    "all nodes down at once": "nobody is left to ask",
    # settlement
    "offer sent again after a restart": "the re-sent offer is the inquiry (S5)",
    "offer answered again from the log": "the same answer, whatever happened since (S5)",
    "both sides in doubt at once": "each is the other's decider (S2)",
    "partial acceptance": "the normal case of S3",
    "partial acceptance of a canceled taker": "what returns is gone (S9)",
    "canceled with an offer out": "the answer says what is still in doubt (S9)",
    "amended with an offer out": "offers keep their terms (S9)",
    "declined because the maker changed": "price or stamp moved while the offer flew (S9)",
    "acceptances forgotten": "the watermark came back (S7)",
    "filled beyond an amended total": "what was in doubt counts on top (S9)",
    # links and replicas
    "late message": "of an old session, after the next one is up (S6)",
    "message past a restart": "meant for the process before (S6)",
    "snapshot of a book that is not empty": "gap and snapshot during load (B2)",
    "stream resumed": "the ring still had what the peer missed (B2)",
    "silent node wakes": "all begins anew, as at a start (B5)",
    "clock set by a day or more": "stamps go on, whatever a wall clock shows (S2)",
    "answer after a silence": "somebody had let it in again, or nobody came (B5)",
    "slow peer set aside": "alive, and nobody waits for it any more (B5)",
    "slow peer taken back": "it has caught up, and its orders are matched again (B5)",
    "answered without waiting for a suspected peer": "one dead node stops nobody (B5)",
    "a node joined": "it makes nobody wait, and gets all of the market (C4)",
    # clients
    "retry answered after a restart": "one effect a client order id (faults 2.15)",
    "storage full with an offer out": "orders stop, settlement goes on (W7)",
    # damage
    "old copy restored": "a backup comes to life (C3)",
    "old copy stopped": "... and hears that it is one (C3)",
    "damage refused": "a flipped bit is a refusal to start (W4)",
}


class RareStates(Checker):
    """Counts; minds nothing."""

    kinds: ClassVar[tuple[type, ...]] = (
        TradeOffered,
        TradeAccepted,
        TradeDeclined,
        TradeSettled,
        OrderCanceled,
        OrderAmended,
        OffersForgotten,
    )

    def begin(self) -> None:
        """Remember what was replied and sent."""
        self._aside: set[tuple[int, int]] = set()  # who has told whom that it is set aside
        self._replied: set[tuple[int, int, OfferId]] = set()
        self._sent: set[tuple[int, int, OfferId]] = set()
        self._accepted: dict[tuple[int, int, OfferId], None] = {}
        self._offered: dict[tuple[int, int, OfferId], None] = {}

    def _count(self, name: str) -> None:
        assert name in RARE, "a counter that the list does not know"
        self.cluster.counters[name] += 1

    def on_record(self, node: NodeId, lsn: int, record: Record) -> None:
        """Count what records show."""
        known = self.exchange.node(node)
        match record:
            case TradeOffered():
                self._offered[node, record.decider, record.offer_id] = None
                other = self.exchange.node(record.decider)
                if any(decider == node for decider, _ in other.doubt):
                    self._count("both sides in doubt at once")
            case TradeAccepted():
                self._accepted[node, record.proposer, record.offer_id] = None
                offer = self.exchange.node(record.proposer).offers.get((node, record.offer_id))
                if offer is not None and record.quantity < offer.quantity:
                    self._count("partial acceptance")
            case TradeDeclined(reason="changed"):
                self._count("declined because the maker changed")
            case TradeSettled(decider, offer_id, quantity):
                offer = known.doubt[decider, offer_id]
                is_partial = 0 < quantity < offer.quantity
                if is_partial and known.orders[offer.taker].canceled:
                    self._count("partial acceptance of a canceled taker")
            case OrderCanceled(order_id):
                if offered(known, known.orders[order_id]):
                    self._count("canceled with an offer out")
            case OrderAmended(order_id):
                if offered(known, known.orders[order_id]):
                    self._count("amended with an offer out")
            case OffersForgotten():
                self._count("acceptances forgotten")
            case _:
                pass

    def on_sending(self, process: Process, link: Link, messages: list[PeerMessage]) -> None:
        """Count what messages show."""
        node, peer = process.node, link.other(process.node).node
        epoch = process.engine.state.scalars.epoch
        for message in messages:
            if isinstance(message, Heartbeat) and message.is_aside != ((node, peer) in self._aside):
                self._count("slow peer set aside" if message.is_aside else "slow peer taken back")
                self._aside ^= {(node, peer)}
            match message:
                case Offer(offer_id):
                    self._sent.add((node, peer, offer_id))
                    if offer_id.epoch < epoch:
                        self._count("offer sent again after a restart")
                case Reply(offer_id):
                    if (node, peer, offer_id) in self._replied:
                        self._count("offer answered again from the log")
                    self._replied.add((node, peer, offer_id))
                case SnapshotBegin():
                    if process.engine.soft.own.orders and not self.cluster.is_healed:
                        self._count("snapshot of a book that is not empty")
                case Resumed():
                    self._count("stream resumed")
                case _:
                    pass

    def on_decided(self, process: Process, step: Step) -> None:
        """Count what happens to a full store."""
        if process.engine.soft.is_storage_full and process.engine.state.offers:
            self._count("storage full with an offer out")

    def on_booted(self, process: Process) -> None:
        """Count what a restart finds."""
        if process.store.state.offers:
            self._count("redo with offers in doubt")

    def on_death(self, process: Process) -> None:
        """Count what a death leaves behind."""
        node = process.node
        if any(key[0] == node and key not in self._replied for key in self._accepted):
            self._count("acceptance forced, reply unsent")
        if any(key[0] == node and key not in self._sent for key in self._offered):
            self._count("offer forced, never sent")
        if not any(machine.process for machine in self.cluster.machines.values()):
            self._count("all nodes down at once")

    def on_told(self, call: Call, body: AnswerBody, ticket: int) -> None:
        """Count what clients hear."""
        if not isinstance(body, OrderAnswer) or call.is_over:
            return
        machine = self.cluster.machines[call.operation.node]
        if body.is_replay and machine.starts > 1:
            self._count("retry answered after a restart")
        if 0 <= body.visible < len(self.cluster.machines) - 1:
            self._count("answered without waiting for a suspected peer")
