"""Refusals of nodes and decoders as problems: which status a code has, where in the body it was.

status | codes
-------+------------------------------------------------------------------------------
400    | what is malformed, whatever the state of the market
401    | no key, or not a good one
403    | a good key that does not allow this
404    | there is no such thing
409    | the same client order id with another body; a name that is taken; not empty
422    | a rule of the market refuses it: funds, tick, lot, what is not built
429    | too much; Retry-After
503    | not now, or the outcome is not known: repeat it; Retry-After

A node speaks of its verbs; who came by HTTP is told the requests of HTTP.
"""

import re
from typing import Any

import msgspec

from exchange.client.errors import BadAnswer, ClientError, OutcomeUnknown, Refused, Unreachable
from exchange.gateway.http.problems import FieldError, Problem, internal_problem
from exchange.wire.choices import with_choices

_STATUS = {
    "malformed_json": 400,
    "malformed_request": 400,
    "invalid_value": 400,
    "invalid_symbol": 400,
    "missing_field": 400,
    "unknown_field": 400,
    "unknown_verb": 400,
    "line_too_long": 413,
    "unauthorized": 401,
    "no_account": 401,
    "forbidden": 403,
    "unknown_account": 404,
    "unknown_order": 404,
    "unknown_instrument": 404,
    "duplicate_client_order_id": 409,
    "duplicate_client_key": 409,
    "already_listed": 409,
    "not_empty": 409,
    "rate_limited": 429,
    "too_many_requests": 429,
    "not_ready": 503,
    "refused_by_peers": 503,
    "draining": 503,
    "unavailable": 503,
    "storage_full": 503,
}
RULE = 422  # of all other codes: the market says no
_PLACE = re.compile(r" - at `\$\.?(.*?)`\Z", re.DOTALL)
_FIELD = re.compile(r"(?:required|unknown) field `([^`]*)`")
_NAMED = re.compile(r"\A(?:invalid|missing)_(price|quantity|symbol)\Z")
# What the verbs of a node and a coordinator are over HTTP.
HTTP_WORDS = {
    "order.create": "POST /v1/orders",
    "order.cancel_all": "DELETE /v1/orders",
    "order.cancel": "DELETE /v1/orders/{order_id}",
    "order.amend": "PATCH /v1/orders/{order_id}",
    "order.get": "GET /v1/orders/{order_id}",
    "orders.list": "GET /v1/orders",
    "fills.list": "GET /v1/fills",
    "account.get": "GET /v1/account",
    "account.create": "POST /v1/account",
    "account.close": "DELETE /v1/account",
    "account.deposit": "POST /v1/transfers",
    "account.withdraw": "POST /v1/transfers",
    "transfers.list": "GET /v1/transfers",
    "instrument.create": "POST /v1/symbols",
    "instrument.list": "GET /v1/symbols",
    "book.get": "GET /v1/book/{symbol}",
    "trades.list": "GET /v1/trades/{symbol}",
    "candles.get": "GET /v1/candles/{symbol}",
    "node.status": "GET /v1/status",
    "node.metrics": "GET /metrics",
}
_VERB = re.compile(
    r"`?\b(" + "|".join(map(re.escape, sorted(HTTP_WORDS, key=len, reverse=True))) + r")\b`?"
)


def problem_of(error: ClientError, *, prefix: str = "") -> Problem:
    """Return how a failed request to a node is told; `prefix` is where its value stood."""
    match error:
        case Refused():
            return of_refusal(error.code, error.detail, prefix)
        case Unreachable():
            return Problem.of(503, "unavailable", "the node of this account is not there just now")
        case OutcomeUnknown():
            detail = "it may have happened or not; repeat it with the same client_order_id"
            return Problem.of(503, "outcome_unknown", detail)
        case BadAnswer():
            return internal_problem()
        case _:
            return internal_problem()


def of_refusal(code: str, detail: str, prefix: str = "") -> Problem:
    """Return the problem of a node's refusal, with a pointer where it names a place."""
    status = _STATUS.get(code, RULE)
    place = _PLACE.search(detail)
    told = _PLACE.sub("", detail)
    pointer = _pointer(code, place[1] if place else None, told)
    told = in_http_words(told)
    errors = [] if pointer is None else [FieldError(prefix + pointer, told)]
    return Problem.of(status, code, told, errors)


def in_http_words(detail: str) -> str:
    """Return a detail with the requests of HTTP where it names verbs."""
    return _VERB.sub(lambda match: f"`{HTTP_WORDS[match[1]]}`", detail)


def of_validation(error: Exception, kind: Any) -> Problem:  # noqa: ANN401 - a type
    """Return the problem of a body or query that does not decode as it should."""
    if not isinstance(error, msgspec.ValidationError):
        told = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        if isinstance(error, UnicodeDecodeError):
            told = "not UTF-8"
        return Problem.of(400, "malformed_json", told, [FieldError("", told)])
    told = with_choices(str(error), kind)
    code = "invalid_value"
    if "missing required field" in told:
        code = "missing_field"
    elif "unknown field" in told:
        code = "unknown_field"
    return of_refusal(code, told)


def _pointer(code: str, place: str | None, told: str) -> str | None:
    """Turn the decoder's place (`value.price`, `[3].symbol`) into a pointer."""
    field = _FIELD.search(told)
    named = _NAMED.match(code)
    if place is None and field is None and named is None:
        return None
    path = re.sub(r"\Avalue\.?", "", place or "")
    if path == "key" or path.startswith("..."):
        path = ""
    parts = [part for part in re.split(r"[.\[\]]+", path) if part]
    if field is not None:
        parts.append(field[1])
    elif place is None and named is not None:
        parts.append(named[1])
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
