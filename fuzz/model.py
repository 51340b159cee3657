"""The naive model: the whole exchange as a few obvious functions over dicts.

It learns the records of every node in the order in which they become durable, and derives
everything else when asked: a balance is a sum, a hold is a product, an offer is in doubt if
no answer to it is in the log.  Nothing here is shared with `exchange.engine.apply`.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from exchange.domain.instruments import Instrument
from exchange.domain.orders import Side, TimeInForce
from exchange.domain.units import NodeId
from exchange.engine import records
from exchange.engine.records import BEFORE_ANY, OfferId, Record


class Order:
    """One order as its owner's log tells it."""

    __slots__ = (
        *("order_id", "account", "symbol", "is_buy", "is_ioc", "price", "quantity", "total"),
        *("filled", "cost", "canceled", "stamp", "version", "is_rejected", "key", "terms", "first"),
    )

    def __init__(self, record: records.OrderPlaced | records.OrderRejected) -> None:
        self.order_id = record.order_id
        self.account = record.account
        self.symbol = record.symbol
        self.is_buy = record.side is Side.BUY
        self.is_ioc = record.time_in_force is TimeInForce.IOC
        self.price: int = record.price
        self.quantity: int = record.quantity
        self.total: int = record.quantity
        self.filled = 0
        self.cost = 0
        self.canceled = False
        self.version = 1
        self.is_rejected = isinstance(record, records.OrderRejected)
        self.stamp: int = 0 if isinstance(record, records.OrderRejected) else record.stamp
        self.key = record.client_order_id
        self.terms = (self.symbol, self.is_buy, self.is_ioc, self.price, self.quantity)


class Node:
    """What the durable log of one node says."""

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.lsn = 0
        self.epoch = 0
        self.boots: list[bytes] = []
        self.instruments: dict[str, Instrument] = {}
        self.accounts: dict[int, bool] = {}  # id -> is it open
        self.balances: dict[tuple[int, str], int] = defaultdict(int)  # available and held
        self.external: dict[str, int] = defaultdict(int)
        self.clearing: dict[tuple[int, str], int] = defaultdict(int)  # by peer and asset
        self.orders: dict[int, Order] = {}
        self.keys: dict[tuple[int, str], int] = {}
        self.offers: dict[tuple[int, OfferId], records.TradeOffered] = {}  # all ever made
        self.settled: dict[tuple[int, OfferId], int] = {}  # ... and what was accepted of them
        self.doubt: dict[tuple[int, OfferId], records.TradeOffered] = {}  # ... not settled yet
        self.accepted: dict[tuple[int, OfferId], records.TradeAccepted] = {}
        self.declined: dict[tuple[int, OfferId], records.TradeDeclined] = {}
        self.last_offer: dict[int, OfferId] = defaultdict(lambda: BEFORE_ANY)
        self.mark: dict[int, OfferId] = defaultdict(lambda: BEFORE_ANY)
        self.forgotten: dict[int, OfferId] = defaultdict(lambda: BEFORE_ANY)
        self.peers: dict[int, records.PeerSeen] = {}
        self.switches: dict[int, tuple[int, bool, int]] = {}
        self.transfer_keys: dict[tuple[int, str], tuple[str, int]] = {}
        self.transfers: dict[int, list[tuple[str, int]]] = defaultdict(list)
        self.fills: dict[int, list[tuple[int, int, int, int]]] = defaultdict(list)
        self.tape: dict[str, list[int]] = defaultdict(list)  # trade ids, as decided here


class Exchange:
    """All nodes."""

    def __init__(self) -> None:
        self.nodes: dict[NodeId, Node] = {}

    def node(self, node: int) -> Node:
        """Return a node."""
        try:
            return self.nodes[node]  # type: ignore[index]  # a NodeId
        except KeyError:
            known = self.nodes[NodeId(node)] = Node(NodeId(node))
            return known

    def learn(self, node: NodeId, lsn: int, record: Record) -> None:
        """Take the next durable record of a node."""
        known = self.node(node)
        assert lsn == known.lsn + 1, "the log of a node is dense"
        known.lsn = lsn
        _LEARN[type(record)](known, record)


def offered(node: Node, order: Order) -> int:
    """Return how much of an order is in doubt."""
    return sum(offer.quantity for offer in node.doubt.values() if offer.taker == order.order_id)


def open_quantity(node: Node, order: Order) -> int:
    """Return how much of an order may be matched (S9)."""
    if order.canceled or order.is_rejected:
        return 0
    return max(0, order.total - order.filled - offered(node, order))


def hold(node: Node, order: Order) -> tuple[str, int]:
    """Return what an order holds back: (asset, amount) (S1)."""
    instrument = node.instruments[order.symbol]
    rule = instrument.rule
    left = open_quantity(node, order)
    doubts = [offer for offer in node.doubt.values() if offer.taker == order.order_id]
    if not order.is_buy:
        lots = left + sum(offer.quantity for offer in doubts)
        return instrument.base, lots * rule.lot_value
    lots_at_price = left * order.price
    lots_at_price += sum(offer.quantity * max(offer.limit, order.price) for offer in doubts)
    return instrument.quote, lots_at_price * rule.tick_value


def holds(node: Node) -> dict[tuple[int, str], int]:
    """Return what all orders hold back, by account and asset."""
    total: dict[tuple[int, str], int] = defaultdict(int)
    for order in node.orders.values():
        asset, amount = hold(node, order)
        total[order.account, asset] += amount
    return total


def is_live(node: Node, order: Order) -> bool:
    """Tell whether anything can still happen to an order."""
    return bool(open_quantity(node, order) or offered(node, order))


def sums(node: Node) -> dict[str, int]:
    """Return what each asset sums to at a node: zero, or something was made or lost (S13)."""
    total: dict[str, int] = defaultdict(int)
    for (_, asset), amount in node.balances.items():
        total[asset] += amount
    for asset, amount in node.external.items():
        total[asset] += amount
    for (_, asset), amount in node.clearing.items():
        total[asset] += amount
    return total


def _fill(node: Node, order: Order, trade_id: int, quantity: int, price: int) -> None:
    instrument = node.instruments[order.symbol]
    sign = 1 if order.is_buy else -1
    shares, cash = quantity * instrument.rule.lot_value, quantity * price
    node.balances[order.account, instrument.base] += sign * shares
    node.balances[order.account, instrument.quote] -= sign * cash * instrument.rule.tick_value
    order.filled += quantity
    order.cost += cash
    order.version += 1
    node.fills[order.account].append((trade_id, order.order_id, quantity, price))


def _clear(node: Node, peer: int, order: Order, quantity: int, price: int) -> None:
    """Book the other half of a fill, which is at a peer."""
    instrument = node.instruments[order.symbol]
    sign = 1 if order.is_buy else -1
    rule = instrument.rule
    node.clearing[peer, instrument.base] -= sign * quantity * rule.lot_value
    node.clearing[peer, instrument.quote] += sign * quantity * price * rule.tick_value


def _booted(node: Node, record: records.Booted) -> None:
    node.epoch = record.epoch
    node.boots.append(record.boot_id)


def _listed(node: Node, record: records.InstrumentListed) -> None:
    node.instruments[record.instrument.symbol] = record.instrument


def _opened(node: Node, record: records.AccountOpened) -> None:
    node.accounts[record.account] = True


def _closed(node: Node, record: records.AccountClosed) -> None:
    node.accounts[record.account] = False


def _switch_set(node: Node, record: records.SwitchSet) -> None:
    node.switches.pop(record.account, None)
    if record.cancel_after or record.is_watched:
        node.switches[record.account] = (record.cancel_after, record.is_watched, record.ts)


def _transferred(node: Node, record: records.Transferred) -> None:
    node.balances[record.account, record.asset] += record.amount
    node.external[record.asset] -= record.amount
    node.transfers[record.account].append((record.asset, record.amount))
    if record.client_key:
        node.transfer_keys[record.account, record.client_key] = (record.asset, record.amount)


def _placed(node: Node, record: records.OrderPlaced | records.OrderRejected) -> None:
    node.orders[record.order_id] = order = Order(record)
    if order.key:
        node.keys[order.account, order.key] = order.order_id


def _amended(node: Node, record: records.OrderAmended) -> None:
    order = node.orders[record.order_id]
    order.price = record.price
    order.quantity = order.total = record.quantity
    order.stamp = record.stamp or order.stamp
    order.version += 1


def _canceled(node: Node, record: records.OrderCanceled) -> None:
    order = node.orders[record.order_id]
    order.canceled = True
    order.version += 1


def _reduced(node: Node, record: records.OrderReduced) -> None:
    order = node.orders[record.order_id]
    order.total = order.filled + offered(node, order)
    order.version += 1


def _local_trade(node: Node, record: records.LocalTrade) -> None:
    for order_id in (record.maker, record.taker):
        _fill(node, node.orders[order_id], record.trade_id, record.quantity, record.price)
    node.tape[node.orders[record.maker].symbol].append(record.trade_id)


def _offered(node: Node, record: records.TradeOffered) -> None:
    key = (record.decider, record.offer_id)
    node.offers[key] = node.doubt[key] = record
    node.last_offer[record.decider] = record.offer_id
    order = node.orders[record.taker]
    order.stamp = record.taker_stamp
    order.version += 1


def _settled(node: Node, record: records.TradeSettled) -> None:
    key = (record.decider, record.offer_id)
    node.settled[key] = record.quantity
    offer = node.doubt.pop(key)
    order = node.orders[offer.taker]
    if record.quantity:
        _clear(node, record.decider, order, record.quantity, offer.price)
        _fill(node, order, offer.trade_id, record.quantity, offer.price)
    else:
        order.version += 1


def _heuristic(node: Node, record: records.HeuristicDecision) -> None:
    """Settle as an operator has decided."""
    _settled(
        node,
        records.TradeSettled(record.decider, record.offer_id, record.quantity, record.ts),
    )


def _accepted(node: Node, record: records.TradeAccepted) -> None:
    key = (record.proposer, record.offer_id)
    node.accepted[key] = record
    node.mark[record.proposer] = max(node.mark[record.proposer], record.offer_id)
    order = node.orders[record.maker]
    _clear(node, record.proposer, order, record.quantity, record.price)
    _fill(node, order, record.trade_id, record.quantity, record.price)
    node.tape[order.symbol].append(record.trade_id)


def _declined(node: Node, record: records.TradeDeclined) -> None:
    node.declined[record.proposer, record.offer_id] = record
    node.mark[record.proposer] = max(node.mark[record.proposer], record.offer_id)


def _forgotten(node: Node, record: records.OffersForgotten) -> None:
    node.forgotten[record.proposer] = max(node.forgotten[record.proposer], record.below)


def _peer_seen(node: Node, record: records.PeerSeen) -> None:
    node.peers[record.peer] = record


def _nothing(_node: Node, _record: Record) -> None:
    pass


_LEARN: dict[type, Callable[[Node, Any], None]] = {
    records.Booted: _booted,
    records.InstrumentListed: _listed,
    records.AccountOpened: _opened,
    records.AccountClosed: _closed,
    records.Transferred: _transferred,
    records.OrderPlaced: _placed,
    records.OrderRejected: _placed,
    records.OrderAmended: _amended,
    records.OrderCanceled: _canceled,
    records.OrderReduced: _reduced,
    records.LocalTrade: _local_trade,
    records.TradeOffered: _offered,
    records.TradeSettled: _settled,
    records.TradeAccepted: _accepted,
    records.TradeDeclined: _declined,
    records.OffersForgotten: _forgotten,
    records.PeerSeen: _peer_seen,
    records.KeySet: _nothing,
    records.HeuristicDecision: _heuristic,
    records.HeuristicChecked: _nothing,
    records.KeyCreated: _nothing,
    records.KeyRevoked: _nothing,
    records.SwitchSet: _switch_set,
}
