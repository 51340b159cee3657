"""Proof: the outcome of a trade in doubt, from the logs of both its nodes (S4, S5).

Theory of operation
===================
Only a proposer is ever in doubt: it has offered and has no answer on disk.  The decider's log
ends the doubt, because its acceptance is the commit point and its mark only rises:

    decider's log                                     | verdict        | what proves it
    --------------------------------------------------+----------------+-----------------------
    holds the acceptance                              | commit proven  | the acceptance
    holds a decline                                   | abort proven   | the decline
    mark at or above the offer, no acceptance         | abort proven   | what moved the mark
    mark below the offer                              | undecided      | needs: decider has not
                                                      |                | handled it
    broken before the offer was handled               | undecided      | needs: the lost part
    not given                                         | undecided      | needs: the directory

"No acceptance" proves an abort only at or below the mark: below it the decider may yet accept.
An offer below what the decider has forgotten was acknowledged by its proposer; finding it in
doubt means that the proposer's directory is an old copy, and nothing is claimed about it (S7).
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from exchange.domain.instruments import Instrument
from exchange.domain.units import NodeId, format_id
from exchange.engine.records import BEFORE_ANY, TradeAccepted, TradeOffered
from recovery.amounts import quantity_text, terms
from recovery.evidence import Evidence
from recovery.show import describe

NOT_HANDLED = "decider has not handled it"


class Outcome(StrEnum):
    """The three words of interfaces section 5."""

    COMMIT = "commit proven"
    ABORT = "abort proven"
    UNDECIDED = "undecided"


class Witness(msgspec.Struct, frozen=True):
    """A record that proves something, and where it stands."""

    node: int
    lsn: int
    type: str
    record: dict[str, object]
    amounts: dict[str, str] = {}  # its prices and quantities, as people read them


class Verdict(msgspec.Struct, frozen=True):
    """What can be said about one trade in doubt."""

    trade_id: str
    proposer: int
    decider: int
    verdict: Outcome
    records: list[Witness]
    needs: str  # empty if the outcome is proven
    offer_id: str  # "epoch.seq"
    quantity: int  # lots: accepted if a commit is proven, 0 if an abort is, else offered
    amount: str = ""  # the same, as people read it


def judge_all(logs: Mapping[NodeId, Evidence]) -> list[Verdict]:
    """Judge every trade in doubt of all the given nodes, by proposer, decider and offer."""
    return [
        judge(logs[node_id], offer_lsn, offer, logs.get(offer.decider))
        for node_id in sorted(logs)
        for _, (offer_lsn, offer) in sorted(logs[node_id].offers.items())
    ]


def judge(
    proposer: Evidence, offer_lsn: int, offer: TradeOffered, decider: Evidence | None
) -> Verdict:
    """Judge one offer without an answer by the log of its decider, if that is given."""
    instrument = proposer.subjects.instrument(offer)
    verdict, quantity, witnesses, needs = _judge(proposer.node_id, offer, decider, instrument)
    return Verdict(
        format_id(offer.trade_id),
        proposer.node_id,
        offer.decider,
        verdict,
        [
            Witness(proposer.node_id, offer_lsn, *describe(offer), terms(offer, instrument)),
            *witnesses,
        ],
        needs,
        f"{offer.offer_id.epoch}.{offer.offer_id.seq}",
        quantity,
        quantity_text(quantity, instrument),
    )


def _judge(
    proposer: NodeId,
    offer: TradeOffered,
    decider: Evidence | None,
    instrument: Instrument | None,
) -> tuple[Outcome, int, list[Witness], str]:
    undecided = (Outcome.UNDECIDED, offer.quantity, list[Witness]())
    if decider is None:
        return (*undecided, f"directory of node {offer.decider}")
    answer = decider.answer(proposer, offer.offer_id)
    if answer is not None:
        lsn, record = answer
        known = terms(record, instrument)
        witness = Witness(decider.node_id, lsn, *describe(record), known)
        if isinstance(record, TradeAccepted):
            return Outcome.COMMIT, record.quantity, [witness], ""
        return Outcome.ABORT, 0, [witness], ""
    if offer.offer_id < decider.forgotten.get(proposer, BEFORE_ANY):
        return (*undecided, f"newer directory of node {proposer}: it had acknowledged this offer")
    if proposer in decider.marks and offer.offer_id <= decider.mark(proposer):
        mark, lsn, trade_id = decider.marks[proposer]
        moved: dict[str, object] = {
            "offer_id": f"{mark.epoch}.{mark.seq}",
            "trade_id": format_id(trade_id),
        }
        return Outcome.ABORT, 0, [Witness(decider.node_id, lsn, "mark", moved)], ""
    if not decider.is_whole:
        return (*undecided, f"log of node {offer.decider} after LSN {decider.last_lsn}")
    return (*undecided, NOT_HANDLED)
