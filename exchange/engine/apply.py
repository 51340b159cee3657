"""Apply: the one function that changes durable state, live and in redo (E2).

A record contains all that is needed; soft state is never read here.  Each handler keeps the
double entry: per asset, all accounts + what is outside (`external`) + clearing with the
peers sum to zero (S13, M3).  Available amounts below zero are our bug and assert.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from exchange.domain.orders import BUY, SELL, Account, Fill, Order, Trade, Transfer
from exchange.domain.units import (
    NUMBER_BITS,
    NUMBER_MAX,
    AccountId,
    Asset,
    Lots,
    Micros,
    NodeId,
    Seq,
    Ticks,
    TradeId,
    Units,
    clock_of,
    number_of,
)
from exchange.engine.records import (
    AccountClosed,
    AccountOpened,
    Booted,
    HeuristicChecked,
    HeuristicDecision,
    HeuristicForgotten,
    InstrumentListed,
    KeyCreated,
    KeyRevoked,
    KeySet,
    LocalTrade,
    OfferId,
    OffersForgotten,
    OrderAmended,
    OrderCanceled,
    OrderPlaced,
    OrderReduced,
    OrderRejected,
    PeerSeen,
    Record,
    TradeAccepted,
    TradeDeclined,
    TradeOffered,
    TradeSettled,
    Transferred,
)
from exchange.engine.state import (
    Acceptance,
    AccountKey,
    ClientKey,
    HeuristicOut,
    Listing,
    OfferOut,
    PeerState,
    State,
)


def apply(state: State, record: Record) -> None:
    """Change the state by one record."""
    _APPLY[type(record)](state, record)


def hold_needed(state: State, order: Order) -> Units:
    """Return what an order must hold: its open quantity and all it has offered (S1)."""
    rule = state.rules[order.symbol]
    if order.side is SELL:
        return Units((order.open + order.offered) * rule.lot_value)
    needed = order.price * order.open
    if order.offered:
        for key in state.offers_by_taker[order.order_id]:
            offer = state.offers[key]
            needed += max(offer.limit, order.price) * offer.quantity
    return Units(needed * rule.tick_value)


def check_state(state: State) -> None:
    """Assert the invariants of what is in memory; tests and fuzzing call it after every step."""
    held: dict[tuple[int, Asset], int] = {}
    for order in state.orders.values():
        assert not order.is_done, "a finished order is live"
        assert 0 <= order.filled <= order.quantity or order.offered >= 0, "impossible quantities"
        assert order.held == hold_needed(state, order), "hold is not what the order needs"
        offers = [state.offers[key] for key in state.offers_by_taker.get(order.order_id, ())]
        assert order.offered == sum(offer.quantity for offer in offers), "offers do not add up"
        asset = _hold_asset(state, order)
        held[order.account, asset] = held.get((order.account, asset), 0) + order.held
    for account in state.accounts.values():
        for asset, amount in account.held.items():
            assert amount == held.pop((account.account, asset), 0), "holds do not add up"
            assert amount >= 0, "negative hold"
        assert all(amount >= 0 for amount in account.available.values()), "negative balance"
    missing = [key for key, amount in held.items() if amount and key[0] in state.accounts]
    assert not missing, "an order holds funds that its account does not"
    for proposer, offer_id in state.acceptances:
        peer = state.peers[proposer]
        assert peer.forgotten <= offer_id <= peer.mark, "acceptance outside its bounds"
    for decider, offer_id in state.offers:
        assert offer_id <= state.peers[decider].last_offer, "offer above the last one"


def _booted(state: State, record: Booted) -> None:
    scalars = state.scalars
    scalars.epoch = record.epoch
    scalars.boot_id = record.boot_id
    state.scalars_table.dirty.add("node")


def _instrument_listed(state: State, record: InstrumentListed) -> None:
    state.instruments.put(record.instrument.symbol, Listing(record.instrument))
    state.add_instrument(record.instrument)


def _account_opened(state: State, record: AccountOpened) -> None:
    state.accounts.put(record.account, Account(record.account, {}, {}, record.key_hash))
    scalars = state.scalars
    scalars.account_number = max(scalars.account_number, number_of(record.account))
    scalars.accounts += 1
    state.scalars_table.dirty.add("node")


def _account_closed(state: State, record: AccountClosed) -> None:
    account = _account(state, record.account)
    account.is_closed = True
    state.scalars.accounts -= 1
    state.scalars_table.dirty.add("node")


def _key_set(state: State, record: KeySet) -> None:
    _account(state, record.account).key_hash = record.key_hash
    state.key_changes += 1


def _key_created(state: State, record: KeyCreated) -> None:
    account, key_id = record.account, record.key_id
    entry = AccountKey(account, key_id, record.key_hash, record.scopes, record.expires, record.ts)
    state.keys.put((account, key_id), entry)
    state.keys_of.setdefault(account, {})[key_id] = None


def _key_revoked(state: State, record: KeyRevoked) -> None:
    state.keys.drop((record.account, record.key_id))
    left = state.keys_of[record.account]
    del left[record.key_id]
    if not left:
        del state.keys_of[record.account]
    state.key_changes += 1


def _transferred(state: State, record: Transferred) -> None:
    account = _account(state, record.account)
    asset = record.asset
    account.available[asset] = Units(account.available.get(asset, 0) + record.amount)
    assert account.available[asset] >= 0, "withdrawn below zero"
    account.transfer_seq = seq = Seq(account.transfer_seq + 1)
    transfer = Transfer(seq, asset, record.amount, record.ts)
    state.transfers.put((record.account, seq), transfer)
    external = state.scalars.external
    external[asset] = Units(external.get(asset, 0) - record.amount)
    state.scalars_table.dirty.add("node")


def _order_placed(state: State, record: OrderPlaced) -> None:
    order = Order(
        record.order_id,
        record.account,
        record.symbol,
        record.side,
        record.time_in_force,
        record.self_trade,
        record.price,
        record.quantity,
        record.quantity,
        record.stamp,
        record.ts,
        record.ts,
        record.client_order_id,
        first=record.first,
    )
    account = _enter(state, order)
    order_id = record.order_id
    state.orders[order_id] = state.touched[order_id] = order
    state.orders.dirty.add(order_id)
    live = state.open_by_account.get(record.account)
    if live is None:
        live = state.open_by_account[record.account] = {}
    live[order_id] = None
    _rehold(state, order, account)
    scalars = state.scalars
    scalars.clock = max(scalars.clock, clock_of(record.stamp))


def _order_rejected(state: State, record: OrderRejected) -> None:
    order = Order(
        record.order_id,
        record.account,
        record.symbol,
        record.side,
        record.time_in_force,
        record.self_trade,
        record.price,
        record.quantity,
        record.quantity,
        stamp=_NO_STAMP,
        created=record.ts,
        updated=record.ts,
        client_order_id=record.client_order_id,
        canceled=True,
        reason=record.reason,
        is_rejected=True,
    )
    _enter(state, order)
    state.done.put(order.order_id, order)


def _enter(state: State, order: Order) -> Account:
    """Give the order its place in the account's list and remember its client order id."""
    account = _account(state, order.account)
    account.order_seq = order.account_seq = Seq(account.order_seq + 1)
    place = (order.account, order.account_seq)
    state.account_orders[place] = order.order_id
    state.account_orders.dirty.add(place)
    if order.client_order_id:
        terms = ClientKey(
            order.order_id,
            order.symbol,
            order.side,
            order.time_in_force,
            order.self_trade,
            order.price,
            order.quantity,
        )
        state.client_keys.put((order.account, order.client_order_id), terms)
    _advance_number(state, order.order_id)
    return account


def _order_amended(state: State, record: OrderAmended) -> None:
    order = state.orders[record.order_id]
    order.price = record.price
    order.quantity = order.total = record.quantity
    if record.stamp:
        order.stamp = record.stamp
        _advance_clock(state, record.stamp)
    _changed(state, order, record.ts)


def _order_canceled(state: State, record: OrderCanceled) -> None:
    order = state.orders[record.order_id]
    order.canceled = True
    order.reason = record.reason
    _changed(state, order, record.ts)


def _order_reduced(state: State, record: OrderReduced) -> None:
    order = state.orders[record.order_id]
    order.total = Lots(order.filled + order.offered)
    order.reason = record.reason
    _changed(state, order, record.ts)


def _local_trade(state: State, record: LocalTrade) -> None:
    maker, taker = state.orders[record.maker], state.orders[record.taker]
    _advance_number(state, record.trade_id)
    for order in (maker, taker):
        _fill(
            state,
            order,
            trade_id=record.trade_id,
            quantity=record.quantity,
            price=record.price,
            is_maker=order is maker,
            ts=record.ts,
        )
    _publish_trade(
        state, maker, record.trade_id, price=record.price, quantity=record.quantity, ts=record.ts
    )


def _trade_offered(state: State, record: TradeOffered) -> None:
    order = state.orders[record.taker]
    offer = OfferOut(
        record.decider,
        record.offer_id,
        record.trade_id,
        record.taker,
        record.maker,
        order.side,
        record.quantity,
        record.price,
        record.limit,
        record.taker_stamp,
        record.maker_stamp,
        record.ts,
    )
    key = (record.decider, record.offer_id)
    state.offers.put(key, offer)
    state.add_offer(key, offer)
    _peer(state, record.decider).last_offer = record.offer_id
    _advance_number(state, record.trade_id)
    order.offered = Lots(order.offered + record.quantity)
    if record.taker_stamp != order.stamp:  # of this match pass (S2)
        order.stamp = record.taker_stamp
        _advance_clock(state, record.taker_stamp)
    _changed(state, order, record.ts)


def _trade_settled(state: State, record: TradeSettled) -> None:
    peer = _peer(state, record.decider)
    peer.answered = max(peer.answered, record.offer_id)
    _end_doubt(state, (record.decider, record.offer_id), record.quantity, record.ts)


def _heuristic_decision(state: State, record: HeuristicDecision) -> None:
    key = (record.decider, record.offer_id)
    entry = HeuristicOut(
        state.offers[key], record.quantity, record.operator, record.reason, record.ts
    )
    state.heuristics.put(key, entry)
    _end_doubt(state, key, record.quantity, record.ts)


def _heuristic_checked(state: State, record: HeuristicChecked) -> None:
    key = (record.decider, record.offer_id)
    peer = _peer(state, record.decider)
    peer.answered = max(peer.answered, record.offer_id)
    entry = state.heuristics[key]
    if entry.decided == record.quantity:
        state.heuristics.drop(key)
    else:
        state.heuristics.put(key, msgspec.structs.replace(entry, answer=record.quantity))


def _heuristic_forgotten(state: State, record: HeuristicForgotten) -> None:
    state.heuristics.drop((record.decider, record.offer_id))


def _end_doubt(state: State, key: tuple[NodeId, OfferId], quantity: Lots, ts: Micros) -> None:
    """Settle `quantity` of an offer out and release the rest."""
    offer = state.offers[key]
    order = state.orders[offer.taker]
    state.offers.drop(key)
    state.remove_offer(key, offer)
    order.offered = Lots(order.offered - offer.quantity)
    if not quantity:
        _changed(state, order, ts)
        return
    _clear(state, _peer(state, key[0]), order, quantity=quantity, price=offer.price)
    _fill(
        state,
        order,
        trade_id=offer.trade_id,
        quantity=quantity,
        price=offer.price,
        is_maker=False,
        ts=ts,
    )


def _trade_accepted(state: State, record: TradeAccepted) -> None:
    peer = _peer(state, record.proposer)
    peer.mark = max(peer.mark, record.offer_id)
    key = (record.proposer, record.offer_id)
    acceptance = Acceptance(
        record.proposer,
        record.offer_id,
        record.trade_id,
        record.maker,
        record.taker,
        record.quantity,
        record.price,
    )
    state.acceptances.put(key, acceptance)
    state.acceptances_of.setdefault(record.proposer, {})[record.offer_id] = None
    maker = state.orders[record.maker]
    _clear(state, peer, maker, quantity=record.quantity, price=record.price)
    _fill(
        state,
        maker,
        trade_id=record.trade_id,
        quantity=record.quantity,
        price=record.price,
        is_maker=True,
        ts=record.ts,
    )
    _publish_trade(
        state, maker, record.trade_id, price=record.price, quantity=record.quantity, ts=record.ts
    )


def _trade_declined(state: State, record: TradeDeclined) -> None:
    peer = _peer(state, record.proposer)
    peer.mark = max(peer.mark, record.offer_id)


def _offers_forgotten(state: State, record: OffersForgotten) -> None:
    peer = _peer(state, record.proposer)
    peer.forgotten = max(peer.forgotten, record.below)
    accepted = state.acceptances_of.get(record.proposer, {})
    while accepted and (oldest := next(iter(accepted))) < record.below:
        del accepted[oldest]
        state.acceptances.drop((record.proposer, oldest))


def _peer_seen(state: State, record: PeerSeen) -> None:
    peer = _peer(state, record.peer)
    peer.nonce = record.nonce
    peer.epoch = record.epoch
    peer.boot_id = record.boot_id
    peer.address = record.address


def note_seen(state: State, peer: NodeId, lsn: int, digest: bytes) -> None:
    """Store the proof of a peer's log that came with a frame (C3); the frame carries it."""
    entry = _peer(state, peer)
    entry.seen_lsn = lsn  # type: ignore[assignment]  # an Lsn from a frame header
    entry.seen_digest = digest


def _fill(
    state: State,
    order: Order,
    *,
    trade_id: TradeId,
    quantity: Lots,
    price: Ticks,
    is_maker: bool,
    ts: Micros,
) -> None:
    """Settle one leg: what was held is paid, what was bought arrives, the rest is reheld (S1)."""
    account = _account(state, order.account)
    rule = state.rules[order.symbol]
    cash, shares = price * quantity * rule.tick_value, quantity * rule.lot_value
    if order.side is BUY:
        paid, paid_asset, got, got_asset = cash, rule.quote, shares, rule.base
    else:
        paid, paid_asset, got, got_asset = shares, rule.base, cash, rule.quote
    account.held[paid_asset] = Units(account.held[paid_asset] - paid)
    order.held = Units(order.held - paid)
    account.available[got_asset] = Units(account.available.get(got_asset, 0) + got)
    order.filled = Lots(order.filled + quantity)
    order.cost += price * quantity
    account.fill_seq = seq = Seq(account.fill_seq + 1)
    state.fills.put(
        (order.account, seq),
        Fill(
            seq, trade_id, order.order_id, order.symbol, order.side, price, quantity, is_maker, ts
        ),
    )
    _changed(state, order, ts)


def _clear(state: State, peer: PeerState, order: Order, *, quantity: Lots, price: Ticks) -> None:
    """Book what crosses to or from a peer, so that the node's own sums stay zero (S13)."""
    rule = state.rules[order.symbol]
    sign = 1 if order.side is BUY else -1
    clearing = peer.clearing
    cash, shares = price * quantity * rule.tick_value, quantity * rule.lot_value
    clearing[rule.quote] = Units(clearing.get(rule.quote, 0) + sign * cash)
    clearing[rule.base] = Units(clearing.get(rule.base, 0) - sign * shares)


def _publish_trade(
    state: State, maker: Order, trade_id: TradeId, *, price: Ticks, quantity: Lots, ts: Micros
) -> None:
    """Add a row to the trade tape: only the decider does (S8)."""
    listing = state.instruments[maker.symbol]
    listing.trade_seq = seq = Seq(listing.trade_seq + 1)
    state.instruments.dirty.add(maker.symbol)
    trade = Trade(seq, trade_id, maker.symbol, price, quantity, maker.side.opposite, ts)
    state.trades.put((maker.symbol, seq), trade)
    state.scalars.trades += 1
    state.scalars_table.dirty.add("node")


def _changed(state: State, order: Order, ts: Micros) -> None:
    """Bring the hold in line, and move the order to `done` when its life is over."""
    order.version += 1
    order.updated = ts
    state.touched[order.order_id] = order
    _rehold(state, order, _account(state, order.account))
    if not order.is_done:
        state.orders.dirty.add(order.order_id)
        return
    state.orders.drop(order.order_id)
    state.done.put(order.order_id, order)
    live = state.open_by_account[order.account]
    del live[order.order_id]
    if not live:
        del state.open_by_account[order.account]


def _rehold(state: State, order: Order, account: Account) -> None:
    """Move funds between available and held, so that the hold is what is needed (S1)."""
    needed = hold_needed(state, order)
    more = needed - order.held
    if more:
        asset = _hold_asset(state, order)
        available = account.available.get(asset, 0) - more
        assert available >= 0, "a hold that the account does not cover"
        account.available[asset] = Units(available)
        account.held[asset] = Units(account.held.get(asset, 0) + more)
        order.held = needed


def _hold_asset(state: State, order: Order) -> Asset:
    rule = state.rules[order.symbol]
    return rule.quote if order.side is BUY else rule.base


def _account(state: State, account_id: AccountId) -> Account:
    accounts = state.accounts
    account = accounts.get(account_id) or accounts.find(account_id)
    assert account is not None, "a record names an account that is not there"
    accounts.dirty.add(account_id)
    return account


def _peer(state: State, peer: NodeId) -> PeerState:
    entry = state.peers.get(peer)
    if entry is None:
        entry = state.peers[peer] = PeerState(peer)
    state.peers.dirty.add(peer)
    return entry


def _advance_clock(state: State, stamp: int) -> None:
    scalars = state.scalars
    scalars.clock = max(scalars.clock, clock_of(stamp))
    state.scalars_table.dirty.add("node")


def _advance_number(state: State, packed: int) -> None:
    assert packed >> NUMBER_BITS == state.node_id, "a number of another node"
    scalars = state.scalars
    scalars.number = max(scalars.number, packed & NUMBER_MAX)
    state.scalars_table.dirty.add("node")


_NO_STAMP: Any = 0
_APPLY: dict[type, Callable[[State, Any], None]] = {
    Booted: _booted,
    InstrumentListed: _instrument_listed,
    AccountOpened: _account_opened,
    AccountClosed: _account_closed,
    Transferred: _transferred,
    OrderPlaced: _order_placed,
    OrderRejected: _order_rejected,
    OrderAmended: _order_amended,
    OrderCanceled: _order_canceled,
    OrderReduced: _order_reduced,
    LocalTrade: _local_trade,
    TradeOffered: _trade_offered,
    TradeSettled: _trade_settled,
    TradeAccepted: _trade_accepted,
    TradeDeclined: _trade_declined,
    OffersForgotten: _offers_forgotten,
    PeerSeen: _peer_seen,
    KeySet: _key_set,
    KeyCreated: _key_created,
    KeyRevoked: _key_revoked,
    HeuristicDecision: _heuristic_decision,
    HeuristicChecked: _heuristic_checked,
    HeuristicForgotten: _heuristic_forgotten,
}
