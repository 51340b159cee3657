"""A head that two servers could read differently is refused; keys come in one header."""

import h11
import pytest

from exchange.gateway.http.heads import HEAD_SIZE, HEADERS_MAX, bearer, read_head
from exchange.gateway.http.problems import ProblemError

HOST = ("Host", "x")


def test_target_is_cut_at_its_query_and_a_list_of_words_is_joined() -> None:
    """RFC 9110 5.3, RFC 9112 3.2.2: an absolute target is as good as its path."""
    headers = [HOST, ("Accept", "a"), ("Accept", "b")]
    event = h11.Request(method="GET", target="HTTP://evil/v1/time?a=/b", headers=headers)
    head = read_head(event, "192.0.2.1")

    assert (head.method, head.path, head.query) == ("GET", b"/v1/time", b"a=/b")
    assert head.headers["accept"] == "a,b"
    assert head.has_token("accept", "b")


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
        [("Authorization", "Bearer a"), ("Authorization", "Bearer b")],
        [("Idempotency-Key", "a"), ("Idempotency-Key", "b")],
        [("Upgrade", "h2c")],
        [("A", "x" * HEAD_SIZE)],
        [("A", "x")] * (HEADERS_MAX + 1),
    ],
)
def test_head_of_two_readings_is_refused(headers: list[tuple[str, str]]) -> None:
    """Faults 3: request smuggling."""
    event = h11.Request(method="GET", target="/", headers=[HOST, *headers])

    with pytest.raises(h11.RemoteProtocolError):
        read_head(event, "")


@pytest.mark.parametrize(
    ("header", "key"),
    [("", ""), ("Bearer 3-17.abc_-=", "3-17.abc_-="), ("bearer x", "x"), ("Bearer   x", "x")],
)
def test_key_comes_in_the_authorization_header(header: str, key: str) -> None:
    """Interfaces section 3."""
    assert bearer(header) == key


@pytest.mark.parametrize(
    "header", ["Basic abc", "Bearer", "Bearer ", "Bearer a b", "Bearer " + "x" * 257, "Bearer x\n"]
)
def test_other_schemes_are_refused(header: str) -> None:
    """Faults 3."""
    with pytest.raises(ProblemError) as caught:
        bearer(header)

    assert caught.value.problem.status == 401
