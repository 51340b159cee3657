"""The ASGI application: Litestar routes each request to its resource, problems come back.

    head read -> key, path, query -> body, within BODY_S and its size -> budget -> handler -> reply

Whatever goes wrong ends as a problem (RFC 9457); a trace goes to the operator, never out.
"""

import re
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import trio
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException, InternalServerException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ControllerRouterHandler

from exchange.client.errors import BadAnswer, ClientError
from exchange.gateway.limits import PENALTY_S, RequestGuard
from exchange.gateway.nodes import Nodes
from exchange.gateway.problems import (
    CONTENT_TYPE,
    RETRY_AFTER_S,
    Problem,
    ProblemError,
    encode_problem,
    internal_problem,
    problem_of,
    refuse,
)
from exchange.gateway.resources import JSON, Call, Reply, Resource, decode_query
from exchange.process.logs import Event

BASE = "/v1"
BODY_S = 10.0  # for a whole body, however slowly it drips
BODY_SIZE = 1 << 20  # bytes: a list of 1,000 orders, and room
_BEARER = re.compile(r"\ABearer +([A-Za-z0-9._~+/=-]{1,256})\Z", re.ASCII | re.IGNORECASE)
_BLANKS = bytes.maketrans(b"\r\n", b"  ")
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
HttpRequest = Request[Any, Any, Any]


def make_application(
    nodes: Nodes,
    resources: Sequence[Resource],
    *,
    more: Sequence[ControllerRouterHandler] = (),
    tell: Callable[[str], None],
    guard: RequestGuard,
    answered: Counter[int],
) -> Litestar:
    """Return the application; it counts its answers by status."""

    def on_error(_request: HttpRequest, error: Exception) -> Response[bytes]:
        response = _problem_response(_problem(error, tell))
        answered[response.status_code or 0] += 1
        if isinstance(error, HTTPException):
            for name, value in (error.headers or {}).items():  # `Allow`
                response.set_header(name, value)
        return response

    handlers: list[ControllerRouterHandler] = []
    for resource in resources:
        paths = [BASE + resource.path, resource.path][: 1 + resource.is_at_root]
        handlers.append(_route(paths, resource, nodes, guard, answered))
    return Litestar(
        [*handlers, *more],
        openapi_config=None,
        logging_config=None,
        exception_handlers={Exception: on_error, HTTPException: on_error},
        request_max_body_size=None,  # read and bounded here, with a deadline
        debug=False,
        pdb_on_exception=False,
    )


def _route(
    paths: list[str],
    resource: Resource,
    nodes: Nodes,
    guard: RequestGuard,
    answered: Counter[int],
) -> HTTPRouteHandler:
    is_cancel = resource.method == "DELETE" and resource.path.startswith("/orders")

    async def handle(request: HttpRequest) -> Response[bytes]:
        query = decode_query(request.scope["query_string"], resource.query)
        path = {name: str(value) for name, value in request.path_params.items()}
        body = await _read_body(request) if resource.body is not None else b""
        key = bearer(request.headers.get("authorization", ""))
        host = request.client.host if request.client is not None else ""
        if not guard.take(key, host, is_cancel=is_cancel):
            await trio.sleep(PENALTY_S)
            raise refuse(429, "rate_limited", "too many requests; try again in a second")
        try:
            reply = await resource.handler(Call(nodes, key, path, query, body))
        except (ProblemError, ClientError) as error:
            if _problem_status(error) == 401:
                guard.learn(key, is_good=False)
            raise
        if resource.access != "public":
            guard.learn(key, is_good=True)
        answered[reply.status] += 1
        return _response(reply)

    handle.__name__ = resource.handler.__name__
    path = [re.sub(r"\{(\w+)\}", r"{\1:str}", each) for each in paths]
    return HTTPRouteHandler(
        path, http_method=resource.method, status_code=resource.status, media_type=JSON
    )(handle)


def _problem_status(error: ProblemError | ClientError) -> int:
    return error.problem.status if isinstance(error, ProblemError) else problem_of(error).status


def bearer(header: str) -> str:
    """Return the key of an Authorization header, empty without one; 401 for another scheme."""
    if not header:
        return ""
    match = _BEARER.match(header)
    if match is None:
        raise refuse(401, "unauthorized", "send `Authorization: Bearer <key>`")
    return match[1]


async def _read_body(request: HttpRequest) -> bytes:
    """Read a body within its bounds: 408, 413, 415."""
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if kind != JSON and not kind.endswith("+json"):
        raise refuse(415, "unsupported_media_type", "send application/json")
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > BODY_SIZE:
        raise _too_large()
    parts, size = [], 0
    with trio.move_on_after(BODY_S) as deadline:
        try:
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > BODY_SIZE:
                    raise _too_large()
        except InternalServerException as error:  # Litestar's word for it
            raise refuse(400, "malformed_request", "the body ended before its length") from error
    if deadline.cancelled_caught:
        raise refuse(408, "too_slow", f"send the body within {BODY_S:g} s")
    return one_line(b"".join(parts))


def one_line(body: bytes) -> bytes:
    """Return a body that can travel inside a line of the connection that all users share.

    Values go to the node as they were sent.  A line break between two of them would end the
    line and begin a request of the sender's making, and bytes that are not UTF-8 would end
    the connection: 400.  Inside strings JSON has no line breaks, so blanks mean the same.
    """
    try:
        body.decode()
    except UnicodeDecodeError:
        raise refuse(400, "malformed_json", "the body is not UTF-8") from None
    return body.translate(_BLANKS)


def _too_large() -> ProblemError:
    return refuse(413, "body_too_large", f"a body is at most {BODY_SIZE} bytes")


def _response(reply: Reply) -> Response[bytes]:
    return Response(
        reply.body,
        status_code=reply.status,
        headers=_HEADERS | reply.headers,
        media_type=reply.content_type,
    )


def _problem(error: Exception, tell: Callable[[str], None]) -> Problem:
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _of_routing(error)
    if isinstance(error, ClientError) and not isinstance(error, BadAnswer):
        return problem_of(error)
    told = "".join(traceback.format_exception(error))
    tell(Event("request_failed", f"a request failed: {error!r}", traceback=told))
    return internal_problem()


def _of_routing(error: HTTPException) -> Problem:
    """Tell in our words what Litestar found; its own may echo what was sent."""
    told = {
        404: ("not_found", "there is nothing at this path"),
        405: ("method_not_allowed", "this path does not know this method"),
    }
    code, detail = told.get(error.status_code, ("malformed_request", "not a good request"))
    return Problem.of(error.status_code, code, detail)


def _problem_response(problem: Problem) -> Response[bytes]:
    headers = dict(_HEADERS)
    if problem.status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="exchange"'
    if problem.status in (408, 413):
        headers["Connection"] = "close"
    return Response(
        encode_problem(problem),
        status_code=problem.status,
        headers=headers,
        media_type=CONTENT_TYPE,
    )
