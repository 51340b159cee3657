"""Evidence: what one node's log says about trades with other nodes, gathered in one pass.

Only what can still matter for a trade in doubt is kept: offers without an answer, answers the
proposer has not acknowledged, and for each proposer the mark and the watermark below which
acceptances were forgotten (S5, S7).  So a log of any length needs little memory.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from exchange.domain.units import Lsn, NodeId, TradeId
from exchange.engine.messages import SealedProof
from exchange.engine.records import (
    BEFORE_ANY,
    HeuristicChecked,
    HeuristicDecision,
    HeuristicForgotten,
    InstrumentListed,
    OfferId,
    OffersForgotten,
    Record,
    TradeAccepted,
    TradeDeclined,
    TradeOffered,
    TradeSettled,
)
from exchange.store.disk import Disk
from recovery.subjects import Subjects

Answer = TradeAccepted | TradeDeclined
Key = tuple[NodeId, OfferId]  # the peer, and the offer between it and this node


class Heuristic(msgspec.Struct):
    """An operator's decision, and the decider's own once it is known."""

    lsn: Lsn
    offer_lsn: Lsn
    offer: TradeOffered
    decision: HeuristicDecision
    answer: int | None = None


class Evidence:
    """What is known from one log, or a prefix of it."""

    def __init__(self, node_id: NodeId, disk: Disk | None = None) -> None:
        self.node_id = node_id
        self.subjects = Subjects(node_id, disk)  # what is traded, for people
        self.last_lsn = Lsn(0)
        self.is_whole = True  # false: the log is broken after `last_lsn`, more may have followed
        self.offers: dict[Key, tuple[Lsn, TradeOffered]] = {}  # ours, without an answer
        # Proposer -> its offers that we answered, oldest first.
        self.answers: dict[NodeId, dict[OfferId, tuple[Lsn, Answer]]] = {}
        self.marks: dict[NodeId, tuple[OfferId, Lsn, TradeId]] = {}  # what moved the mark last
        self.forgotten: dict[NodeId, OfferId] = {}  # acceptances below are forgotten
        # Offers of ours that an operator decided, until the decider's answer agrees (S4).
        self.heuristics: dict[Key, Heuristic] = {}
        self.seen: dict[NodeId, SealedProof] = {}  # the last proof of a peer's log (C3)

    @property
    def acceptances(self) -> int:
        """Return how many acceptances wait for their proposer's acknowledgement."""
        return sum(
            isinstance(record, TradeAccepted)
            for answers in self.answers.values()
            for _, record in answers.values()
        )

    def answer(self, proposer: NodeId, offer_id: OfferId) -> tuple[Lsn, Answer] | None:
        """Return our answer to an offer and its LSN, if it is not forgotten."""
        return self.answers.get(proposer, {}).get(offer_id)

    def mark(self, proposer: NodeId) -> OfferId:
        """Return the highest offer of a proposer that this node has handled (S5)."""
        return self.marks[proposer][0] if proposer in self.marks else BEFORE_ANY

    def add(self, first_lsn: Lsn, records: Iterable[Record]) -> None:
        """Take in the records of a frame, in the order of the log."""
        lsn = int(first_lsn)
        for record in records:
            witness = _WITNESS.get(type(record))
            if witness is not None:
                witness(self, Lsn(lsn), record)
            lsn += 1
        self.last_lsn = Lsn(lsn - 1)


def _listed(evidence: Evidence, _: Lsn, record: InstrumentListed) -> None:
    evidence.subjects.learn(record)


def _offered(evidence: Evidence, lsn: Lsn, record: TradeOffered) -> None:
    evidence.offers[record.decider, record.offer_id] = (lsn, record)


def _settled(evidence: Evidence, _: Lsn, record: TradeSettled) -> None:
    evidence.offers.pop((record.decider, record.offer_id), None)


def _answered(evidence: Evidence, lsn: Lsn, record: Answer) -> None:
    proposer = record.proposer
    evidence.answers.setdefault(proposer, {})[record.offer_id] = (lsn, record)
    if record.offer_id > evidence.mark(proposer):
        evidence.marks[proposer] = (record.offer_id, lsn, record.trade_id)


def _forgot(evidence: Evidence, _: Lsn, record: OffersForgotten) -> None:
    proposer = record.proposer
    evidence.forgotten[proposer] = max(record.below, evidence.forgotten.get(proposer, BEFORE_ANY))
    answers = evidence.answers.get(proposer, {})
    while answers and (oldest := next(iter(answers))) < record.below:
        del answers[oldest]


def _decided(evidence: Evidence, lsn: Lsn, record: HeuristicDecision) -> None:
    key = (record.decider, record.offer_id)
    offer = evidence.offers.pop(key, None)
    if offer is not None:
        evidence.heuristics[key] = Heuristic(lsn, *offer, record)


def _checked(evidence: Evidence, _: Lsn, record: HeuristicChecked) -> None:
    entry = evidence.heuristics.get((record.decider, record.offer_id))
    if entry is not None:
        entry.answer = record.quantity
        if entry.answer == entry.decision.quantity:
            del evidence.heuristics[record.decider, record.offer_id]


def _heuristic_forgotten(evidence: Evidence, _: Lsn, record: HeuristicForgotten) -> None:
    evidence.heuristics.pop((record.decider, record.offer_id), None)


_WITNESS: dict[type, Callable[[Evidence, Lsn, Any], None]] = {
    InstrumentListed: _listed,
    TradeOffered: _offered,
    TradeSettled: _settled,
    TradeAccepted: _answered,
    TradeDeclined: _answered,
    OffersForgotten: _forgot,
    HeuristicDecision: _decided,
    HeuristicChecked: _checked,
    HeuristicForgotten: _heuristic_forgotten,
}
