"""Refusals as RFC 9457 problems: a status, a stable code, and where in the body it was."""

from http import HTTPStatus
from typing import Any

import msgspec

from exchange.gateway.http.messages import Reply
from exchange.wire.errors import title_of

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
RETRIED = (429, 503)


class FieldError(msgspec.Struct, frozen=True):
    """Where something is wrong: a JSON pointer (RFC 6901) into the request's body."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457: `code` is stable, `detail` is for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldError] = []
    order: Any = None  # one that was rejected: it exists, and can be looked up

    @classmethod
    def of(
        cls, status: int, code: str, detail: str, errors: "list[FieldError] | None" = None
    ) -> "Problem":
        """Return the problem of a code."""
        return cls(f"urn:exchange:{code}", title_of(code), status, code, detail, errors or [])


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(self, problem: Problem, headers: dict[str, str] | None = None) -> None:
        super().__init__(problem.code)
        self.problem = problem
        self.headers = headers or {}


def refuse(
    status: int,
    code: str,
    detail: str,
    pointer: str | None = None,
    *,
    headers: dict[str, str] | None = None,
) -> ProblemError:
    """Return the error of a refusal that the gateway makes itself."""
    errors = [] if pointer is None else [FieldError(pointer, detail)]
    return ProblemError(Problem.of(status, code, detail, errors), headers)


def internal_problem() -> Problem:
    """Return what is said of our own bugs: nothing that helps an attacker."""
    return Problem.of(500, "internal_error", "this is a fault of the server; it has been noted")


def encode_problem(problem: Problem) -> bytes:
    """Write a problem."""
    return msgspec.json.encode(problem)


def problem_reply(problem: Problem, headers: dict[str, str] | None = None) -> Reply:
    """Return the answer that tells a problem."""
    told = dict(headers or {})
    if problem.status in RETRIED:
        told.setdefault("Retry-After", str(RETRY_AFTER_S))
    if problem.status == HTTPStatus.UNAUTHORIZED:
        told["WWW-Authenticate"] = 'Bearer realm="exchange"'
    return Reply(encode_problem(problem), problem.status, told, CONTENT_TYPE)


def status_phrase(status: int) -> str:
    """Return what a status means, for the OpenAPI document."""
    return HTTPStatus(status).phrase
