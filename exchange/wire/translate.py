"""Requests to engine inputs: the edge where decimals become integers (M1).

A number is read exactly or refused, with the tick or lot size named.  Reading one costs
3 us, so the last ones are remembered per symbol: prices and quantities repeat.  Translate a
line right before its input is handled: it names orders and instruments as they are then.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import assert_never

import msgspec

from exchange.domain.instruments import CASH, CASH_DECIMALS, plain_ticker
from exchange.domain.orders import SIDES, Order, SelfTrade, TimeInForce
from exchange.domain.units import (
    AccountId,
    Asset,
    Lots,
    NodeId,
    OrderId,
    Seq,
    Symbol,
    Ticks,
    Units,
)
from exchange.engine import inputs
from exchange.engine.effects import Refused, not_listed
from exchange.engine.inputs import Input, Ticket
from exchange.engine.state import State
from exchange.wire import requests
from exchange.wire.envelope import Rich
from exchange.wire.feeds import FeedSubscribe, FeedUnsubscribe
from exchange.wire.reading import (
    RefusedError,
    is_cash,
    read_amount,
    read_lots,
    read_order_id,
    read_owner,
    read_symbol,
    read_ticks,
)
from exchange.wire.requests import CreateOrder, OrderCreate, PlainOrder, Request

REMEMBERED = 1 << 16  # numbers of each kind; about 10 MB when full
_TIMES_IN_FORCE = {"gtc": TimeInForce.GTC, "ioc": TimeInForce.IOC}
_SELF_TRADES = {
    "cancel_newest": SelfTrade.CANCEL_NEWEST,
    "cancel_oldest": SelfTrade.CANCEL_OLDEST,
    "cancel_both": SelfTrade.CANCEL_BOTH,
}
_IS_OPEN: dict[str | None, bool | None] = {None: None, "all": None, "open": True, "done": False}

Mint = Callable[[AccountId], tuple[str, bytes]]  # a new key of an account, and its hash
_SCOPES = {"read": 1, "trade": 2}


class NeedsListing(msgspec.Struct, frozen=True):
    """The symbol is well-formed and unknown: list it as a plain ticker, then translate again.

    Of a caller who may not list, it is refused instead (`unlisted`).  The request has no other
    mistake that can be told without the listing.
    """

    symbol: Symbol


Translated = Input | NeedsListing | Refused


class Translator:
    """Translates the requests of one node's clients.  It only reads the state."""

    def __init__(self, state: State, *, mint: Mint) -> None:
        self._state = state
        self._mint = mint
        self._listed = state.instruments
        # An instrument never changes once it is listed, so these never go stale.
        self._ticks = lru_cache(maxsize=REMEMBERED)(self._read_ticks)
        self._lots = lru_cache(maxsize=REMEMBERED)(self._read_lots)

    def translate(self, request: Request, account: AccountId, ticket: Ticket) -> Translated:
        """Return what the engine is to do, or why not.  `account` is the caller's own."""
        try:
            if type(request) is CreateOrder:
                return self._create(request.value, account, ticket)
            if type(request) is OrderCreate:
                return self._place(request, account, ticket)
            return self._translate(request, account, ticket)
        except RefusedError as error:
            return error.refused

    def unlisted(self, symbol: Symbol) -> Refused:
        """Return the refusal of a symbol that nobody has listed."""
        return not_listed(symbol, self._listed)

    def _create(self, value: PlainOrder, account: AccountId, ticket: Ticket) -> Translated:
        symbol = Symbol(value.ticker or "")
        if not symbol or value.ticker_id is not None:
            symbol = Symbol(_ticker(value.ticker, value.ticker_id, "ticker"))
        name: str | None = value.order_type
        if name is None or value.side is not None or value.type is not None:
            name = _side(value)
        price, quantity = bytes(value.price), bytes(value.quantity)
        if symbol not in self._listed:
            return _unlisted(symbol, price, quantity)
        return inputs.PlaceOrder(
            ticket,
            account,
            symbol,
            SIDES[name],
            self._ticks(symbol, price),
            self._lots(symbol, quantity),
            is_described=False,
        )

    def _place(self, request: OrderCreate, account: AccountId, ticket: Ticket) -> Translated:
        value = request.value
        symbol = Symbol(value.symbol)
        time_in_force = _TIMES_IN_FORCE.get(value.time_in_force)
        self_trade = _SELF_TRADES.get(value.self_trade_prevention)
        if value.type != "limit" or value.post_only or time_in_force is None or self_trade is None:
            raise _not_built(value)
        price, quantity = bytes(value.price), bytes(value.quantity)
        if not price or price == b"null":
            raise RefusedError("missing_field", "a limit order has a `price`")
        if symbol not in self._listed:
            return _unlisted(symbol, price, quantity)
        return inputs.PlaceOrder(
            ticket,
            account,
            symbol,
            SIDES[value.side],
            self._ticks(symbol, price),
            self._lots(symbol, quantity),
            time_in_force,
            self_trade,
            value.client_order_id or "",
            request.wait is not None,
        )

    def _translate(self, request: Request, account: AccountId, ticket: Ticket) -> Translated:
        if isinstance(request, Rich) and request.wait is not None:
            raise RefusedError("not_supported", "`wait` belongs to order.create alone")
        match request:
            case requests.TradesList() if request.value.newest:
                return inputs.Ask(ticket, self._newest_trades(request.value))
            case requests.DeleteOrder():
                return self._cancel_at_price(request.value, account, ticket)
            case requests.OrderCancel():
                order_id = self._order_id(request.value, account)
                return inputs.CancelOrder(ticket, account, order_id)
            case requests.OrderCancelAll():
                symbol = request.value.symbol
                return inputs.CancelAll(ticket, account, read_symbol(symbol) if symbol else None)
            case requests.OrderAmend():
                return self._amend(request.value, account, ticket)
            case requests.UpdateBalance():
                value = read_amount(
                    bytes(request.value), CASH, CASH_DECIMALS, "value", minimum=None
                )
                return inputs.SetBalance(ticket, account, CASH, value)
            case requests.CreateStock():
                return self._issue(request.value, account, ticket)
            case requests.AccountDeposit():
                return self._move(request.value, account, ticket, sign=1)
            case requests.AccountWithdraw():
                return self._move(request.value, account, ticket, sign=-1)
            case requests.DeleteAccount():
                return inputs.CloseAccount(ticket, account)
            case requests.AccountClose():
                return inputs.CloseAccount(ticket, read_owner(request.value.user_id, account))
            case requests.KeyCreate() | requests.KeyRotate() | requests.KeyRevoke():
                return self._change_key(request, account, ticket)
            case CreateOrder() | OrderCreate():
                raise AssertionError("the two hot verbs are translated before")
            case requests.CancelAfter() | requests.CancelOnDisconnect():
                raise AssertionError("the shell keeps the dead-man switch")
            case requests.ReadMarket() | requests.ReadOrders() | requests.CandlesGet():
                raise AssertionError("the shell gathers these in parts")
            case FeedSubscribe() | FeedUnsubscribe():
                raise AssertionError("the shell's feed takes these")
            case _:
                return inputs.Ask(ticket, _query(request, account))

    def _cancel_at_price(self, value: PlainOrder, account: AccountId, ticket: Ticket) -> Translated:
        symbol = read_symbol(_ticker(value.ticker, value.ticker_id, "ticker"))
        side = SIDES[_side(value)]
        price, quantity = bytes(value.price), bytes(value.quantity)
        if symbol not in self._listed:
            _unlisted(symbol, price, quantity)  # raises if there is more to say
            return not_listed(symbol, self._listed)
        ticks, lots = self._ticks(symbol, price), self._lots(symbol, quantity)
        return inputs.CancelAtPrice(ticket, account, symbol, side, ticks, lots)

    def _amend(self, value: requests.Amendment, account: AccountId, ticket: Ticket) -> Translated:
        order = self._order(value, account)
        price, quantity = (
            text if text != b"null" else b"" for text in (bytes(value.price), bytes(value.quantity))
        )
        if not price and not quantity:
            raise RefusedError("missing_field", "an amendment has a `price`, a `quantity` or both")
        return inputs.AmendOrder(
            ticket,
            account,
            order.order_id,
            self._ticks(order.symbol, price) if price else None,
            self._lots(order.symbol, quantity) if quantity else None,
        )

    def _issue(self, value: requests.StockValue, account: AccountId, ticket: Ticket) -> Translated:
        ticker = read_symbol(_ticker(value.ticker, value.ticker_id, "ticker_id"))
        if is_cash(ticker):
            raise RefusedError("invalid_symbol", f"{CASH} is cash: set it with `U balance`")
        return self._moved(ticker, bytes(value.quantity), account, ticket, sign=1)

    def _move(
        self, value: requests.Movement, account: AccountId, ticket: Ticket, *, sign: int
    ) -> Translated:
        owner = read_owner(value.user_id, account)
        moved = self._moved(
            read_symbol(value.asset), bytes(value.quantity), owner, ticket, sign=sign
        )
        if value.client_key and isinstance(moved, inputs.MoveFunds):
            return msgspec.structs.replace(moved, client_key=value.client_key)
        return moved

    def _moved(
        self, name: Symbol, number: bytes, owner: AccountId, ticket: Ticket, *, sign: int
    ) -> Translated:
        """Move an amount of the asset of this name, or of the base of this instrument."""
        listing = self._listed.get(name)
        asset = Asset(name)
        decimals = CASH_DECIMALS if is_cash(asset) else self._state.decimals.get(asset)
        if decimals is None and listing is not None:
            asset, decimals = listing.instrument.base, listing.instrument.base_decimals
        amount = read_amount(number, asset, decimals or 0, "quantity", minimum=1)
        if decimals is None:
            return NeedsListing(name) if sign > 0 else self.unlisted(name)
        return inputs.MoveFunds(ticket, owner, asset, Units(sign * amount))

    def _change_key(
        self,
        request: requests.KeyCreate | requests.KeyRotate | requests.KeyRevoke,
        account: AccountId,
        ticket: Ticket,
    ) -> Translated:
        owner = read_owner(request.value.user_id, account)
        if isinstance(request, requests.KeyRevoke):
            return inputs.RevokeKey(ticket, owner, request.value.key_id)
        key, key_hash = self._mint(owner)
        if isinstance(request, requests.KeyRotate):
            return inputs.RotateKey(ticket, owner, request.value.key_id, key, key_hash)
        scopes = sum(_SCOPES[scope] for scope in set(request.value.scopes))
        expires_in = request.value.expires_in or 0
        return inputs.CreateKey(ticket, owner, key, key_hash, scopes, expires_in)

    def _order_id(self, name: requests.OrderName, account: AccountId) -> OrderId:
        """Return the order that is meant, by its own id or by the client's."""
        if (name.order_id is None) == (name.client_order_id is None):
            raise RefusedError("missing_field", "name one of `order_id` and `client_order_id`")
        if name.order_id is not None:
            return read_order_id(name.order_id)
        key = self._state.client_keys.find((account, name.client_order_id or ""))
        if key is None:
            raise RefusedError("unknown_order", "the account has no order with this id")
        return key.order_id

    def _order(self, name: requests.OrderName, account: AccountId) -> Order:
        order = self._state.find_order(self._order_id(name, account))
        if order is None or order.account != account:
            raise RefusedError("unknown_order", "the account has no order with this id")
        return order

    def _newest_trades(self, value: requests.TradesFilter) -> inputs.TradesQuery:
        symbol = read_symbol(value.symbol)
        listing = self._listed.get(symbol)
        last = 0 if listing is None else listing.trade_seq
        return inputs.TradesQuery(symbol, Seq(max(1, last - value.limit + 1)), value.limit)

    def _read_ticks(self, symbol: Symbol, number: bytes) -> Ticks:
        return read_ticks(self._listed[symbol].instrument.rule, symbol, number)

    def _read_lots(self, symbol: Symbol, number: bytes) -> Lots:
        return read_lots(self._listed[symbol].instrument.rule, symbol, number)


def _query(
    request: requests.ReadBalance
    | requests.ReadStock
    | requests.OrderGet
    | requests.OrdersList
    | requests.FillsList
    | requests.AccountGet
    | requests.TransfersList
    | requests.KeyList
    | requests.BookGet
    | requests.TradesList
    | requests.NodeStatus
    | requests.NodeMetrics
    | requests.ReplicaList,
    account: AccountId,
) -> inputs.Query:
    match request:
        case requests.ReadBalance() | requests.ReadStock():
            return inputs.AccountQuery(account)
        case requests.OrderGet():
            return _order_query(request.value, account)
        case requests.OrdersList():
            return _orders_query(request.value, account)
        case requests.FillsList():
            return inputs.FillsQuery(account, Seq(request.value.from_seq), request.value.limit)
        case requests.AccountGet():
            return inputs.AccountQuery(read_owner(request.value.user_id, account))
        case requests.TransfersList():
            owner = read_owner(request.value.user_id, account)
            return inputs.TransfersQuery(owner, Seq(request.value.from_seq), request.value.limit)
        case requests.BookGet():
            return inputs.BookQuery(read_symbol(request.value.symbol), request.value.depth)
        case requests.TradesList():
            value = request.value
            return inputs.TradesQuery(read_symbol(value.symbol), Seq(value.from_seq), value.limit)
        case requests.KeyList():
            return inputs.KeysQuery(read_owner(request.value.user_id, account))
        case requests.NodeStatus() | requests.NodeMetrics():
            return inputs.StatusQuery()
        case requests.ReplicaList():
            asked = request.value
            return inputs.ReplicaQuery(NodeId(asked.node_id), asked.cursor, asked.limit)
        case _:
            assert_never(request)


def _order_query(name: requests.OrderName, account: AccountId) -> inputs.OrderQuery:
    if (name.order_id is None) == (name.client_order_id is None):
        raise RefusedError("missing_field", "name one of `order_id` and `client_order_id`")
    if name.order_id is not None:
        return inputs.OrderQuery(account, read_order_id(name.order_id))
    return inputs.OrderQuery(account, None, name.client_order_id or "")


def _orders_query(value: requests.OrdersFilter, account: AccountId) -> inputs.OrdersQuery:
    if value.status not in _IS_OPEN:
        detail = f"status {value.status} cannot be listed yet: use open, done or all"
        raise RefusedError("not_supported", detail)
    symbol = None if value.symbol is None else read_symbol(value.symbol)
    cursor = value.cursor or 0
    if isinstance(cursor, str):
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
            raise RefusedError("invalid_value", "`cursor` is the `next_cursor` of an answer")
        cursor = int(cursor)
    return inputs.OrdersQuery(account, _IS_OPEN[value.status], symbol, Seq(cursor), value.limit)


def _unlisted(symbol: str, price: bytes, quantity: bytes) -> NeedsListing:
    """Ask for a listing, unless the order would be refused whatever is listed (M2)."""
    listed = read_symbol(symbol)
    if is_cash(listed):
        raise RefusedError("invalid_symbol", f"{CASH} is what shares are traded for")
    rule = plain_ticker(listed).rule
    read_ticks(rule, listed, price)
    read_lots(rule, listed, quantity)
    return NeedsListing(listed)


def _ticker(ticker: str | None, ticker_id: str | None, name: str) -> str:
    if ticker is not None and ticker_id is not None and ticker != ticker_id:
        raise RefusedError("invalid_value", "`ticker` and `ticker_id` contradict")
    return ticker or ticker_id or _no_field(name)


def _side(value: PlainOrder) -> str:
    names = {name for name in (value.order_type, value.side, value.type) if name is not None}
    if len(names) > 1:
        raise RefusedError("invalid_value", "`order_type`, `side` and `type` contradict")
    return names.pop() if names else _no_field("order_type")


def _no_field(name: str) -> str:
    raise RefusedError("missing_field", f"Object missing required field `{name}` - at `$.value`")


def _not_built(value: requests.NewOrder) -> RefusedError:
    """Name the value of section 2 that has to wait."""
    if value.type != "limit":
        named, instead = f"type {value.type}", "limit"
    elif value.post_only:
        named, instead = "post_only", "false"
    elif value.time_in_force not in _TIMES_IN_FORCE:
        named, instead = f"time_in_force {value.time_in_force}", ", ".join(_TIMES_IN_FORCE)
    else:
        named = f"self_trade_prevention {value.self_trade_prevention}"
        instead = ", ".join(_SELF_TRADES)
    return RefusedError("not_supported", f"{named} is not built yet; there is {instead}")
