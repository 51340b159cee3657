"""The story of one trade across its nodes (S3 to S7): what `timeline` prints.

Two readings of every log.  The first finds what the trade is called in them: its offer, which is
named by proposer, decider and number (numbers alone repeat in the other direction), and its two
orders.  The second takes every record about these.  What ended the trade is the decider's word
wherever its log is given: an acceptance is the commit point, everything else is hearsay.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from exchange.domain.instruments import Instrument
from exchange.domain.units import Micros, NodeId, OrderId, TradeId, node_of, parse_id
from exchange.engine.records import (
    HeuristicChecked,
    HeuristicDecision,
    HeuristicForgotten,
    LocalTrade,
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
from exchange.store.frames import Frame
from recovery.amounts import price_text, quantity_text, terms
from recovery.inspection import Look, open_all
from recovery.problems import Problem
from recovery.proof import Verdict, Witness, judge
from recovery.show import describe
from recovery.subjects import OfferName, offer_of, orders_in

OF_ORDERS = (OrderPlaced, OrderAmended, OrderReduced, OrderCanceled)

Log = Callable[[], Iterable[Frame]]  # a log can be read more than once


class Timeline(msgspec.Struct):
    """All that the given nodes know of a trade."""

    trade_id: str
    events: list[Witness] = []
    outcome: str = "unknown"  # committed, aborted, frozen, in doubt, or unknown
    terms: str = ""  # of a trade that is committed: "4 ACME at 1.01 USD"
    verdict: Verdict | None = None  # while it is in doubt
    problems: list[Problem] = []


class Event(NamedTuple):
    """A record about the trade; in the order of a story."""

    ts: Micros  # of the record, or of the frame it was forced in
    node: NodeId
    lsn: int
    record: Record


class _Names(NamedTuple):
    """What a trade is called in the logs."""

    trade: TradeId
    offers: set[OfferName]
    orders: set[OrderId]


def tell(trade: str, paths: Sequence[Path], archive: Path | None = None) -> Timeline:
    """Tell a trade; ValueError if the text is no id."""
    packed = parse_id(trade)
    if packed is None or not node_of(packed):
        raise ValueError(f"{trade!r} is no trade id; ids look like 3-17")
    result = Timeline(trade)
    with ExitStack() as opened:
        looks = open_all(paths, opened, result.problems, archive)
        logs: dict[NodeId, Log] = {}
        for look in looks:
            look.read_log(lambda _: None)
            look.load_state()  # what a verdict needs may be archived
            result.problems += look.problems
            if look.chain is not None:
                logs[look.directory.node_id] = _log(look)
        events = find(TradeId(packed), logs)
        result.outcome = outcome([event.record for event in events])
        instrument = _instrument(looks, [event.record for event in events])
        result.events = [_witness(event, instrument) for event in events]
        if result.outcome == "committed":
            result.terms = _terms([event.record for event in events], instrument)
        if result.outcome == "in doubt":
            result.verdict = _verdict(looks, TradeId(packed))
    return result


def find(trade: TradeId, logs: Mapping[NodeId, Log]) -> list[Event]:
    """Return the records about a trade: by time, then by node and LSN."""
    names = _Names(trade, set(), set())
    for node, log in logs.items():
        for frame in log():
            for record in frame.records:
                if getattr(record, "trade_id", None) == trade:
                    offer = offer_of(node, record)
                    names.offers.update([] if offer is None else [offer])
                    names.orders.update(orders_in(record))
    found = [event for node, log in logs.items() for event in _events(node, log, names)]
    return sorted(found, key=lambda event: event[:3])


def outcome(records: Sequence[Record]) -> str:
    """Say how the trade ended, as far as these records tell."""
    decided: int | None = None  # by its decider, in lots
    settled: int | None = None  # at its proposer
    operator: int | None = None
    is_forgotten = is_offered = False
    for record in records:
        match record:
            case LocalTrade() | TradeAccepted() | HeuristicChecked():
                decided = record.quantity
            case TradeDeclined():
                decided = 0
            case TradeSettled():
                settled = record.quantity
            case HeuristicDecision():
                operator = record.quantity
            case HeuristicForgotten():
                is_forgotten = True
            case TradeOffered():
                is_offered = True
            case _:
                pass
    if operator is not None:
        if decided not in (None, operator) and not is_forgotten:
            return "frozen"
    elif is_offered and settled is None:
        return "in doubt"
    words = [word for word in (decided, settled, operator) if word is not None]
    return ("committed" if words[0] else "aborted") if words else "unknown"


def _events(node: NodeId, log: Log, names: _Names) -> Iterable[Event]:
    waiting = {offer for offer in names.offers if offer.decider == node}
    for frame in log():
        for lsn, record in enumerate(frame.records, frame.first_lsn):
            if isinstance(record, OffersForgotten):
                passed = {
                    offer
                    for offer in waiting
                    if offer.proposer == record.proposer and offer.offer_id < record.below
                }
                waiting -= passed
                is_about = bool(passed)
            elif isinstance(record, OF_ORDERS):
                is_about = record.order_id in names.orders
            else:
                is_about = (
                    getattr(record, "trade_id", None) == names.trade
                    or offer_of(node, record) in names.offers
                )
            if is_about:
                yield Event(getattr(record, "ts", frame.ts), node, lsn, record)


def _log(look: Look) -> Log:
    chain, log = look.chain, look.directory.log
    assert chain is not None, "the log was read"
    return lambda: chain.again(log)


def _witness(event: Event, instrument: Instrument | None) -> Witness:
    name, fields = describe(event.record)
    return Witness(event.node, event.lsn, name, fields, terms(event.record, instrument))


def _instrument(looks: Sequence[Look], records: Sequence[Record]) -> Instrument | None:
    """Return what was traded: an order of the trade is of one of the nodes."""
    for look in looks:
        for record in records:
            found = look.evidence.subjects.instrument(record)
            if found is not None:
                return found
    return None


def _terms(records: Sequence[Record], instrument: Instrument | None) -> str:
    """Write what was traded at which price, as the decider has it or else the proposer."""
    for record in records:
        if isinstance(record, LocalTrade | TradeAccepted):
            quantity = quantity_text(record.quantity, instrument)
            return f"{quantity} at {price_text(record.price, instrument)}"
    price = next((record.price for record in records if isinstance(record, TradeOffered)), None)
    for record in records:
        if isinstance(record, TradeSettled | HeuristicDecision) and price is not None:
            quantity = quantity_text(record.quantity, instrument)
            return f"{quantity} at {price_text(price, instrument)}"
    return ""


def _verdict(looks: Sequence[Look], trade: TradeId) -> Verdict | None:
    logs = {look.directory.node_id: look.evidence for look in looks}
    for evidence in logs.values():
        for lsn, offer in evidence.offers.values():
            if offer.trade_id == trade:
                return judge(evidence, lsn, offer, logs.get(offer.decider))
    return None
