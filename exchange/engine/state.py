"""The durable state of a node, as tables.  Only `engine.apply` changes it (E2).

Live orders and what is in doubt is in memory whole; most accounts, finished orders, client
order ids and all history stay on the disk until they are asked for (`exchange.engine.table`).
`docs/log-format.md` lists the tables and their keys.
"""

from collections import OrderedDict
from typing import Any

import msgspec

from exchange.domain.instruments import CASH, CASH_DECIMALS, Instrument, Rule
from exchange.domain.orders import (
    Account,
    Fill,
    Order,
    SelfTrade,
    Side,
    TimeInForce,
    Trade,
    Transfer,
)
from exchange.domain.units import (
    AccountId,
    Asset,
    Clock,
    Epoch,
    Lots,
    Lsn,
    Micros,
    NodeId,
    OrderId,
    Seq,
    Stamp,
    Symbol,
    Ticks,
    TradeId,
    Units,
    make_id,
)
from exchange.engine.records import BEFORE_ANY, OfferId
from exchange.engine.table import History, Table


class Listing(msgspec.Struct, array_like=True):
    """An instrument, and how long its trade tape is here."""

    instrument: Instrument
    trade_seq: Seq = Seq(0)
    trade_ts: Micros = Micros(0)  # of the last trade; the next one is not before it

    def trade_time(self, wall: Micros) -> Micros:
        """Return when a trade of now is said to be: a tape never goes back, a clock may (S8)."""
        return max(self.trade_ts, wall)


class ClientKey(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a client order id stands for: the terms as first placed; a retry must match them."""

    order_id: OrderId
    symbol: Symbol
    side: Side
    time_in_force: TimeInForce
    self_trade: SelfTrade
    price: Ticks
    quantity: Lots


class AccountKey(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A key of an account beside its own: what it may, and until when."""

    account: AccountId
    key_id: str
    key_hash: bytes
    scopes: int  # 1 read, 2 trade, 3 both
    expires: Micros  # 0 = never
    created: Micros


class TransferKey(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a client's key of a transfer stands for, and what its answer said."""

    seq: Seq
    asset: Asset
    amount: Units
    available: Units  # after it
    held: Units


class Switch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The dead man's switch of an account: when its orders are canceled, unless it says a word."""

    account: AccountId
    cancel_after: int  # seconds from `ts` on; 0 = never
    is_watched: bool  # ... when a connection of it ends
    ts: Micros


class OfferOut(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An offer we made and have no answer to: in doubt (S4)."""

    decider: NodeId
    offer_id: OfferId
    trade_id: TradeId
    taker: OrderId
    maker: OrderId
    side: Side  # the taker's
    quantity: Lots
    price: Ticks
    limit: Ticks
    taker_stamp: Stamp
    maker_stamp: Stamp
    ts: Micros


class HeuristicOut(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An offer that an operator decided; kept until the decider's answer agrees (S4)."""

    offer: OfferOut
    decided: Lots
    operator: str
    reason: str
    ts: Micros
    answer: int = -1  # the decider's own; -1 = not known yet, else it disagreed: frozen


class Reserved(msgspec.Struct):
    """What one order has offered, kept as sums: nobody adds up its offers again (S1).

    An order that sweeps N makers has N offers out, and its hold is asked for at each of them.
    """

    price: Ticks  # the order's, now
    value: int = 0  # sum of max(limit, price) x quantity over `keys`, in ticks x lots
    keys: dict[tuple[NodeId, OfferId], None] = {}
    by_limit: dict[Ticks, int] = {}  # quantity offered at each limit; nearly always one
    deciders: dict[NodeId, int] = {}  # offers out to each

    def value_at(self, price: Ticks) -> int:
        """Return what `value` would be if the order had this price."""
        return sum(max(limit, price) * quantity for limit, quantity in self.by_limit.items())

    def reprice(self, price: Ticks) -> None:
        """Follow the order to a new price."""
        self.price, self.value = price, self.value_at(price)

    def add(self, key: tuple[NodeId, OfferId], offer: OfferOut) -> None:
        """Count an offer."""
        limit, quantity, decider = offer.limit, offer.quantity, offer.decider
        self.keys[key] = None
        self.by_limit[limit] = self.by_limit.get(limit, 0) + quantity
        self.deciders[decider] = self.deciders.get(decider, 0) + 1
        self.value += max(limit, self.price) * quantity

    def remove(self, key: tuple[NodeId, OfferId], offer: OfferOut) -> None:
        """Count an offer no more."""
        limit, quantity, decider = offer.limit, offer.quantity, offer.decider
        del self.keys[key]
        self.by_limit[limit] -= quantity
        if not self.by_limit[limit]:
            del self.by_limit[limit]
        self.deciders[decider] -= 1
        if not self.deciders[decider]:
            del self.deciders[decider]
        self.value -= max(limit, self.price) * quantity


class Acceptance(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An acceptance the proposer has not acknowledged yet (S7)."""

    proposer: NodeId
    offer_id: OfferId
    trade_id: TradeId
    maker: OrderId
    taker: OrderId
    quantity: Lots
    price: Ticks


class Boot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A boot of this node; kept for ever: what was archived is known by it (C3)."""

    epoch: Epoch
    boot_id: bytes
    first_lsn: Lsn  # of its `Booted`; it ends where the next one begins


class PeerState(msgspec.Struct, array_like=True):
    """What is durable about a peer."""

    peer: NodeId
    nonce: bytes = b""
    epoch: Epoch = Epoch(0)
    boot_id: bytes = b""
    address: str = ""
    last_offer: OfferId = BEFORE_ANY  # our newest offer to it
    answered: OfferId = BEFORE_ANY  # the highest of our offers it has answered (C3)
    mark: OfferId = BEFORE_ANY  # the highest of its offers we have handled (S5)
    forgotten: OfferId = BEFORE_ANY  # acceptances below are forgotten (S7)
    seen_lsn: Lsn = Lsn(0)  # the last proof of its log that we stored (C3)
    seen_digest: bytes = b""
    seen_boot: bytes = b""
    seen_mac: bytes = b""  # its own, over that proof: it will want to see it again
    clearing: dict[Asset, Units] = {}  # what went to it less what came; its own mirrors it


class Scalars(msgspec.Struct, array_like=True):
    """The counters of a node."""

    epoch: Epoch = Epoch(0)
    boot_id: bytes = b""
    number: int = 0  # last order or trade number given out
    account_number: int = 0  # highest account number opened
    clock: Clock = Clock(0)  # highest clock in an own stamp; stamps never fall behind it (S2)
    trades: int = 0  # decided here
    external: dict[Asset, Units] = {}  # the account outside: minus all that came in (M3)
    accounts: int = 0  # open accounts


class State:
    """All durable state.  Everything below the tables is derived from them.

    orders holds live orders only (open or in doubt) and is in memory whole; `done` holds the
    finished ones and is read through.
    """

    def __init__(self, *, node_id: NodeId, cluster: str, nonce: bytes, secret: bytes = b"") -> None:
        self.node_id = node_id
        self.cluster = cluster
        self.nonce = nonce
        self.secret = secret  # seals proofs of this log (C3); empty where nobody will speak
        self.id_zero = make_id(node_id, 0)  # an id given out here is this and a number
        self.lsn = Lsn(0)  # of the last record applied
        self.instruments: Table[Symbol, Listing] = Table()
        self.accounts: Table[AccountId, Account] = Table()
        self.orders: Table[OrderId, Order] = Table()
        self.done: Table[OrderId, Order] = Table()
        self.account_orders: History[AccountId, Seq, OrderId] = History()
        self.client_keys: Table[tuple[AccountId, str], ClientKey] = Table()
        self.fills: History[AccountId, Seq, Fill] = History()
        self.transfers: History[AccountId, Seq, Transfer] = History()
        self.trades: History[Symbol, Seq, Trade] = History()
        self.offers: Table[tuple[NodeId, OfferId], OfferOut] = Table()
        self.heuristics: Table[tuple[NodeId, OfferId], HeuristicOut] = Table()
        self.acceptances: Table[tuple[NodeId, OfferId], Acceptance] = Table()
        self.peers: Table[NodeId, PeerState] = Table()
        self.keys: Table[tuple[AccountId, str], AccountKey] = Table()
        self.switches: Table[AccountId, Switch] = Table()
        self.transfer_keys: Table[tuple[AccountId, str], TransferKey] = Table()
        self.boots: Table[Epoch, Boot] = Table()
        self.scalars_table: Table[str, Scalars] = Table()  # one entry, named "node"
        self.scalars_table["node"] = Scalars()
        # Derived, rebuilt by `derive` after a load.
        self.scalars = self.scalars_table["node"]  # in every checkpoint: nearly all changes them
        self.open_by_account: dict[AccountId, dict[OrderId, None]] = {}
        self.offers_by_taker: dict[OrderId, Reserved] = {}
        # Oldest first.  Ordered dictionaries: the first key of a plain one that loses its first
        # keys one by one is found by passing over all that are gone.
        self.offers_to: dict[NodeId, OrderedDict[OfferId, None]] = {}  # by decider
        self.offered_against: dict[OrderId, int] = {}  # maker -> quantity of our offers out
        self.acceptances_of: dict[NodeId, OrderedDict[OfferId, None]] = {}  # by proposer
        self.overdrawn: dict[OrderId, Lots] = {}  # amended below what was filled and in doubt (S9)
        self.decimals: dict[Asset, int] = {CASH: CASH_DECIMALS}  # cash exists before any listing
        self.rules: dict[Symbol, Rule] = {}
        self.keys_of: dict[AccountId, dict[str, None]] = {}  # oldest first
        self.key_changes = 0  # rises whenever a key that was good may be so no more
        self.touched: dict[OrderId, Order] = {}  # orders changed since the engine looked

    def tables(self) -> dict[str, Table[Any, Any] | History[Any, Any, Any]]:
        """Return the tables by name, in the order in which they are written."""
        return {
            "scalars": self.scalars_table,
            "instruments": self.instruments,
            "accounts": self.accounts,
            "orders": self.orders,
            "done": self.done,
            "account_orders": self.account_orders,
            "client_keys": self.client_keys,
            "fills": self.fills,
            "transfers": self.transfers,
            "trades": self.trades,
            "offers": self.offers,
            "heuristics": self.heuristics,
            "acceptances": self.acceptances,
            "peers": self.peers,
            "keys": self.keys,
            "switches": self.switches,
            "transfer_keys": self.transfer_keys,
            "boots": self.boots,
        }

    def mark_clean(self) -> None:
        """Forget what changed: nobody will make a checkpoint of this state."""
        for table in self.tables().values():
            if isinstance(table, Table):
                table.dirty.clear()
        self.touched.clear()

    def find_order(self, order_id: OrderId) -> Order | None:
        """Return an order, live or finished."""
        return self.orders.get(order_id) or self.done.find(order_id)

    def peer(self, peer: NodeId) -> PeerState:
        """Return what is known of a peer; an empty entry if nothing is."""
        return self.peers.get(peer) or PeerState(peer)

    def derive(self) -> None:
        """Rebuild what is derived, after the tables were loaded from a checkpoint."""
        self.scalars = self.scalars_table["node"]
        self.open_by_account.clear()
        self.offers_by_taker.clear()
        self.offers_to.clear()
        self.offered_against.clear()
        self.acceptances_of.clear()
        self.overdrawn.clear()
        self.decimals.clear()
        self.decimals[CASH] = CASH_DECIMALS
        self.rules.clear()
        self.keys_of.clear()
        self.touched.clear()
        for account, key_id in sorted(self.keys, key=lambda at: (self.keys[at].created, at)):
            self.keys_of.setdefault(account, {})[key_id] = None
        for proposer, offer_id in sorted(self.acceptances):
            self.acceptances_of.setdefault(proposer, OrderedDict())[offer_id] = None
        for listing in self.instruments.values():
            self.add_instrument(listing.instrument)
        for order in self.orders.values():
            order.symbol = self.rules[order.symbol].symbol
            self.open_by_account.setdefault(order.account, {})[order.order_id] = None
            if order.filled + order.offered > order.total:
                self.overdrawn[order.order_id] = Lots(order.filled + order.offered)
        for key in sorted(self.offers):
            self.add_offer(key, self.offers[key])

    def add_offer(self, key: tuple[NodeId, OfferId], offer: OfferOut) -> None:
        """Index an offer out."""
        reserved = self.offers_by_taker.get(offer.taker)
        if reserved is None:
            reserved = self.offers_by_taker[offer.taker] = Reserved(self.orders[offer.taker].price)
        reserved.add(key, offer)
        self.offers_to.setdefault(offer.decider, OrderedDict())[offer.offer_id] = None
        against = self.offered_against
        against[offer.maker] = against.get(offer.maker, 0) + offer.quantity

    def remove_offer(self, key: tuple[NodeId, OfferId], offer: OfferOut) -> None:
        """Take an offer out of the index."""
        reserved = self.offers_by_taker[offer.taker]
        reserved.remove(key, offer)
        del self.offers_to[offer.decider][offer.offer_id]
        if not reserved.keys:
            del self.offers_by_taker[offer.taker]
        left = self.offered_against[offer.maker] - offer.quantity
        if left:
            self.offered_against[offer.maker] = left
        else:
            del self.offered_against[offer.maker]

    def add_instrument(self, instrument: Instrument) -> None:
        """Index an instrument; the decimals of assets are fixed at their first listing (M2)."""
        self.rules[instrument.symbol] = instrument.rule
        self.decimals.setdefault(instrument.base, instrument.base_decimals)
        self.decimals.setdefault(instrument.quote, instrument.quote_decimals)
