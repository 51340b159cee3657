"""What the tools tell of a trade is what its decider recorded (S3 to S7)."""

from typing import ClassVar

from exchange.domain.units import NodeId, TradeId, format_id
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
from exchange.store.frames import Frame, read_frame
from fuzz.checkers.base import Checker
from recovery.selection import Selection
from recovery.timeline import find, outcome

TOLD_MAX = 4  # trades told at the end of a run: a telling reads all logs twice
_Key = tuple[NodeId, NodeId, OfferId]  # proposer, decider, offer
_Place = tuple[NodeId, int]


class ToldAsDecided(Checker):
    """Each trade is told with its own records and its real outcome (S4, S5)."""

    kinds: ClassVar[tuple[type, ...]] = (TradeOffered, TradeAccepted, TradeDeclined, LocalTrade)
    told_max: ClassVar[int] = TOLD_MAX

    def begin(self) -> None:
        """Hear of every trade."""
        self._trades: dict[TradeId, _Key | None] = {}

    def on_record(self, node: NodeId, lsn: int, record: Record) -> None:
        """Note what a trade is called."""
        match record:
            case TradeOffered():
                self._trades[record.trade_id] = (node, record.decider, record.offer_id)
            case TradeAccepted() | TradeDeclined():
                self._trades[record.trade_id] = (record.proposer, node, record.offer_id)
            case LocalTrade():
                self._trades[record.trade_id] = None
            case _:
                pass

    def at_end(self) -> None:
        """Tell some of the trades, and compare each telling with what was noted of it."""
        machines = self.cluster.machines.values()
        logs = {
            NodeId(machine.node): [read_frame(key, value) for key, value in machine.frames()]
            for machine in machines
        }
        every = max(1, len(self._trades) // self.told_max)
        for trade, key in list(self._trades.items())[::every]:
            expected = self._records(trade, key, logs)
            events = find(trade, {node: lambda log=log: log for node, log in logs.items()})  # type: ignore[misc]
            name = f"trade {format_id(trade)}"
            told = {(event.node, event.lsn) for event in events}
            if told != expected:
                self.fail(f"{name} is told with {told - expected}, without {expected - told}")
            said = outcome([event.record for event in events])
            if said != (truth := self._outcome(key)):
                self.fail(f"{name} is told as {said}, and is {truth}")
            self._selected(trade, logs)

    def _outcome(self, key: _Key | None) -> str:
        """Return how a trade ended by the model, which has learned it from its decider."""
        if key is None:
            return "committed"
        proposer, decider, offer_id = key
        known = self.exchange.node(decider)
        return "committed" if (proposer, offer_id) in known.accepted else "aborted"

    def _records(
        self, trade: TradeId, key: _Key | None, logs: dict[NodeId, list[Frame]]
    ) -> set[_Place]:
        """Return where the records about a trade stand: one look at each record of each log."""
        orders: set[int] = set()
        found: set[_Place] = set()
        placed: dict[int, set[_Place]] = {}
        passed = False
        for node, log in logs.items():
            for frame in log:
                for lsn, record in enumerate(frame.records, frame.first_lsn):
                    match record:
                        case TradeOffered() | TradeAccepted() | LocalTrade():
                            if record.trade_id == trade:
                                orders |= {record.maker, record.taker}
                                found.add((node, lsn))
                        case TradeDeclined():
                            if record.trade_id == trade:
                                found.add((node, lsn))
                        case (
                            TradeSettled()
                            | HeuristicDecision()
                            | HeuristicChecked()
                            | HeuristicForgotten()
                        ):
                            if key == (node, record.decider, record.offer_id):
                                found.add((node, lsn))
                        case OffersForgotten():
                            is_past = key is not None and record.below > key[2]
                            if is_past and key is not None and key[:2] == (record.proposer, node):
                                if not passed:
                                    found.add((node, lsn))
                                passed = True
                        case OrderPlaced() | OrderAmended() | OrderReduced() | OrderCanceled():
                            placed.setdefault(record.order_id, set()).add((node, lsn))
                        case _:
                            pass
        for order in orders:
            found |= placed.get(order, set())
        return found

    def _selected(self, trade: TradeId, logs: dict[NodeId, list[Frame]]) -> None:
        """Hold `log --order`, `--account` and `--symbol` against the orders of a trade."""
        for node, log in logs.items():
            placed: dict[int, OrderPlaced] = {}
            offers: dict[tuple[NodeId, OfferId], TradeOffered] = {}
            about: dict[int, set[int]] = {}  # by LSN, the orders it is about
            ours: set[int] = set()
            for frame in log:
                for lsn, record in enumerate(frame.records, frame.first_lsn):
                    match record:
                        case OrderPlaced():
                            placed[record.order_id] = record
                            about[lsn] = {record.order_id}
                        case TradeOffered():
                            offers[record.decider, record.offer_id] = record
                            about[lsn] = {record.maker, record.taker}
                        case TradeAccepted() | LocalTrade():
                            about[lsn] = {record.maker, record.taker}
                        case TradeSettled() | HeuristicDecision() | HeuristicChecked():
                            offer = offers[record.decider, record.offer_id]
                            about[lsn] = {offer.maker, offer.taker}
                        case _:
                            about[lsn] = {getattr(record, "order_id", 0)}
                    if getattr(record, "trade_id", 0) == trade:
                        ours |= about[lsn] - {0}
            for order in ours:
                wanted = {lsn for lsn, orders in about.items() if order in orders}
                self._compare(node, log, wanted, f"--order {format_id(order)}", order=order)
            for order in [order for order in ours if order in placed]:
                first = placed[order]
                mine = {key for key, one in placed.items() if one.account == first.account}
                told = self._told(node, log, account=format_id(first.account))
                if missing := self._about(about, mine) - told:
                    self.fail(f"log --account {format_id(first.account)} leaves out {missing}")
                mine = {key for key, one in placed.items() if one.symbol == first.symbol}
                told = self._told(node, log, symbol=first.symbol)
                if missing := self._about(about, mine) - told:
                    self.fail(f"log --symbol {first.symbol} leaves out {missing}")

    def _about(self, about: dict[int, set[int]], orders: set[int]) -> set[int]:
        return {lsn for lsn, named in about.items() if named & orders}

    def _compare(
        self, node: NodeId, log: list[Frame], wanted: set[int], name: str, *, order: int
    ) -> None:
        told = self._told(node, log, order=format_id(order))
        if told != wanted:
            why = f"tells {sorted(told - wanted)}, leaves out {sorted(wanted - told)}"
            self.fail(f"log {name} of node {node} {why}")

    def _told(self, node: NodeId, log: list[Frame], **wish: str) -> set[int]:
        selection = Selection(**wish)  # type: ignore[arg-type]
        selection.subjects.node = node
        return {
            lsn
            for frame in log
            for lsn, record in enumerate(frame.records, frame.first_lsn)
            if selection.wants(lsn, record)  # type: ignore[arg-type]
        }
