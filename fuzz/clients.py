"""Clients: they ask, wait, ask again, and write down what they were told.

An outcome is `ok`, `refused` or `unknown`, and an unknown one stays unknown: a request that
was never answered may have happened or not, and no checker may decide it (issue: history).
Only what is idempotent is asked again: an order under its client order id, a cancel, a
question.  A client that was refused for a passing reason comes again later.
"""

from typing import TYPE_CHECKING

from exchange.domain.orders import SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    AccountId,
    Asset,
    Lots,
    OrderId,
    Seq,
    Symbol,
    Ticks,
    Units,
    make_id,
)
from exchange.engine.effects import (
    Answer,
    AnswerBody,
    OrderAnswer,
    Refused,
)
from exchange.engine.inputs import (
    AccountQuery,
    AmendOrder,
    Ask,
    BookQuery,
    CancelAll,
    CancelAtPrice,
    CancelOrder,
    CloseAccount,
    FillsQuery,
    Input,
    ListInstrument,
    MoveFunds,
    OpenAccount,
    OrderQuery,
    OrdersQuery,
    PlaceOrder,
    Query,
    SetBalance,
    SetKey,
    SetSwitch,
    StatusQuery,
    TradesQuery,
    TransfersQuery,
)
from fuzz.plan import Operation
from fuzz.process import Process
from fuzz.violation import Violation

if TYPE_CHECKING:
    from fuzz.cluster import Cluster

PASSING = frozenset({"not_ready", "draining", "storage_full"})
REPEATABLE = frozenset(
    [
        "again",
        "open",
        "cancel",
        "amend",
        "cancel_all",
        "get",
        "account",
        "orders",
        "fills",
        "transfers",
        "book",
        "trades",
        "status",
    ]
)
TRIES_MAX = 200
UNASKED = -1  # the ticket of what the shell asks for itself


class Call:
    """One thing a client wants, and what became of it."""

    def __init__(self, index: int, operation: Operation, account: AccountId) -> None:
        self.index = index
        self.operation = operation
        self.account = account
        self.tries = 0
        self.sent_us = -1  # when it first left the client
        self.is_over = False
        self.outcome = "unknown"  # ok, refused, unknown
        self.body: AnswerBody | None = None  # the first answer that counts
        self.order_id: OrderId | None = None  # of a placed order, once known

    @property
    def is_repeatable(self) -> bool:
        """Tell whether asking twice does no harm."""
        operation = self.operation
        is_keyed = operation.kind == "place" and operation.is_keyed
        return is_keyed or operation.kind in REPEATABLE or bool(self.transfer_key)

    @property
    def key(self) -> str:
        """Return the client order id of a placed order."""
        return f"c{self.index}" if self.operation.is_keyed else ""

    @property
    def transfer_key(self) -> str:
        """Return the client's key of a transfer: every second one has one."""
        return f"m{self.index}" if self.operation.kind == "move" and self.index % 2 else ""


class Ticket:
    """One request on its way: which call, in which process."""

    __slots__ = ("call", "is_lookup", "number")

    def __init__(self, number: int, call: Call, *, is_lookup: bool) -> None:
        self.number = number
        self.call = call
        self.is_lookup = is_lookup


class Clients:
    """All clients of a run."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._random = cluster.random
        self._plan = cluster.plan
        self._tickets: dict[int, Ticket] = {}
        self._last = 0
        self.calls: list[Call] = []
        self.open_calls = 0

    def add(self, operation: Operation) -> Call:
        """Plan one operation at its time."""
        call = Call(len(self.calls), operation, self._cluster.account(operation))
        self.calls.append(call)
        self.open_calls += 1
        wait_us = max(0, operation.at_us - self._cluster.now_us)
        self._cluster.at(wait_us, self._submit, call)
        return call

    def answer(self, process: Process, answer: Answer) -> None:
        """Carry an answer from a node to its client; it may leave a node that then dies."""
        if answer.ticket == UNASKED:
            return
        ticket = self._tickets.pop(answer.ticket, None)
        if ticket is None:
            raise Violation("answers", f"ticket {answer.ticket} is answered twice, or unasked")
        self._cluster.hearing.answering(process, ticket.call, answer.body)
        self._cluster.at(self._delay(), self._arrived, ticket, answer.body)

    def _delay(self) -> int:
        return int(self._random.expovariate(1 / self._plan.client_us))

    def _submit(self, call: Call) -> None:
        if call.is_over:
            return
        call.tries += 1
        process = self._cluster.machines[call.operation.node].process
        if process is not None:
            self._list_first(process, call)
        item, is_lookup = self._request(call)
        if process is not None and item is not None:
            if call.sent_us < 0 and not is_lookup:
                call.sent_us = self._cluster.now_us
            self._cluster.at(self._delay(), self._reached, process, item, call, is_lookup)
        if call.tries > TRIES_MAX:
            raise Violation("liveness", f"call {call.index} was asked {call.tries} times")
        wait_us = int(self._plan.patience_us * self._random.uniform(0.7, 1.5))
        self._cluster.at(wait_us, self._expired, call, call.tries, process is not None)

    def _list_first(self, process: Process, call: Call) -> None:
        """List what an order is the first one of, as the shell does before it asks the engine."""
        instrument = self._cluster.instruments[call.operation.symbol]
        is_first = instrument.symbol not in process.engine.state.instruments
        if is_first and call.operation.kind in ("place", "move", "set_balance"):
            process.feed(ListInstrument(UNASKED, instrument))

    def _reached(self, process: Process, item: Input, call: Call, is_lookup: bool) -> None:
        if process.is_alive:
            self._last += 1
            self._tickets[self._last] = Ticket(self._last, call, is_lookup=is_lookup)
            self._cluster.hearing.asked(process, call, item)
            process.feed(_with_ticket(item, self._last))

    def _expired(self, call: Call, tries: int, was_sent: bool) -> None:
        """Ask again what may be asked again; the rest stays unknown, and is over."""
        if call.is_over or call.tries != tries:
            return
        if call.is_repeatable or not was_sent or call.sent_us < 0:
            self._submit(call)
        else:
            self._end(call, "unknown")

    def _arrived(self, ticket: Ticket, body: AnswerBody) -> None:
        call = ticket.call
        if isinstance(body, OrderAnswer) and call.operation.kind == "place":
            call.order_id = body.order_id
        if ticket.is_lookup:
            target = self.calls[call.operation.target]
            if isinstance(body, OrderAnswer):
                target.order_id = body.order_id
                if not call.is_over:
                    self._submit(call)
            return
        self._cluster.hearing.told(call, body, ticket.number)
        if call.is_over:
            return
        if isinstance(body, Refused):
            if body.code in PASSING and call.is_repeatable:
                return  # comes again when its patience ends
            call.body = body
            self._end(call, "refused")
            return
        call.body = body
        self._end(call, "ok")

    def _end(self, call: Call, outcome: str) -> None:
        if not call.is_over:
            call.is_over = True
            call.outcome = outcome
            self.open_calls -= 1

    def _request(self, call: Call) -> tuple[Input | None, bool]:
        """Make the request; if an order id is missing, the question for it (and True)."""
        operation = call.operation
        if operation.kind in ("cancel", "amend", "get"):
            target = self.calls[operation.target]
            if target.order_id is None:
                if not target.key or (target.is_over and target.outcome != "ok"):
                    self._end(call, "unknown")
                    return None, False
                return Ask(0, OrderQuery(call.account, None, target.key)), True
        return _REQUESTS[operation.kind](self._cluster, self.calls, call), False


def _with_ticket(item: Input, ticket: int) -> Input:
    """Copy a request, with the ticket that its answer will carry."""
    copy = item.__class__
    fields = {name: getattr(item, name) for name in item.__struct_fields__}
    fields["ticket"] = ticket
    return copy(**fields)


def _place(cluster: "Cluster", calls: list[Call], call: Call) -> Input:
    operation = call.operation
    if operation.kind == "again":  # the same client order id once more, after all
        call = calls[operation.target]
        operation = call.operation
    return PlaceOrder(
        0,
        call.account,
        cluster.symbol(operation),
        Side.BUY if operation.is_buy else Side.SELL,
        Ticks(operation.price),
        Lots(operation.quantity),
        TimeInForce.IOC if operation.is_ioc else TimeInForce.GTC,
        SelfTrade(operation.self_trade),
        call.key,
        operation.is_wait_done,
    )


def _cancel(_cluster: "Cluster", calls: list[Call], call: Call) -> Input:
    return CancelOrder(0, call.account, _target(calls, call))


def _amend(_cluster: "Cluster", calls: list[Call], call: Call) -> Input:
    price, quantity = Ticks(call.operation.price), Lots(call.operation.quantity)
    return AmendOrder(0, call.account, _target(calls, call), price, quantity)


def _target(calls: list[Call], call: Call) -> OrderId:
    order_id = calls[call.operation.target].order_id
    assert order_id is not None, "looked up before"
    return order_id


def _cancel_at_price(cluster: "Cluster", _calls: list[Call], call: Call) -> Input:
    operation = call.operation
    side = Side.BUY if operation.is_buy else Side.SELL
    price, quantity = Ticks(operation.price), Lots(operation.quantity)
    return CancelAtPrice(0, call.account, cluster.symbol(operation), side, price, quantity)


def _cancel_all(cluster: "Cluster", _calls: list[Call], call: Call) -> Input:
    symbol = cluster.symbol(call.operation) if call.operation.is_buy else None
    return CancelAll(0, call.account, symbol)


def _move(cluster: "Cluster", _calls: list[Call], call: Call) -> Input:
    asset, amount = moved(cluster, call)
    return MoveFunds(0, call.account, asset, amount, call.transfer_key)


def moved(cluster: "Cluster", call: Call) -> tuple[Asset, Units]:
    """Return what a `move` moves; amounts are unique, so that the log can be searched."""
    operation = call.operation
    sign = 1 if operation.amount > 0 else -1
    if operation.is_buy:
        return cluster.cash(operation), Units(operation.amount + sign * (call.index + 1))
    amount = 1 + call.index
    if amount >= cluster.plan.shares:  # which is what every account got at the beginning
        amount += 1
    return cluster.shares(operation), Units(sign * amount)


def _set_balance(cluster: "Cluster", _calls: list[Call], call: Call) -> Input:
    value = Units(abs(call.operation.amount) * 2)
    return SetBalance(0, call.account, cluster.cash(call.operation), value)


def _close(_cluster: "Cluster", _calls: list[Call], call: Call) -> Input:
    return CloseAccount(0, call.account)


def _open(_cluster: "Cluster", _calls: list[Call], call: Call) -> Input:
    number = 1_000 + call.index
    return OpenAccount(0, AccountId(make_id(call.operation.node, number)), b"")


def _key(_cluster: "Cluster", _calls: list[Call], call: Call) -> Input:
    if call.index % 3:
        return SetKey(0, call.account, call.index.to_bytes(4, "big"))
    after, is_watched = (
        ((call.index % 4) * 5, None) if call.index % 2 else (None, call.index % 4 > 0)
    )
    return SetSwitch(0, call.account, after, is_watched)


def _query(cluster: "Cluster", calls: list[Call], call: Call) -> Input:
    return Ask(0, _question(cluster, calls, call))


def _question(cluster: "Cluster", calls: list[Call], call: Call) -> Query:
    operation, account = call.operation, call.account
    symbol: Symbol = cluster.symbol(operation)
    match operation.kind:
        case "get":
            return OrderQuery(account, _target(calls, call))
        case "account":
            return AccountQuery(account)
        case "orders":
            is_open = None if operation.quantity > 6 else operation.is_buy
            return OrdersQuery(account, is_open, None, Seq(1), 1 + operation.quantity)
        case "fills":
            return FillsQuery(account, Seq(1), 1 + operation.quantity)
        case "transfers":
            return TransfersQuery(account, Seq(1), 1 + operation.quantity)
        case "book":
            return BookQuery(symbol if operation.is_buy else None, 10)
        case "trades":
            return TradesQuery(symbol, Seq(1), 1 + operation.quantity)
        case _:
            return StatusQuery()


_REQUESTS = {
    "place": _place,
    "again": _place,
    "cancel": _cancel,
    "amend": _amend,
    "cancel_at_price": _cancel_at_price,
    "cancel_all": _cancel_all,
    "move": _move,
    "set_balance": _set_balance,
    "close": _close,
    "key": _key,
    "open": _open,
    **dict.fromkeys(
        ("get", "account", "orders", "fills", "transfers", "book", "trades", "status"), _query
    ),
}
