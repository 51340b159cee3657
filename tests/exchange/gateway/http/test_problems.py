"""A problem is told with the headers that belong to its status."""

import msgspec

from exchange.gateway.http.problems import CONTENT_TYPE, Problem, problem_reply, refuse


def test_refusal_names_its_place() -> None:
    """Interfaces section 3: RFC 9457, with a pointer (RFC 6901)."""
    problem = refuse(400, "invalid_value", "no", "/price").problem
    told = msgspec.json.decode(problem_reply(problem).body)

    assert told["type"] == "urn:exchange:invalid_value"
    assert told["errors"] == [{"pointer": "/price", "detail": "no"}]


def test_status_has_its_header() -> None:
    """RFC 9110: Retry-After with 429 and 503, WWW-Authenticate with 401; others are kept."""
    headers = {
        status: problem_reply(Problem.of(status, "x", "y"), {"Allow": "GET"}).headers
        for status in (401, 405, 429, 503)
    }

    assert headers[401]["WWW-Authenticate"].startswith("Bearer")
    assert headers[405] == {"Allow": "GET"}
    assert headers[429]["Retry-After"] == headers[503]["Retry-After"] == "1"
    assert problem_reply(Problem.of(404, "x", "y")).content_type == CONTENT_TYPE
