"""Orders over HTTP: one or a list in a request, by either id, and what became of them.

The value of an order goes to the node as it came, numbers untouched: the node alone decides.
An order without a client order id gets one here, so that it can be sent again when a node
restarts between the order and its answer (C7, faults 2.15).
"""

import secrets
from typing import Any

import msgspec

from exchange.client.connection import Repeat, Request
from exchange.client.errors import ClientError
from exchange.client.link import Answer
from exchange.gateway.http.messages import Reply
from exchange.gateway.http.problems import Problem, ProblemError, encode_problem, refuse
from exchange.gateway.resources import schema
from exchange.gateway.resources.refusals import of_refusal, of_validation, problem_of
from exchange.gateway.resources.resource import Call, Resource, value_reply

CLIENT_ORDER_ID_BYTES = 9  # 72 random bits a request: no two in the life of an account
REJECTED = b'"status":"rejected"'
REPLAYED = {"Idempotent-Replayed": "true"}
_ORDER: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ORDERS: msgspec.json.Decoder[list[dict[str, msgspec.Raw]]] = msgspec.json.Decoder(
    list[dict[str, msgspec.Raw]]
)


class _Rejected(msgspec.Struct, frozen=True):
    status: str
    reason: str | None = None


async def place(call: Call) -> Reply:
    """Place one order or a list of them."""
    is_list = call.body.lstrip()[:1] == b"["
    try:
        values = _ORDERS.decode(call.body) if is_list else [_ORDER.decode(call.body)]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProblemError(of_validation(error, dict)) from error
    if not 0 < len(values) <= schema.ORDERS_MAX:
        raise refuse(400, "invalid_value", f"send 1 to {schema.ORDERS_MAX} orders", "")
    token = secrets.token_urlsafe(CLIENT_ORDER_ID_BYTES)
    if call.idempotency_key is not None:
        if is_list:
            told = "a list has no Idempotency-Key: give each order a client_order_id"
            raise refuse(422, "not_supported", told)
        _name(values[0], call.idempotency_key)
    requests = [_request(value, call.key, f"{token}-{place}") for place, value in enumerate(values)]
    node_id = await call.node_id()
    if not is_list:
        return await _place_one(call, node_id, requests[0])
    symbols = {_text(value.get("symbol")) for value in values}
    answers = await call.nodes.ask_all(node_id, requests, symbols)
    return _list_reply(answers)


async def _place_one(call: Call, node_id: int, request: Request) -> Reply:
    answer = await call.nodes.ask(node_id, request, symbol=_text(request.value.get("symbol")))
    problem = _rejection(answer)
    if problem is not None:
        raise ProblemError(problem)
    headers = {"Exchange-Lsn": str(answer.lsn)}
    if answer.visible >= 0:  # it was waited for
        headers["Exchange-Visible"] = str(answer.visible)
    if answer.is_replayed:
        return Reply(bytes(answer.value), 200, headers | REPLAYED)
    return Reply(bytes(answer.value), 201, headers)


def _list_reply(answers: list[Answer | ClientError]) -> Reply:
    """Tell each order's outcome in its place; the status is that of all, else 207."""
    statuses, parts = set(), []
    for place, answer in enumerate(answers):
        if isinstance(answer, Answer):
            problem = _rejection(answer)
        else:
            problem = problem_of(answer, prefix=f"/{place}")
        if problem is not None:
            statuses.add(problem.status)
            parts.append(encode_problem(problem))
        else:
            assert isinstance(answer, Answer), "no problem, so an answer"
            statuses.add(200 if answer.is_replayed else 201)
            parts.append(bytes(answer.value))
    body = b'{"orders":[%b]}' % b",".join(parts)
    if statuses == {201}:
        return Reply(body, 201)
    if statuses == {200}:
        return Reply(body, 200, REPLAYED)
    return Reply(body, 207)


async def list_orders(call: Call) -> Reply:
    """List the account's orders."""
    given = msgspec.structs.asdict(call.query)
    value = {name: given[name] for name in given if given[name] is not None}
    return value_reply(await call.ask("orders.list", value))


async def get(call: Call) -> Reply:
    """Return an order by either id."""
    return value_reply(await call.ask("order.get", call.path))


async def cancel(call: Call) -> Reply:
    """Cancel an order by either id; one that is done is answered as it is."""
    return value_reply(await call.ask("order.cancel", call.path, repeat=Repeat.SAFE))


async def cancel_all(call: Call) -> Reply:
    """Cancel all open orders, or those of one symbol."""
    symbol = call.query.symbol
    value = {} if symbol is None else {"symbol": symbol}
    return value_reply(await call.ask("order.cancel_all", value, repeat=Repeat.SAFE))


async def amend(call: Call) -> Reply:
    """Give an order another price, another total, or both."""
    value = call.decode(dict[str, msgspec.Raw])
    if "order_id" in value or "client_order_id" in value:
        raise refuse(400, "unknown_field", "the path names the order", "/order_id")
    terms: dict[str, Any] = {
        name: number for name, number in value.items() if bytes(number) != b"null"
    }
    return value_reply(await call.ask("order.amend", terms | call.path, repeat=Repeat.SAFE))


def _name(value: dict[str, msgspec.Raw], key: str) -> None:
    """Make an Idempotency-Key the client order id; 400 if there is another one."""
    given = value.get("client_order_id")
    if given is not None and bytes(given) != b"null" and _text(given) != key:
        told = "the Idempotency-Key and the client_order_id differ"
        raise refuse(400, "invalid_value", told, "/client_order_id")
    value["client_order_id"] = msgspec.Raw(msgspec.json.encode(key))


def _request(value: dict[str, msgspec.Raw], key: str, new_name: str) -> Request:
    """Return the node's request; where there is no client order id it gets the new one."""
    given = value.get("client_order_id")
    name: str | None = None
    if given is None or bytes(given) == b"null":
        name = new_name
        value["client_order_id"] = msgspec.Raw(b'"%b"' % name.encode())
    return Request("order.create", value, Repeat.SAFE, key, None, name)


def _rejection(answer: Answer) -> Problem | None:
    """Return the problem of an order that a rule refused."""
    if REJECTED not in bytes(answer.value):
        return None
    read = msgspec.json.decode(answer.value, type=_Rejected)
    if read.status != "rejected":
        return None
    problem = of_refusal(read.reason or "rejected", "a rule of the market refuses the order")
    return msgspec.structs.replace(problem, order=answer.value)


def _text(raw: msgspec.Raw | None) -> str:
    """Return a JSON string, empty if it is none: the node will say so."""
    try:
        return "" if raw is None else msgspec.json.decode(raw, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


RESOURCES = [
    Resource(
        "POST",
        "/orders",
        place,
        "Place one order, or a list of them. A repeated client order id is answered with 200.",
        (schema.Order, schema.Placed),
        access="trade",
        body=(schema.NewOrder, list[schema.NewOrder]),
        is_idempotent_by_key=True,
        status=201,
        also=(200, 207),
        problems=(404, 409, 422),
    ),
    Resource(
        "GET",
        "/orders",
        list_orders,
        "List orders, oldest first.",
        schema.Orders,
        access="read",
        query=schema.OrdersQuery,
    ),
    Resource(
        "DELETE",
        "/orders",
        cancel_all,
        "Cancel all open orders, or those of one symbol.",
        schema.Canceled,
        access="trade",
        query=schema.SymbolQuery,
        problems=(404,),
        is_cancel=True,
    ),
    Resource(
        "GET",
        "/orders/{order_id}",
        get,
        "Return an order.",
        schema.Order,
        access="read",
        problems=(404,),
    ),
    Resource(
        "DELETE",
        "/orders/{order_id}",
        cancel,
        "Cancel an order.",
        schema.CanceledOrder,
        access="trade",
        problems=(404,),
        is_cancel=True,
    ),
    Resource(
        "PATCH",
        "/orders/{order_id}",
        amend,
        "Give an order another price, another total, or both.",
        schema.Order,
        access="trade",
        body=schema.Amendment,
        problems=(404, 422),
    ),
    Resource(
        "GET",
        "/orders/client/{client_order_id}",
        get,
        "Return an order by its client order id.",
        schema.Order,
        access="read",
        problems=(404,),
    ),
    Resource(
        "DELETE",
        "/orders/client/{client_order_id}",
        cancel,
        "Cancel an order by its client order id.",
        schema.CanceledOrder,
        access="trade",
        problems=(404,),
        is_cancel=True,
    ),
    Resource(
        "PATCH",
        "/orders/client/{client_order_id}",
        amend,
        "Give an order that is named by its client order id another price, another total, or both.",
        schema.Order,
        access="trade",
        body=schema.Amendment,
        problems=(404, 422),
    ),
]
