"""The `value` of the richer answers, as JSON (interfaces section 2 has the names).

Prices and quantities are decimal strings.  An order is written by hand: with a struct it
would cost twice as much, and it is what a busy node sends most.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from exchange.domain.instruments import Scale, asset_scale
from exchange.domain.orders import SIDE_NAMES, Status, TimeInForce
from exchange.domain.units import Symbol, format_id
from exchange.engine import effects
from exchange.engine.effects import OrderAnswer
from exchange.wire.numbers import average_text, number_text, texts_of, time_text

TIME_IN_FORCE_NAMES: dict[int, str] = {TimeInForce.GTC: "gtc", TimeInForce.IOC: "ioc"}
SCOPES = {1: ["read"], 2: ["trade"], 3: ["read", "trade"]}
_ENCODE = msgspec.json.Encoder().encode


class OrderWriter:
    """Writes orders; remembers the fixed parts and the number writers of an instrument."""

    def __init__(self) -> None:
        # Never stale: an instrument does not change once it is listed.
        self._fixed: dict[tuple[Symbol, int, int, int], _Fixed] = {}

    def order(self, body: OrderAnswer) -> str:
        """Write an order."""
        return f"{{{self._members(body)}}}"

    def canceled(self, body: effects.CancelAnswer) -> str:
        """Write a canceled order, with what was removed; what is in doubt it says itself."""
        removed = number_text(body.order.instrument.rule.lot, body.removed)
        return f'{{{self._members(body.order)},"canceled_quantity":"{removed}"}}'

    def page(self, body: effects.OrdersAnswer) -> str:
        """Write a page of orders; the cursor is opaque."""
        orders = ",".join(map(self.order, body.orders))
        cursor = "null" if body.next_cursor is None else f'"{body.next_cursor}"'
        return f'{{"orders":[{orders}],"next_cursor":{cursor}}}'

    def _members(self, body: OrderAnswer) -> str:
        key = (body.instrument.symbol, body.side, body.time_in_force, body.self_trade)
        fixed = self._fixed.get(key)
        if fixed is None:
            fixed = self._fixed[key] = _fixed_of(body)
        text, lots, filled = fixed.text, fixed.lots, body.filled
        is_over = body.status is Status.CANCELED or body.status is Status.REJECTED
        # Amended below what was in doubt, and filled all the same: nothing remains (S9).
        remaining = body.in_doubt if is_over else max(0, body.total - filled)
        name = _ENCODE(body.client_order_id).decode() if body.client_order_id else "null"
        average = f'"{average_text(fixed.tick, body.cost, filled)}"' if filled else "null"
        reason = f'"{body.reason}"' if body.reason else "null"
        return (
            f'"order_id":"{format_id(body.order_id)}","client_order_id":{name},{text},'
            f'"price":"{fixed.ticks(body.price)}","quantity":"{lots(body.quantity)}",'
            f'"filled_quantity":"{lots(filled)}","remaining_quantity":"{lots(remaining)}",'
            f'"average_price":{average},"status":"{body.status}","reason":{reason},'
            f'"in_doubt_quantity":"{lots(body.in_doubt)}","ts":"{time_text(body.created)}"'
        )


class _Fixed(msgspec.Struct, frozen=True):
    """What the orders of one instrument, side, time in force and prevention have in common."""

    text: str
    tick: Scale
    ticks: Callable[[int], str]
    lots: Callable[[int], str]


def _fixed_of(body: OrderAnswer) -> _Fixed:
    rule = body.instrument.rule
    text = (
        f'"symbol":"{body.instrument.symbol}","side":"{SIDE_NAMES[body.side]}","type":"limit",'
        f'"time_in_force":"{TIME_IN_FORCE_NAMES[body.time_in_force]}",'
        f'"self_trade_prevention":"{body.self_trade.name.lower()}"'
    )
    return _Fixed(text, rule.tick, texts_of(rule.tick), texts_of(rule.lot))


def balance_value(body: effects.BalanceAnswer) -> bytes:
    """Write one balance of an account, and the transfer that made it so."""
    told: dict[str, Any] = {"asset": body.asset, **_balance(body)}
    if body.transfer:
        told |= {"seq": body.transfer, "is_replay": body.is_replay}
    return _ENCODE(told)


def account_value(body: effects.AccountAnswer) -> bytes:
    """Write an account and its balances."""
    balances = {balance.asset: _balance(balance) for balance in body.balances}
    return _ENCODE({"user_id": format_id(body.account), "balances": balances})


def _balance(body: effects.BalanceAnswer) -> dict[str, str]:
    scale = asset_scale(body.decimals)
    return {
        "available": number_text(scale, body.available),
        "held": number_text(scale, body.held),
    }


def fills_value(body: effects.FillsAnswer) -> bytes:
    """Write fills, in the account's own sequence."""
    fills = [
        {
            "seq": fill.seq,
            "trade_id": format_id(fill.trade_id),
            "order_id": format_id(fill.order_id),
            "symbol": fill.symbol,
            "side": SIDE_NAMES[fill.side],
            "price": number_text(instrument.rule.tick, fill.price),
            "quantity": number_text(instrument.rule.lot, fill.quantity),
            "role": "maker" if fill.is_maker else "taker",
            "ts": time_text(fill.ts),
        }
        for fill, instrument in body.fills
    ]
    return _ENCODE({"fills": fills, "next_seq": body.next_seq})


def transfers_value(body: effects.TransfersAnswer) -> bytes:
    """Write deposits and issues (above zero) and withdrawals (below)."""
    transfers = [
        {
            "seq": transfer.seq,
            "asset": transfer.asset,
            "quantity": number_text(asset_scale(decimals), transfer.amount),
            "ts": time_text(transfer.ts),
            **({"client_key": transfer.client_key} if transfer.client_key else {}),
        }
        for transfer, decimals in body.transfers
    ]
    return _ENCODE({"transfers": transfers, "next_seq": body.next_seq})


def book_value(body: effects.SymbolBook) -> bytes:
    """Write the book of one instrument, best levels first."""
    rule = body.instrument.rule
    value: dict[str, Any] = {
        "symbol": body.instrument.symbol,
        "seq": body.seq,
        "bids": _levels(body.bids, tick=rule.tick, lot=rule.lot),
        "asks": _levels(body.asks, tick=rule.tick, lot=rule.lot),
    }
    return _ENCODE(value)


def _levels(
    levels: Iterable[tuple[int, int, int]], *, tick: Scale, lot: Scale
) -> list[tuple[str, str, int]]:
    return [
        (number_text(tick, price), number_text(lot, quantity), orders)
        for price, quantity, orders in levels
    ]


def trades_value(body: effects.TradesAnswer) -> bytes:
    """Write the trades that this node decided."""
    return _ENCODE({"trades": told_trades(body), "next_seq": body.next_seq})


class ToldTrade(msgspec.Struct, frozen=True, gc=False):
    """A trade as it is told."""

    seq: int
    trade_id: str
    symbol: str
    price: str
    quantity: str
    aggressor: str
    ts: str


def told_trades(body: effects.TradesAnswer) -> list[ToldTrade]:
    """Write the numbers of trades."""
    rule = body.instrument.rule
    return [
        ToldTrade(
            trade.seq,
            format_id(trade.trade_id),
            trade.symbol,
            number_text(rule.tick, trade.price),
            number_text(rule.lot, trade.quantity),
            SIDE_NAMES[trade.aggressor],
            time_text(trade.ts),
        )
        for trade in body.trades
    ]


def key_value(body: effects.KeyAnswer) -> bytes:
    """Write a new key, the only time it is told."""
    return _ENCODE(
        {
            "user_id": format_id(body.account),
            "key_id": body.key_id,
            "api_key": body.api_key,
            "scopes": SCOPES[body.scopes],
            "expires_at": time_text(body.expires) if body.expires else None,
        }
    )


def keys_value(body: effects.KeysAnswer) -> bytes:
    """Write what keys there are: their ids and powers, never the keys."""
    rows: list[dict[str, Any]] = []
    if body.has_main:
        rows.append({"key_id": "main", "scopes": SCOPES[3], "expires_at": None})
    for key in body.keys:
        expires_at = time_text(key.expires) if key.expires else None
        rows.append({"key_id": key.key_id, "scopes": SCOPES[key.scopes], "expires_at": expires_at})
    return _ENCODE({"user_id": format_id(body.account), "keys": rows})


def replica_value(body: effects.ReplicaAnswer) -> bytes:
    """Write a page of another node's open orders, and of what version of its book they are."""
    orders = [
        {
            "order_id": format_id(order.order_id),
            "user_id": format_id(order.account),
            "symbol": order.symbol,
            "side": SIDE_NAMES[order.side],
            "price": number_text(instrument.rule.tick, order.price),
            "remaining_quantity": number_text(instrument.rule.lot, order.open),
            "stamp": order.stamp,
            "version": order.version,
        }
        for order, instrument in body.orders
    ]
    told = msgspec.structs.asdict(body)
    del told["owner"]
    return _ENCODE({"node_id": body.owner, **told, "orders": orders})
