"""Apply: the one function that changes durable state, live and in redo (E2).

A record contains all that is needed; soft state is never read here.  Each handler keeps the
double entry: per asset, all accounts + what is outside (`external`) + clearing with the
peers sum to zero (S13, M3).  Available amounts below zero are our bug and assert.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from exchange.domain.orders import Account, Order, Transfer
from exchange.domain.units import (
    NUMBER_BITS,
    NUMBER_MAX,
    Lots,
    Lsn,
    Micros,
    NodeId,
    Seq,
    Units,
    clock_of,
    number_of,
)
from exchange.engine.ledger import (
    account_of,
    changed,
    clear,
    entry_hold,
    fill,
    hold,
    peer_of,
    publish_trade,
)
from exchange.engine.messages import SealedProof
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
    SwitchSet,
    TradeAccepted,
    TradeDeclined,
    TradeOffered,
    TradeSettled,
    Transferred,
)
from exchange.engine.state import (
    Acceptance,
    AccountKey,
    Boot,
    ClientKey,
    HeuristicOut,
    Listing,
    OfferOut,
    State,
    Switch,
    TransferKey,
)


def apply(state: State, record: Record) -> None:
    """Change the state by one record."""
    _APPLY[type(record)](state, record)


def _booted(state: State, record: Booted) -> None:
    scalars = state.scalars
    scalars.epoch = record.epoch
    scalars.boot_id = record.boot_id
    state.boots.put(record.epoch, Boot(record.epoch, record.boot_id, Lsn(state.lsn + 1)))


def _instrument_listed(state: State, record: InstrumentListed) -> None:
    state.instruments.put(record.instrument.symbol, Listing(record.instrument))
    state.add_instrument(record.instrument)


def _account_opened(state: State, record: AccountOpened) -> None:
    state.accounts.put(record.account, Account(record.account, {}, {}, record.key_hash))
    scalars = state.scalars
    scalars.account_number = max(scalars.account_number, number_of(record.account))
    scalars.accounts += 1


def _account_closed(state: State, record: AccountClosed) -> None:
    account = account_of(state, record.account)
    account.is_closed = True
    state.key_changes += 1
    state.scalars.accounts -= 1


def _key_set(state: State, record: KeySet) -> None:
    account_of(state, record.account).key_hash = record.key_hash
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


def _switch_set(state: State, record: SwitchSet) -> None:
    account = record.account
    if record.cancel_after or record.is_watched:
        entry = Switch(account, record.cancel_after, record.is_watched, record.ts)
        state.switches.put(account, entry)
    elif account in state.switches:
        state.switches.drop(account)


def _transferred(state: State, record: Transferred) -> None:
    account = account_of(state, record.account)
    asset = record.asset
    account.available[asset] = Units(account.available.get(asset, 0) + record.amount)
    assert account.available[asset] >= 0, "withdrawn below zero"
    account.transfer_seq = seq = Seq(account.transfer_seq + 1)
    transfer = Transfer(seq, asset, record.amount, record.ts, record.client_key)
    state.transfers.append(record.account, seq, transfer)
    if record.client_key:
        available, held = account.available[asset], account.held.get(asset, Units(0))
        entry = TransferKey(seq, asset, record.amount, available, held)
        state.transfer_keys.put((record.account, record.client_key), entry)
    external = state.scalars.external
    external[asset] = Units(external.get(asset, 0) - record.amount)


def _order_placed(state: State, record: OrderPlaced) -> None:
    rule = state.rules[record.symbol]
    order = Order(
        record.order_id,
        record.account,
        rule.symbol,
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
    order_id, orders = record.order_id, state.orders
    orders[order_id] = state.touched[order_id] = order
    orders.dirty.add(order_id)
    live = state.open_by_account.get(record.account)
    if live is None:
        live = state.open_by_account[record.account] = {}
    live[order_id] = None
    asset, held = entry_hold(rule, record.side, record.price, record.quantity)
    hold(account, asset, held)
    order.held = Units(held)
    _advance_clock(state, record.stamp)


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
    account = account_of(state, order.account)
    seq: Seq = account.order_seq + 1  # type: ignore[assignment]  # every order passes
    account.order_seq = order.account_seq = seq
    state.account_orders.append(order.account, seq, order.order_id)
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
    reserved = state.offers_by_taker.get(record.order_id)
    if reserved is not None:
        reserved.reprice(record.price)
    allowed = Lots(order.filled + order.offered)
    if allowed > record.quantity:
        state.overdrawn[record.order_id] = allowed
    else:
        state.overdrawn.pop(record.order_id, None)
    if record.stamp:
        order.stamp = record.stamp
        _advance_clock(state, record.stamp)
    changed(state, order, record.ts)


def _order_canceled(state: State, record: OrderCanceled) -> None:
    order = state.orders[record.order_id]
    order.canceled = True
    order.reason = record.reason
    changed(state, order, record.ts)


def _order_reduced(state: State, record: OrderReduced) -> None:
    order = state.orders[record.order_id]
    order.total = Lots(order.filled + order.offered)
    order.reason = record.reason
    changed(state, order, record.ts)


def _local_trade(state: State, record: LocalTrade) -> None:
    maker, taker = state.orders[record.maker], state.orders[record.taker]
    _advance_number(state, record.trade_id)
    for order in (maker, taker):
        fill(
            state,
            order,
            trade_id=record.trade_id,
            quantity=record.quantity,
            price=record.price,
            is_maker=order is maker,
            ts=record.ts,
        )
    publish_trade(
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
    peer_of(state, record.decider).last_offer = record.offer_id
    _advance_number(state, record.trade_id)
    order.offered = Lots(order.offered + record.quantity)
    if record.taker_stamp != order.stamp:  # of this match pass (S2)
        order.stamp = record.taker_stamp
        _advance_clock(state, record.taker_stamp)
    changed(state, order, record.ts)


def _trade_settled(state: State, record: TradeSettled) -> None:
    peer = peer_of(state, record.decider)
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
    peer = peer_of(state, record.decider)
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
        changed(state, order, ts)
        return
    clear(state, peer_of(state, key[0]), order, quantity=quantity, price=offer.price)
    fill(
        state,
        order,
        trade_id=offer.trade_id,
        quantity=quantity,
        price=offer.price,
        is_maker=False,
        ts=ts,
    )


def _trade_accepted(state: State, record: TradeAccepted) -> None:
    peer = peer_of(state, record.proposer)
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
    state.acceptances_of.setdefault(record.proposer, OrderedDict())[record.offer_id] = None
    maker = state.orders[record.maker]
    clear(state, peer, maker, quantity=record.quantity, price=record.price)
    fill(
        state,
        maker,
        trade_id=record.trade_id,
        quantity=record.quantity,
        price=record.price,
        is_maker=True,
        ts=record.ts,
    )
    publish_trade(
        state, maker, record.trade_id, price=record.price, quantity=record.quantity, ts=record.ts
    )


def _trade_declined(state: State, record: TradeDeclined) -> None:
    peer = peer_of(state, record.proposer)
    peer.mark = max(peer.mark, record.offer_id)


def _offers_forgotten(state: State, record: OffersForgotten) -> None:
    peer = peer_of(state, record.proposer)
    peer.forgotten = max(peer.forgotten, record.below)
    accepted = state.acceptances_of.get(record.proposer, OrderedDict())
    while accepted and (oldest := next(iter(accepted))) < record.below:
        del accepted[oldest]
        state.acceptances.drop((record.proposer, oldest))


def _peer_seen(state: State, record: PeerSeen) -> None:
    peer = peer_of(state, record.peer)
    peer.nonce = record.nonce
    peer.epoch = record.epoch
    peer.boot_id = record.boot_id
    peer.address = record.address


def note_seen(state: State, peer: NodeId, proof: SealedProof) -> None:
    """Store the proof of a peer's log that came with a frame (C3); the frame carries it."""
    entry = peer_of(state, peer)
    entry.seen_lsn = proof.lsn
    entry.seen_digest = proof.digest
    entry.seen_boot = proof.boot_id
    entry.seen_mac = proof.mac


def _advance_clock(state: State, stamp: int) -> None:
    clock, scalars = clock_of(stamp), state.scalars
    if clock > scalars.clock:
        scalars.clock = clock


def _advance_number(state: State, packed: int) -> None:
    assert packed >> NUMBER_BITS == state.node_id, "a number of another node"
    number, scalars = packed & NUMBER_MAX, state.scalars
    if number > scalars.number:
        scalars.number = number


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
    SwitchSet: _switch_set,
    HeuristicDecision: _heuristic_decision,
    HeuristicChecked: _heuristic_checked,
    HeuristicForgotten: _heuristic_forgotten,
}
