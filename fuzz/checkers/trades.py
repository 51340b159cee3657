"""Trades: conserved one by one, with one outcome on both sides, by the rules of matching."""

from typing import ClassVar

from exchange.domain.units import NodeId, clock_of
from exchange.engine.records import (
    HeuristicChecked,
    LocalTrade,
    OfferId,
    OrderAmended,
    OrderPlaced,
    Record,
    TradeAccepted,
    TradeDeclined,
    TradeOffered,
    TradeSettled,
)
from fuzz.checkers.base import Checker
from fuzz.model import is_live, offered, open_quantity, sums


class ConservationPerTrade(Checker):
    """A decider commits only what its proposer has reserved, on identical terms (S13)."""

    kinds: ClassVar[tuple[type, ...]] = (TradeAccepted,)

    def on_record(self, node: NodeId, lsn: int, record: Record) -> None:
        """Hold an acceptance against the offer."""
        if not isinstance(record, TradeAccepted):
            return
        proposer = self.exchange.node(record.proposer)
        offer = proposer.offers.get((node, record.offer_id))
        if offer is None:
            self.fail(f"node {node} accepts what node {record.proposer} has never reserved")
            return
        ours = (offer.trade_id, offer.maker, offer.taker, offer.price)
        if ours != (record.trade_id, record.maker, record.taker, record.price):
            self.fail(f"node {node} accepts other terms than were offered: {record}, {offer}")
        if not 0 < record.quantity <= offer.quantity:
            self.fail(f"node {node} accepts {record.quantity} of {offer.quantity}")


class OneOutcome(Checker):
    """Each offer ends once, and the same way on both sides; declined means for ever (S5)."""

    kinds: ClassVar[tuple[type, ...]] = (
        TradeAccepted,
        TradeDeclined,
        TradeSettled,
        HeuristicChecked,
    )

    def on_record(self, node: NodeId, lsn: int, record: Record) -> None:
        """Hold every decision and every settlement against the other side."""
        match record:
            case TradeAccepted(proposer, offer_id):
                self._decided(node, proposer, offer_id)
                settled = self.exchange.node(proposer).settled.get((node, offer_id))
                if settled is not None:
                    self.fail(f"{proposer}:{offer_id} is accepted after it was settled {settled}")
            case TradeDeclined(proposer, offer_id):
                self._decided(node, proposer, offer_id)
            case TradeSettled(decider, offer_id, quantity):
                self._settled(node, decider, offer_id, quantity)
            case HeuristicChecked(decider, offer_id, quantity):
                settled = self.exchange.node(node).settled[decider, offer_id]
                if quantity != settled:
                    self.fail(f"an operator decided {settled}, then node {decider}: {quantity}")
            case _:
                pass

    def at_end(self) -> None:
        """Nothing is in doubt, nothing was settled on one side alone."""
        for node in self.exchange.nodes.values():
            if node.doubt:
                self.fail(f"node {node.node} is in doubt of {list(node.doubt)}")
            for (proposer, offer_id), record in node.accepted.items():
                settled = self.exchange.node(proposer).settled.get((node.node, offer_id))
                if settled != record.quantity:
                    self.fail(f"node {proposer} settled {settled}, committed: {record}")

    def _decided(self, node: NodeId, proposer: int, offer_id: OfferId) -> None:
        known = self.exchange.node(node)
        key = (proposer, offer_id)
        if key in known.accepted or key in known.declined:
            self.fail(f"node {node} decides {proposer}:{offer_id} twice")
        if offer_id <= known.mark[proposer]:
            self.fail(f"node {node} decides {proposer}:{offer_id}, below its mark")

    def _settled(self, node: NodeId, decider: int, offer_id: OfferId, quantity: int) -> None:
        known = self.exchange.node(decider)
        accepted = known.accepted.get((node, offer_id))
        committed = accepted.quantity if accepted else 0
        if quantity != committed:
            self.fail(f"node {node} settled {quantity} of {offer_id}, node {decider}: {committed}")
        if not committed and offer_id > known.mark[node]:
            self.fail(f"node {node} released {offer_id}, which node {decider} has not decided")


class Conservation(Checker):
    """Nothing is made or lost: not at a node, and in the end not between two (S13, M3)."""

    def at_end(self) -> None:
        """Add everything up."""
        nodes = self.exchange.nodes
        for node in nodes.values():
            wrong = {asset: total for asset, total in sums(node).items() if total}
            if wrong:
                self.fail(f"node {node.node} does not sum to zero: {wrong}")
            for (peer, asset), amount in node.clearing.items():
                mirror = self.exchange.node(peer).clearing[node.node, asset]
                if amount + mirror:
                    self.fail(f"{asset} between {node.node} and {peer}: {amount}, {mirror}")
            below = {key: amount for key, amount in node.balances.items() if amount < 0}
            if below:
                self.fail(f"balances below zero at node {node.node}: {below}")


class MatchingRules(Checker):
    """Who trades with whom, at what price, and who proposes (S2, S9, S10, M1)."""

    kinds: ClassVar[tuple[type, ...]] = (
        *(LocalTrade, TradeOffered, TradeAccepted, OrderPlaced, OrderAmended),
    )

    def on_record(self, node: NodeId, lsn: int, record: Record) -> None:
        """Hold every trade against the orders as they are just before it."""
        match record:
            case LocalTrade():
                self._local(node, record)
            case TradeOffered():
                self._offered(node, record)
            case TradeAccepted():
                self._accepted(node, record)
            case OrderPlaced():
                known = self.exchange.node(node)
                if clock_of(record.stamp) <= self._last_clock.get(node, -1):
                    self.fail(f"node {node} gives stamp {record.stamp} out of order")
                self._last_clock[node] = clock_of(record.stamp)
                if not known.accounts.get(record.account):
                    self.fail(f"order {record.order_id} of a closed account")
                self._allowed[record.order_id] = record.quantity
            case OrderAmended():
                known = self.exchange.node(node)
                order = known.orders[record.order_id]
                at_work = order.filled + offered(known, order)
                self._allowed[record.order_id] = max(record.quantity, at_work)
            case _:
                pass

    def begin(self) -> None:
        """Stamps of a node only rise (S2)."""
        self._last_clock: dict[int, int] = {}
        self._allowed: dict[int, int] = {}  # what may be filled of an order altogether (S9)

    def _local(self, node: NodeId, record: LocalTrade) -> None:
        known = self.exchange.node(node)
        maker, taker = known.orders[record.maker], known.orders[record.taker]
        if maker.is_buy is taker.is_buy or maker.symbol != taker.symbol:
            self.fail(f"these do not trade: {record}")
        if maker.account == taker.account:
            self.fail(f"an account trades with itself: {record}")
        if record.price != maker.price:
            self.fail(f"the price is not the maker's, {maker.price}: {record}")
        self._crosses(record, taker.is_buy, taker.price, record.price)
        if maker.stamp >= taker.stamp and not taker.is_ioc:  # which has a new one for every pass
            self.fail(f"the maker is the younger one: {record}")
        if maker.is_ioc:
            self.fail(f"an order that never rests is a maker: {record}")
        for order in (maker, taker):
            if record.quantity > open_quantity(known, order):
                self.fail(f"more than order {order.order_id} has open: {record}")

    def _offered(self, node: NodeId, record: TradeOffered) -> None:
        known = self.exchange.node(node)
        taker = known.orders[record.taker]
        if (record.decider, record.offer_id) in known.offers:
            self.fail(f"an offer id is used twice: {record}")
        if record.offer_id <= known.last_offer[record.decider]:
            self.fail(f"offer ids do not rise: {record}")
        if record.quantity > open_quantity(known, taker) or record.quantity <= 0:
            self.fail(f"more than order {taker.order_id} has open: {record}")
        self._crosses(record, taker.is_buy, taker.price, record.price)
        if record.maker_stamp >= record.taker_stamp:
            self.fail(f"the older side proposes: {record}")

    def _accepted(self, node: NodeId, record: TradeAccepted) -> None:
        known = self.exchange.node(node)
        maker = known.orders.get(record.maker)
        offer = self.exchange.node(record.proposer).offers.get((node, record.offer_id))
        if maker is None or offer is None:
            self.fail(f"node {node} accepts for an order it does not have: {record}")
            return
        if record.quantity > open_quantity(known, maker):
            self.fail(f"more than order {maker.order_id} has open: {record}")
        if (maker.price, maker.stamp) != (record.price, offer.maker_stamp):
            self.fail(f"order {maker.order_id} was changed, and an old offer accepted: {record}")
        if maker.is_ioc:
            self.fail(f"an order that never rests is a maker: {record}")

    def _crosses(self, record: Record, is_buy: bool, limit: int, price: int) -> None:
        if price > limit if is_buy else price < limit:
            self.fail(f"worse than the taker's limit {limit}: {record}")

    def at_end(self) -> None:
        """Look for orders that rest and must not, or that have too much."""
        for node in self.exchange.nodes.values():
            for order in node.orders.values():
                if order.is_ioc and is_live(node, order):
                    self.fail(f"order {order.order_id} rests")
                allowed = self._allowed.get(order.order_id, order.quantity)
                if order.filled > allowed:
                    self.fail(f"order {order.order_id}: {order.filled} filled of {allowed} allowed")
                if order.filled > order.quantity and not order.canceled:
                    self.cluster.counters["filled beyond an amended total"] += 1


class OneTape(Checker):
    """A trade is published once, by its decider (S8)."""

    def at_end(self) -> None:
        """Count trade ids over all tapes."""
        seen: dict[int, int] = {}
        for node in self.exchange.nodes.values():
            for trade_ids in node.tape.values():
                for trade_id in trade_ids:
                    if trade_id in seen:
                        self.fail(
                            f"trade {trade_id} is on two tapes: {seen[trade_id]}, {node.node}"
                        )
                    seen[trade_id] = node.node
