"""From the table of resources to the paths of a server, and from a request to its handler.

request -> query, one line of a body, Idempotency-Key -> handler -> reply, or a problem
"""

from collections.abc import Sequence

from exchange.client.errors import BadAnswer, ClientError
from exchange.domain.names import CLIENT_ORDER_ID_WORDS, is_client_order_id
from exchange.gateway.http.messages import Endpoint, Reply, Request
from exchange.gateway.http.problems import ProblemError, refuse
from exchange.gateway.http.router import Router
from exchange.gateway.nodes import Nodes
from exchange.gateway.resources.refusals import problem_of
from exchange.gateway.resources.resource import Call, Resource, decode_query

BASE = "/v1"
IDEMPOTENCY_KEY = "idempotency-key"
_BLANKS = bytes.maketrans(b"\r\n", b"  ")


def make_router(nodes: Nodes, resources: Sequence[Resource]) -> Router:
    """Return the paths of all resources."""
    router = Router()
    for resource in resources:
        endpoint = _endpoint(nodes, resource)
        router.add(resource.method, BASE + resource.path, endpoint)
        if resource.is_at_root:
            router.add(resource.method, resource.path, endpoint)
    return router


def _endpoint(nodes: Nodes, resource: Resource) -> Endpoint:
    async def answer(request: Request) -> Reply:
        call = Call(
            nodes,
            request.key,
            request.path,
            decode_query(request.head.query, resource.query),
            one_line(request.body),
            idempotency_key(request, resource),
        )
        try:
            return await resource.handler(call)
        except BadAnswer:
            raise  # a bug of ours or of the node: the operator gets the trace
        except ClientError as error:
            raise ProblemError(problem_of(error)) from error

    return Endpoint(
        answer,
        takes_body=resource.body is not None,
        price=resource.price,
        is_cancel=resource.is_cancel,
        is_guarded=resource.access != "public",
    )


def idempotency_key(request: Request, resource: Resource) -> str | None:
    """Return the Idempotency-Key of a request; 422 where it would not be honoured.

    Reads are the same twice without one, and so is its absence.
    """
    given = request.head.headers.get(IDEMPOTENCY_KEY)
    if given is None or resource.method == "GET":
        return None
    if not resource.is_idempotent_by_key:
        told = "an Idempotency-Key is not honoured here; what this does twice, it does twice"
        raise refuse(422, "not_supported", told)
    key = given.removeprefix('"').removesuffix('"')  # as in RFC 8941, or as it is
    if not is_client_order_id(key):
        raise refuse(400, "invalid_value", f"an Idempotency-Key is {CLIENT_ORDER_ID_WORDS}")
    return key


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
