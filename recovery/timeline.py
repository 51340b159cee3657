"""The story of one trade across its nodes (S3 to S7).

Records are put in the order of cause: placed, offered, decided, settled, forgotten.  Clocks of
nodes differ, so time alone would tell it wrong; it only orders what has the same rank.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from exchange.domain.units import NodeId, TradeId, parse_id
from exchange.engine.records import (
    HeuristicChecked,
    HeuristicDecision,
    HeuristicForgotten,
    LocalTrade,
    OfferId,
    OffersForgotten,
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
from recovery.inspection import Look, open_all
from recovery.problems import Problem
from recovery.proof import Verdict, Witness, judge
from recovery.show import describe

RANKS: dict[type, int] = {
    OrderPlaced: 0,
    OrderAmended: 0,
    TradeOffered: 1,
    LocalTrade: 1,
    TradeAccepted: 2,
    TradeDeclined: 2,
    HeuristicDecision: 3,
    TradeSettled: 4,
    HeuristicChecked: 4,
    OffersForgotten: 5,
    HeuristicForgotten: 5,
    OrderReduced: 6,
    OrderCanceled: 6,
}


class Timeline(msgspec.Struct):
    """All that the given nodes know of a trade."""

    trade_id: str
    events: list[Witness] = []
    outcome: str = "unknown"  # committed, aborted, frozen, in doubt, or unknown
    verdict: Verdict | None = None  # while it is in doubt
    problems: list[Problem] = []


class _Found(msgspec.Struct):
    """A record about the trade."""

    node: NodeId
    lsn: int
    record: Record


def tell(trade: str, paths: Sequence[Path]) -> Timeline:
    """Tell a trade; ValueError if the text is no id."""
    packed = parse_id(trade)
    if packed is None:
        raise ValueError(f"{trade!r} is no trade id; ids look like 3-17")
    result = Timeline(trade)
    found: list[_Found] = []
    with ExitStack() as opened:
        looks = open_all(paths, opened, result.problems)
        for look in looks:
            found += _search(look, TradeId(packed))
            result.problems += look.problems
        found.sort(key=lambda item: (RANKS[type(item.record)], _ts(item.record), item.node))
        result.events = [Witness(item.node, item.lsn, *describe(item.record)) for item in found]
        result.outcome = _outcome([item.record for item in found])
        if result.outcome == "in doubt":
            result.verdict = _verdict(looks, TradeId(packed))
    return result


def _search(look: Look, trade: TradeId) -> list[_Found]:
    """Return the records of one log about a trade: two readings, the orders are named later."""
    directory = look.directory
    look.read_log(lambda _: None)
    look.load_state()  # what a verdict needs may be archived
    if look.chain is None:
        return []
    offers: set[tuple[NodeId, OfferId]] = set()
    orders: set[int] = set()
    found: list[_Found] = []
    forgotten: set[tuple[NodeId, OfferId]] = set()
    for frame in look.chain.again(directory.log):
        for lsn, record in enumerate(frame.records, frame.first_lsn):
            if getattr(record, "trade_id", None) == trade:
                orders |= {getattr(record, "maker", 0), getattr(record, "taker", 0)}
                offers |= _offer(record)
                found.append(_Found(directory.node_id, lsn, record))
            elif _offer(record) & offers:
                found.append(_Found(directory.node_id, lsn, record))
            elif isinstance(record, OffersForgotten):
                passed = {
                    key
                    for key in offers - forgotten
                    if key[0] == record.proposer and key[1] < record.below
                }
                if passed:
                    found.append(_Found(directory.node_id, lsn, record))
                forgotten |= passed
    for frame in look.chain.again(directory.log):
        for lsn, record in enumerate(frame.records, frame.first_lsn):
            if getattr(record, "order_id", 0) in orders and type(record) in RANKS:
                found.append(_Found(directory.node_id, lsn, record))
    return found


def _offer(record: Record) -> set[tuple[NodeId, OfferId]]:
    """Return the offer that a record names, from this node's side."""
    offer_id = getattr(record, "offer_id", None)
    if offer_id is None:
        return set()
    return {(getattr(record, "decider", getattr(record, "proposer", NodeId(0))), offer_id)}


def _outcome(records: Sequence[Record]) -> str:
    """Say how the trade ended, as far as these records tell."""
    checked = [record.quantity for record in records if isinstance(record, HeuristicChecked)]
    for record in records:
        match record:
            case LocalTrade():
                return "committed"
            case HeuristicDecision() if checked and checked[0] != record.quantity:
                return "frozen"
            case TradeSettled() | HeuristicDecision():
                return "committed" if record.quantity else "aborted"
            case _:
                pass
    if any(isinstance(record, TradeOffered) for record in records):
        return "in doubt"
    return "committed" if any(isinstance(r, TradeAccepted) for r in records) else "unknown"


def _verdict(looks: Sequence[Look], trade: TradeId) -> Verdict | None:
    logs = {look.directory.node_id: look.evidence for look in looks}
    for evidence in logs.values():
        for lsn, offer in evidence.offers.values():
            if offer.trade_id == trade:
                return judge(evidence, lsn, offer, logs.get(offer.decider))
    return None


def _ts(record: Record) -> int:
    ts: int = getattr(record, "ts", 0)
    return ts
