"""Paths are matched by decoded segments; what is not there, or not so, is told alike."""

import pytest

from exchange.gateway.http.messages import Endpoint, Reply, Request, Upgrade
from exchange.gateway.http.problems import ProblemError
from exchange.gateway.http.router import Router


async def answer(request: Request) -> Reply:
    raise AssertionError(request)


async def talk(request: Request, socket: object) -> None:
    raise AssertionError(request, socket)


def a_router() -> Router:
    router = Router()
    for method, path in [
        ("GET", "/v1/book/{symbol}"),
        ("GET", "/v1/orders/{order_id}"),
        ("DELETE", "/v1/orders/{order_id}"),
        ("GET", "/v1/orders/client/{client_order_id}"),
    ]:
        router.add(method, path, Endpoint(answer))
    router.add("GET", "/v1/feed", Upgrade(talk))
    return router


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (b"/v1/book/AAPL", {"symbol": "AAPL"}),
        (b"/v1/book/BTC%2FUSD", {"symbol": "BTC/USD"}),
        (b"/v1/book/BRK.B", {"symbol": "BRK.B"}),
        (b"/v1/orders/client/bot%2F%c3%a9%20", {"client_order_id": "bot/\u00e9 "}),
        (b"/v1/%6frders/1-1", {"order_id": "1-1"}),
    ],
)
def test_segment_is_decoded_for_itself(path: bytes, values: dict[str, str]) -> None:
    """Interfaces section 3: symbols and client order ids have slashes."""
    assert a_router().find("GET", path)[1] == values


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/v1/book/BTC/USD", 404),
        (b"/v1/book/", 404),
        (b"/v1/orders/client", 404),
        (b"/v1//book/AAPL", 404),
        (b"/v1/book/AAPL/", 404),
        (b"v1/book/AAPL", 404),
        (b"", 404),
        (b"/v1/../v1/book/AAPL", 404),
        (b"/" * 10_000, 404),
        (b"/v1/book/%", 400),
        (b"/v1/book/%2", 400),
        (b"/v1/book/%zz", 400),
        (b"/v1/book/%ff", 400),
    ],
)
def test_other_paths_lead_nowhere(path: bytes, status: int) -> None:
    """Faults 3."""
    with pytest.raises(ProblemError) as caught:
        a_router().find("GET", path)

    assert caught.value.problem.status == status


def test_allow_options_and_head_agree() -> None:
    """RFC 9110 9.3.2, 9.3.7, 10.2.1: what 405 tells is what OPTIONS tells, and what is so."""
    router = a_router()
    with pytest.raises(ProblemError) as caught:
        router.find("PUT", b"/v1/orders/1-1")
    with pytest.raises(ProblemError) as of_feed:
        router.find("HEAD", b"/v1/feed")

    assert caught.value.problem.status == 405
    assert caught.value.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS"
    assert of_feed.value.headers["Allow"] == "GET, OPTIONS"
    assert router.find("HEAD", b"/v1/orders/1-1") == router.find("GET", b"/v1/orders/1-1")


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (b"/v1/book/AAPL", "GET, HEAD, OPTIONS"),
        (b"*", "DELETE, GET, HEAD, OPTIONS, PATCH, POST"),
    ],
)
async def test_options_tell_the_methods(path: bytes, allow: str) -> None:
    """RFC 9110 9.3.7."""
    target, _ = a_router().find("OPTIONS", path)
    assert isinstance(target, Endpoint)
    reply = await target.answer(None)  # type: ignore[arg-type]

    assert (reply.status, reply.headers) == (204, {"Allow": allow})
