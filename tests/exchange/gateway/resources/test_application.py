"""What every request meets before its resource: paths, methods, keys and bodies."""

import pytest

from exchange.gateway.http.connection import BODY_SIZE
from tests.exchange.gateway.house import House, Person


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v2/orders",
        "/v1/../../etc/passwd",
        "/v1/%2e%2e/%2e%2e/etc/passwd",
        "/v1/book/..%2f..%2foperator.key",
        "/v1/orders/%00",
        "/static/../https.key",
        "/v1//orders",
        "/schema",
        "/v1/orders/client/",
    ],
)
def test_path_that_is_not_there_is_a_problem(house: House, path: str) -> None:
    """Faults 3: path traversal finds nothing; no path of the machine is told."""
    answer = house.call("GET", path)

    assert answer.status_code in (400, 401, 404)
    assert answer.headers["content-type"] == "application/problem+json"
    assert str(house.server.directory) not in answer.text


def test_other_method_is_refused_and_told_which_there_are(house: House) -> None:
    """RFC 9110: 405 with Allow."""
    answer = house.call("PUT", "/v1/orders")

    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) >= {"DELETE", "GET", "POST"}


def test_body_is_bounded(alice: Person) -> None:
    """Faults 3: the limit comes before decoding."""
    answer = alice.call("POST", "/v1/orders", b"[" + b" " * BODY_SIZE + b"]")

    assert answer.status_code == 413
    assert answer.json()["code"] == "body_too_large"


def test_chunked_body_is_bounded_too(alice: Person) -> None:
    """Faults 3: no length to look at; it is counted as it comes."""
    chunks = (b" " * 65_536 for _ in range(32))
    answer = alice.house.client.post(
        "/v1/orders",
        content=chunks,
        headers={"Authorization": f"Bearer {alice.key}", "Content-Type": "application/json"},
    )

    assert answer.status_code == 413


def test_other_media_type_is_refused(alice: Person) -> None:
    """RFC 9110: 415."""
    answer = alice.call("POST", "/v1/orders", b"a=1", headers={"Content-Type": "text/plain"})

    assert answer.status_code == 415


def test_answers_are_not_cached_nor_sniffed(alice: Person) -> None:
    """Faults 3: another user of a shared cache sees nothing."""
    answer = alice.call("GET", "/v1/account")

    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers
