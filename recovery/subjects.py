"""What a record is about: its orders, their account and instrument, its offer.

Most records name an order, and some only an offer.  So whoever chooses or shows records follows
the log from its first record and remembers.  Offers are numbered for each pair of nodes in each
direction, so the offer 1.5 of node 1 to node 2 and that of node 2 to node 1 are two (S5).
"""

from contextlib import suppress
from typing import NamedTuple

from exchange.domain.instruments import Instrument
from exchange.domain.units import AccountId, NodeId, OrderId, Symbol
from exchange.engine.records import (
    HeuristicForgotten,
    InstrumentListed,
    OfferId,
    OrderPlaced,
    OrderRejected,
    Record,
    TradeOffered,
    TradeSettled,
)
from exchange.engine.state import State
from exchange.store.disk import Disk
from exchange.store.errors import StoreError
from exchange.store.tables import CODECS

NO_NODE = NodeId(0)  # whose log it is, is said later
ORDERS_MAX = 1_000_000  # remembered; older ones are looked up in the checkpoint tables


class OfferName(NamedTuple):
    """An offer, as no other one in the cluster is called."""

    proposer: NodeId
    decider: NodeId
    offer_id: OfferId


class Subject(NamedTuple):
    """Whose order it is, and for what."""

    account: AccountId
    symbol: Symbol


def offer_of(node: NodeId, record: Record) -> OfferName | None:
    """Return the offer that a record in the log of `node` names, None if it names none."""
    offer_id = getattr(record, "offer_id", None)
    if offer_id is None:
        return None
    decider = getattr(record, "decider", None)
    if decider is not None:
        return OfferName(node, decider, offer_id)
    return OfferName(record.proposer, node, offer_id)  # type: ignore[union-attr]


def orders_in(record: Record) -> frozenset[OrderId]:
    """Return the orders that a record names itself; 0 is no order."""
    named = (getattr(record, name, 0) for name in ("order_id", "maker", "taker"))
    return frozenset(OrderId(order) for order in named if order)


class Subjects:
    """What the records of one log are about.  Let it learn every record, in order."""

    def __init__(self, node: NodeId = NO_NODE, disk: Disk | None = None) -> None:
        self.node = node
        self.instruments: dict[str, Instrument] = {}
        self._disk = disk  # for what was placed in a part of the log that is archived
        self._orders: dict[OrderId, Subject] = {}
        self._offers: dict[OfferName, frozenset[OrderId]] = {}
        if disk is not None:
            with suppress(StoreError):  # a damaged table is the business of `verify`
                for key, row in disk.scan("instruments"):
                    listing = CODECS["instruments"].open(key, row)
                    self.instruments[listing.instrument.symbol] = listing.instrument

    def learn(self, record: Record) -> None:
        """Remember what later records will not say again."""
        match record:
            case OrderPlaced() | OrderRejected():
                self._orders[record.order_id] = Subject(record.account, record.symbol)
                if len(self._orders) > ORDERS_MAX:
                    del self._orders[next(iter(self._orders))]
            case TradeOffered():
                name = OfferName(self.node, record.decider, record.offer_id)
                self._offers[name] = orders_in(record)
            case InstrumentListed():
                self.instruments[record.instrument.symbol] = record.instrument
            case _:
                pass

    def know(self, state: State) -> None:
        """Learn what is listed and which orders live, from the state behind the log."""
        for listing in state.instruments.values():
            self.instruments[listing.instrument.symbol] = listing.instrument
        for order in state.orders.values():
            self._orders[order.order_id] = Subject(order.account, order.symbol)

    def forget(self, record: Record) -> None:
        """Let go of an offer that no later record names."""
        if isinstance(record, TradeSettled | HeuristicForgotten):
            self._offers.pop(OfferName(self.node, record.decider, record.offer_id), None)

    def orders(self, record: Record) -> frozenset[OrderId]:
        """Return the orders that a record is about: those it names, or those of its offer."""
        named = orders_in(record)
        if named:
            return named
        offer = offer_of(self.node, record)
        return self._offers.get(offer, named) if offer is not None else named

    def of(self, order: OrderId) -> Subject | None:
        """Return whose an order is; None if it is another node's."""
        found = self._orders.get(order)
        if found is None and self._disk is not None:
            for table in ("done", "orders"):
                with suppress(StoreError):
                    key = CODECS[table].pack(order)
                    row = self._disk.get(table, key)
                    if row is not None:
                        held = CODECS[table].open(key, row)
                        found = self._orders[order] = Subject(held.account, held.symbol)
        return found

    def accounts(self, record: Record) -> set[AccountId]:
        """Return the accounts that a record is about."""
        own = getattr(record, "account", None)
        found = {self.of(order) for order in self.orders(record)} if own is None else set()
        return {own} if own is not None else {one.account for one in found if one is not None}

    def symbol(self, record: Record) -> str | None:
        """Return the symbol of the instrument that a record is about, None if it is of none."""
        own = getattr(record, "symbol", None)
        if own is not None:
            return str(own)
        if isinstance(record, InstrumentListed):
            return record.instrument.symbol
        for order in self.orders(record):
            found = self.of(order)
            if found is not None:
                return found.symbol
        return None

    def instrument(self, record: Record) -> Instrument | None:
        """Return the instrument that a record is about, None if it is of none or not known."""
        return self.instruments.get(self.symbol(record) or "")
