"""What clients ask about orders, decided (S1, S9, S10).  Nothing here changes state.

A refusal that names a rule about funds is an `OrderRejected` record: key, answer and audit
trail survive.  Other refusals are answered and leave no trace.
"""

import copy
from collections.abc import Iterable, Iterator

import msgspec

from exchange.domain.book import makers
from exchange.domain.instruments import asset_scale
from exchange.domain.orders import BUY, IOC, RESTED, Order, Reason, Status, status_of
from exchange.domain.units import (
    AccountId,
    Asset,
    Lots,
    Lsn,
    OrderId,
    Stamp,
)
from exchange.engine.account_commands import STORAGE_FULL, UNKNOWN_ACCOUNT
from exchange.engine.decision import Acknowledge, Decision, MatchOrder, answered
from exchange.engine.effects import (
    Answer,
    CancelAnswer,
    Done,
    OrderAnswer,
    Refused,
    RemovedAnswer,
    not_listed,
    order_answer,
)
from exchange.engine.inputs import (
    AmendOrder,
    CancelAll,
    CancelAtPrice,
    CancelOrder,
    PlaceOrder,
    Removing,
    Ticket,
)
from exchange.engine.ledger import amended_hold, entry_hold, hold_asset
from exchange.engine.matching import Taker, match, next_stamp
from exchange.engine.records import (
    OrderAmended,
    OrderCanceled,
    OrderPlaced,
    OrderRejected,
)
from exchange.engine.soft import Soft
from exchange.engine.state import ClientKey

UNKNOWN_ORDER = Refused("unknown_order", "the account has no order with this id")
DRAINING = Refused("draining", "the node is being stopped; try again when it is back")
_DONE = Done()
NOT_READY = Refused("not_ready", "the node is starting; try again in a few seconds")


def decide_place(soft: Soft, item: PlaceOrder) -> Decision:
    """Place an order and match it at once."""
    state, decision = soft.state, Decision()
    account = state.accounts.get(item.account) or state.accounts.find(item.account)
    if account is None or account.is_closed:
        return answered(item.ticket, UNKNOWN_ACCOUNT)
    if item.client_order_id:
        known = state.client_keys.find((item.account, item.client_order_id))
        if known is not None:
            return _replay(soft, item, known)
    rule = state.rules.get(item.symbol)
    if rule is None:
        return answered(item.ticket, not_listed(item.symbol, state.rules))
    refused = _not_now(soft)
    if refused is not None:
        return answered(item.ticket, refused)
    asset, needed = entry_hold(rule, item.side, item.price, item.quantity)
    number = state.scalars.number + 1
    order_id: OrderId = state.id_zero + number  # type: ignore[assignment]  # every order passes
    live = state.open_by_account.get(item.account)
    if live is not None and len(live) >= soft.config.open_orders_max:
        detail = f"{len(live)} orders of the account are open, as many as one may have; cancel some"
        return answered(item.ticket, Refused("too_many_open_orders", detail))
    there = account.available.get(asset, 0)
    if there < needed and not soft.may_log_rejection(item.account):
        detail = f"{_short(soft, asset, needed, there)}; such rejections are logged once a second"
        return answered(item.ticket, Refused("insufficient_funds", detail))
    if there < needed:
        decision.records.append(_rejected(soft, item, order_id))
        decision.acknowledge.append(Acknowledge(item.ticket, order_id, item.wait_done))
        return decision
    stamp = next_stamp(soft)
    symbol = rule.symbol
    met = makers(soft.matched, symbol, item.side, item.price)
    first = RESTED
    if met or item.time_in_force is IOC:
        taker = Taker(
            order_id,
            item.account,
            symbol,
            item.side,
            item.price,
            stamp,
            item.quantity,
            item.time_in_force,
            item.self_trade,
        )
        first = match(soft, taker, met, decision, number=number)
    placed = OrderPlaced(
        order_id,
        item.account,
        symbol,
        item.side,
        item.time_in_force,
        item.self_trade,
        item.price,
        item.quantity,
        stamp,
        item.client_order_id,
        first,
        soft.wall,
    )
    decision.records.insert(0, placed)
    body = None if item.is_described else _DONE
    decision.acknowledge.append(Acknowledge(item.ticket, order_id, item.wait_done, body))
    return decision


def decide_amend(soft: Soft, item: AmendOrder) -> Decision:
    """Change price and total; priority is kept only if it shrinks at the same price (S9)."""
    decision = Decision()
    order = _own_order(soft, item.account, item.order_id)
    if isinstance(order, Refused):
        return answered(item.ticket, order)
    price = order.price if item.price is None else item.price
    quantity = order.total if item.quantity is None else item.quantity
    if order.canceled or order.time_in_force is IOC or order.filled >= order.total:
        detail = f"the order is {order.status} and cannot be amended"
        return answered(item.ticket, Refused("order_done", detail))
    if quantity < order.filled:
        detail = f"{order.filled} lots are filled already; the new total cannot be less"
        return answered(item.ticket, Refused("quantity_below_filled", detail))
    if price == order.price and quantity == order.total:
        decision.acknowledge.append(Acknowledge(item.ticket, order.order_id))
        return decision
    is_kept = price == order.price and quantity <= order.total
    refused = None if is_kept else _not_now(soft)
    if refused is not None:
        return answered(item.ticket, refused)
    needed = amended_hold(soft.state, order, price=price, total=quantity)
    asset, there = hold_asset(soft.state, order), _available(soft, order)
    if needed - order.held > there:
        short = _short(soft, asset, needed - order.held, there)
        detail = f"{short} beside what the order holds; the order stands unchanged"
        return answered(item.ticket, Refused("insufficient_funds", detail))
    stamp = Stamp(0) if is_kept else next_stamp(soft)
    decision.records.append(OrderAmended(order.order_id, price, quantity, stamp, soft.wall))
    decision.acknowledge.append(Acknowledge(item.ticket, order.order_id))
    # No own order can be younger and cross it now: a new stamp is the youngest of all, and one
    # that keeps its stamp shows no more than before at the price it had (S3).
    decision.follow.append(MatchOrder(order.order_id))
    return decision


def decide_cancel(soft: Soft, item: CancelOrder) -> Decision:
    """Cancel an order; what is in doubt is gone if it returns (S9)."""
    order = _own_order(soft, item.account, item.order_id)
    if isinstance(order, Refused):
        return answered(item.ticket, order)
    decision, removed = Decision(), order.open
    instrument = soft.state.instruments[order.symbol].instrument
    if order.is_done or order.canceled:
        answer = order_answer(order, instrument, lsn=soft.state.lsn)
    else:
        decision.records.append(OrderCanceled(order.order_id, Reason.CLIENT, soft.wall))
        lsn = Lsn(soft.state.lsn + 1)  # of this record
        answer = order_answer(_canceled(order), instrument, lsn=lsn)
    body = CancelAnswer(answer, removed, order.offered)
    decision.effects.append(Answer(item.ticket, body))
    return decision


def decide_cancel_at_price(soft: Soft, item: CancelAtPrice) -> Decision:
    """Remove up to a quantity at a price, the youngest orders first (interfaces 1, `D order`)."""
    done = item.progress or Removing(_youngest_first(soft, item))
    decision, in_doubt, orders = Decision(), done.in_doubt, done.orders
    left, stop = item.quantity - done.removed, done.at + soft.config.slice
    for order in _still_live(soft, done.order_ids[done.at : stop]):
        if order.canceled or not left or order.price != item.price:
            continue
        in_doubt += order.offered
        removed = min(left, order.open)
        if not removed:
            continue
        orders += 1
        left -= removed
        if removed == order.open and left >= order.offered:
            decision.records.append(OrderCanceled(order.order_id, Reason.CLIENT, soft.wall))
        else:
            total = Lots(order.filled + order.offered + order.open - removed)
            decision.records.append(
                OrderAmended(order.order_id, order.price, total, Stamp(0), soft.wall)
            )
    progress = Removing(done.order_ids, stop, item.quantity - left, in_doubt, orders)
    if left and stop < len(done.order_ids):
        decision.rest = msgspec.structs.replace(item, progress=progress)
    else:
        decision.effects.append(_removed(item.ticket, progress))
    return decision


def decide_cancel_all(soft: Soft, item: CancelAll) -> Decision:
    """Cancel all live orders of the account, or those of one symbol: so many a turn."""
    done = item.progress or Removing(list(soft.state.open_by_account.get(item.account, ())))
    decision, removed, in_doubt, orders = Decision(), done.removed, done.in_doubt, done.orders
    stop = done.at + soft.config.slice
    for order in _still_live(soft, done.order_ids[done.at : stop]):
        if order.canceled or item.symbol not in (None, order.symbol):
            continue
        removed += order.open
        in_doubt += order.offered
        orders += 1
        decision.records.append(OrderCanceled(order.order_id, item.reason, soft.wall))
    progress = Removing(done.order_ids, stop, removed, in_doubt, orders)
    if stop < len(done.order_ids):
        decision.rest = msgspec.structs.replace(item, progress=progress)
    else:
        decision.effects.append(_removed(item.ticket, progress))
    return decision


def _removed(ticket: Ticket, done: Removing) -> Answer:
    return Answer(ticket, RemovedAnswer(Lots(done.removed), Lots(done.in_doubt), done.orders))


def first_answer(soft: Soft, known: ClientKey, *, is_replay: bool) -> OrderAnswer:
    """Rebuild the first answer to an order: identical, whatever happened since (faults 2.15)."""
    order = soft.state.find_order(known.order_id)
    assert order is not None, "a client order id without its order"
    first = order.first
    if first.is_cut:  # what it met in later turns is in no record of its own: as it is now
        instrument = soft.state.instruments[order.symbol].instrument
        now = order_answer(order, instrument, lsn=soft.state.lsn)
        return msgspec.structs.replace(now, is_replay=is_replay)
    if order.is_rejected:
        status, total, reason = Status.REJECTED, known.quantity, order.reason
    else:
        total, reason = Lots(known.quantity - first.removed), first.reason
        status = status_of(known.quantity, total, first.filled, first.offered, False)
    return OrderAnswer(
        order.order_id,
        order.client_order_id,
        soft.state.instruments[known.symbol].instrument,
        known.side,
        known.time_in_force,
        known.price,
        known.quantity,
        total,
        first.filled,
        first.offered,
        first.cost,
        status,
        reason,
        order.created,
        soft.state.lsn,
        -1,
        is_replay,
        known.self_trade,
    )


def _replay(soft: Soft, item: PlaceOrder, known: ClientKey) -> Decision:
    """Answer a retry: the first answer again, or a refusal if it asks for something else."""
    terms = ClientKey(
        known.order_id,
        item.symbol,
        item.side,
        item.time_in_force,
        item.self_trade,
        item.price,
        item.quantity,
    )
    if terms != known:
        detail = f"client order id {item.client_order_id} was used for another order"
        return answered(item.ticket, Refused("duplicate_client_order_id", detail))
    decision = Decision()
    body = None if item.wait_done else first_answer(soft, known, is_replay=True)
    decision.acknowledge.append(Acknowledge(item.ticket, known.order_id, item.wait_done, body))
    return decision


def _rejected(soft: Soft, item: PlaceOrder, order_id: OrderId) -> OrderRejected:
    return OrderRejected(
        order_id,
        item.account,
        item.symbol,
        item.side,
        item.time_in_force,
        item.self_trade,
        item.price,
        item.quantity,
        item.client_order_id,
        Reason.INSUFFICIENT_FUNDS,
        soft.wall,
    )


def _not_now(soft: Soft) -> Refused | None:
    """Say why no order is taken at the moment (C6, W7)."""
    if soft.is_storage_full:
        return STORAGE_FULL
    if soft.is_draining:
        return DRAINING
    return None if soft.is_ready else NOT_READY


def _own_order(soft: Soft, account: AccountId, order_id: OrderId) -> Order | Refused:
    order = soft.state.find_order(order_id)
    if order is None or order.account != account:
        return UNKNOWN_ORDER  # the same for a foreign order: ids tell nothing
    return order


def _still_live(soft: Soft, order_ids: Iterable[OrderId]) -> Iterator[Order]:
    """Yield those of some orders that are not done since."""
    for order_id in order_ids:
        order = soft.state.orders.get(order_id)
        if order is not None:
            yield order


def _youngest_first(soft: Soft, item: CancelAtPrice) -> list[OrderId]:
    """Return the live orders of an account at a price, the youngest stamp first."""
    wanted = (item.price, item.side, item.symbol)
    orders = _still_live(soft, soft.state.open_by_account.get(item.account, ()))
    found = [order for order in orders if (order.price, order.side, order.symbol) == wanted]
    found.sort(key=lambda order: order.stamp, reverse=True)
    return [order.order_id for order in found]


def _short(soft: Soft, asset: Asset, needed: int, there: int) -> str:
    """Say what is needed, and what is there."""
    scale = asset_scale(soft.state.decimals[asset])
    return f"{scale.text(needed)} {asset} are needed, {scale.text(there)} are available"


def _available(soft: Soft, order: Order) -> int:
    rule = soft.state.rules[order.symbol]
    asset = rule.quote if order.side is BUY else rule.base
    account = soft.state.accounts.find(order.account)
    return account.available.get(asset, 0) if account else 0


def _canceled(order: Order) -> Order:
    canceled = copy.copy(order)
    canceled.canceled, canceled.reason = True, Reason.CLIENT
    return canceled
