"""The ledger of a node: holds, fills and clearing, in double entry (S1, S13, M3).

Per asset, all accounts + what is outside (`external`) + clearing with the peers sum to zero.
Only `engine.apply` calls what changes state here; `check_state` asserts what holds of it.
"""

from exchange.domain.instruments import Rule
from exchange.domain.orders import BUY, SELL, Account, Fill, Order, Side, Trade, open_of
from exchange.domain.units import (
    AccountId,
    Asset,
    Lots,
    Micros,
    NodeId,
    Seq,
    Ticks,
    TradeId,
    Units,
)
from exchange.engine.state import PeerState, Reserved, State


def hold_needed(state: State, order: Order) -> Units:
    """Return what an order must hold: its open quantity and all it has offered (S1)."""
    rule, offered = state.rules[order.symbol], order.offered
    if order.side is SELL:
        return Units((open_of(order) + offered) * rule.lot_value)
    needed = order.price * open_of(order)
    if offered:
        needed += state.offers_by_taker[order.order_id].value
    return Units(needed * rule.tick_value)


def amended_hold(state: State, order: Order, *, price: Ticks, total: Lots) -> Units:
    """Return what an order would hold with another price and total (S1, S9)."""
    rule, offered = state.rules[order.symbol], order.offered
    left = max(0, total - order.filled - offered)
    if order.side is SELL:
        return Units((left + offered) * rule.lot_value)
    needed = price * left
    if offered:
        needed += state.offers_by_taker[order.order_id].value_at(price)
    return Units(needed * rule.tick_value)


def entry_hold(rule: Rule, side: Side, price: Ticks, quantity: Lots) -> tuple[Asset, int]:
    """Return what an order must hold when it is placed: the asset, and how much (S1)."""
    if side is BUY:
        return rule.quote, price * quantity * rule.tick_value
    return rule.base, quantity * rule.lot_value


def account_of(state: State, account_id: AccountId) -> Account:
    accounts = state.accounts
    account = accounts.get(account_id) or accounts.find(account_id)
    assert account is not None, "a record names an account that is not there"
    accounts.dirty.add(account_id)
    return account


def peer_of(state: State, peer: NodeId) -> PeerState:
    entry = state.peers.get(peer)
    if entry is None:
        entry = state.peers[peer] = PeerState(peer)
    state.peers.dirty.add(peer)
    return entry


def fill(
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
    account = account_of(state, order.account)
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
    entry = Fill(
        seq, trade_id, order.order_id, order.symbol, order.side, price, quantity, is_maker, ts
    )
    state.fills.append(order.account, seq, entry)
    changed(state, order, ts)


def clear(state: State, peer: PeerState, order: Order, *, quantity: Lots, price: Ticks) -> None:
    """Book what crosses to or from a peer, so that the node's own sums stay zero (S13)."""
    rule = state.rules[order.symbol]
    sign = 1 if order.side is BUY else -1
    clearing = peer.clearing
    cash, shares = price * quantity * rule.tick_value, quantity * rule.lot_value
    clearing[rule.quote] = Units(clearing.get(rule.quote, 0) + sign * cash)
    clearing[rule.base] = Units(clearing.get(rule.base, 0) - sign * shares)


def publish_trade(
    state: State, maker: Order, trade_id: TradeId, *, price: Ticks, quantity: Lots, ts: Micros
) -> None:
    """Add a row to the trade tape: only the decider does (S8)."""
    listing = state.instruments[maker.symbol]
    listing.trade_seq = seq = Seq(listing.trade_seq + 1)
    listing.trade_ts = ts
    state.instruments.dirty.add(maker.symbol)
    trade = Trade(seq, trade_id, maker.symbol, price, quantity, maker.side.opposite, ts)
    state.trades.append(maker.symbol, seq, trade)
    state.scalars.trades += 1


def changed(state: State, order: Order, ts: Micros) -> None:
    """Bring the hold in line, and move the order to `done` when its life is over."""
    order.version += 1
    order.updated = ts
    state.touched[order.order_id] = order
    rehold(state, order, account_of(state, order.account))
    if not order.is_done:
        state.orders.dirty.add(order.order_id)
        return
    state.orders.drop(order.order_id)
    state.overdrawn.pop(order.order_id, None)
    state.done.put(order.order_id, order)
    live = state.open_by_account[order.account]
    del live[order.order_id]
    if not live:
        del state.open_by_account[order.account]


def rehold(state: State, order: Order, account: Account) -> None:
    """Move funds between available and held, so that the hold is what is needed (S1)."""
    needed = hold_needed(state, order)
    more = needed - order.held
    if more:
        hold(account, hold_asset(state, order), more)
        order.held = needed


def hold(account: Account, asset: Asset, more: int) -> None:
    """Move an amount from available to held, or back if it is below zero."""
    held, available = account.held, account.available.get(asset, 0) - more
    assert available >= 0, "a hold that the account does not cover"
    account.available[asset] = available  # type: ignore[assignment]  # every order passes
    held[asset] = held.get(asset, 0) + more  # type: ignore[assignment]  # every order passes


def hold_asset(state: State, order: Order) -> Asset:
    rule = state.rules[order.symbol]
    return rule.quote if order.side is BUY else rule.base


def check_state(state: State) -> None:
    """Assert the invariants of what is in memory; tests and fuzzing call it after every step."""
    held: dict[tuple[int, Asset], int] = {}
    for order in state.orders.values():
        assert not order.is_done, "a finished order is live"
        _check_quantities(state, order)
        assert order.held == hold_needed(state, order), "hold is not what the order needs"
        asset = hold_asset(state, order)
        held[order.account, asset] = held.get((order.account, asset), 0) + order.held
    for account in state.accounts.values():
        for asset, amount in account.held.items():
            assert amount == held.pop((account.account, asset), 0), "holds do not add up"
            assert amount >= 0, "negative hold"
        assert all(amount >= 0 for amount in account.available.values()), "negative balance"
    in_doubt = [key for reserved in state.offers_by_taker.values() for key in reserved.keys]
    assert sorted(in_doubt) == sorted(state.offers), "an offer is reserved for no order"
    missing = [key for key, amount in held.items() if amount and key[0] in state.accounts]
    assert not missing, "an order holds funds that its account does not"
    for proposer, offer_id in state.acceptances:
        peer = state.peers[proposer]
        assert peer.forgotten <= offer_id <= peer.mark, "acceptance outside its bounds"
    for decider, offer_id in state.offers:
        assert offer_id <= state.peers[decider].last_offer, "offer above the last one"


def _check_quantities(state: State, order: Order) -> None:
    """Assert that no more is filled or in doubt than was ever allowed, and the sums of it (S9).

    An amendment below what is filled and in doubt allows that much, and no more.
    """
    allowed = max(order.total, state.overdrawn.get(order.order_id, 0))
    assert order.filled >= 0, "less than nothing is filled"
    assert order.offered >= 0, "less than nothing is in doubt"
    assert order.filled + order.offered <= allowed, "more is filled or in doubt than was allowed"
    reserved = state.offers_by_taker.get(order.order_id, Reserved(order.price))
    offers = [state.offers[key] for key in reserved.keys]
    value = sum(max(offer.limit, order.price) * offer.quantity for offer in offers)
    assert order.offered == sum(offer.quantity for offer in offers), "offers do not add up"
    assert (reserved.price, reserved.value) == (order.price, value), "the sum of offers has drifted"
    assert reserved.value == reserved.value_at(order.price), "the sums by limit have drifted"
    assert sum(reserved.deciders.values()) == len(offers), "deciders are miscounted"
