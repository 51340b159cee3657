"""Refusals of nodes and of decoders become problems with a status, a code and a place."""

import msgspec
import pytest

from exchange.client.errors import BadAnswer, ClientError, OutcomeUnknown, Refused, Unreachable
from exchange.gateway.resources.refusals import of_refusal, of_validation, problem_of
from exchange.gateway.resources.schema import NewOrder


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Refused("unauthorized", "no"), 401, "unauthorized"),
        (Refused("not_ready", "wait"), 503, "not_ready"),
        (Refused("something_new", "a rule"), 422, "something_new"),
        (Unreachable("node 3: connection refused at /secret/path"), 503, "unavailable"),
        (OutcomeUnknown("lost"), 503, "outcome_unknown"),
        (BadAnswer("not JSON: b'secret'"), 500, "internal_error"),
        (ClientError("bug"), 500, "internal_error"),
    ],
)
def test_error_has_its_status_and_tells_no_secret(
    error: ClientError, status: int, code: str
) -> None:
    """Interfaces section 3; faults 3: nothing of the inside leaks."""
    problem = problem_of(error)

    assert (problem.status, problem.code) == (status, code)
    assert "secret" not in problem.detail


@pytest.mark.parametrize(
    ("code", "detail", "pointer"),
    [
        ("invalid_value", "Expected `str`, got `int` - at `$.value.symbol`", "/symbol"),
        ("missing_field", "Object missing required field `side` - at `$.value`", "/side"),
        ("unknown_field", "Object contains unknown field `a/b~c` - at `$.value`", "/a~1b~0c"),
        ("invalid_price", "price: too fine", "/price"),
        ("invalid_value", "Expected `object` - at `$[3].price`", "/3/price"),
        ("not_supported", "day is not built yet", None),
    ],
)
def test_place_becomes_a_pointer(code: str, detail: str, pointer: str | None) -> None:
    """Interfaces section 3: errors name a JSON pointer (RFC 6901)."""
    errors = of_refusal(code, detail).errors

    assert [error.pointer for error in errors] == ([] if pointer is None else [pointer])


@pytest.mark.parametrize("text", [b"{", b'{"symbol":1}', b'{"x":1}', b"\xff", b"[" * 100_000])
def test_what_does_not_decode_is_400(text: bytes) -> None:
    """Faults 3."""
    with pytest.raises((msgspec.MsgspecError, RecursionError, UnicodeDecodeError)) as caught:
        msgspec.json.decode(text, type=NewOrder)
    problem = of_validation(caught.value, NewOrder)

    assert problem.status == 400


def test_verbs_of_a_node_are_told_as_requests_of_http() -> None:
    """Interfaces section 3: who came by HTTP has no `order.create`."""
    told = of_refusal("unknown_instrument", "X is not listed; list it: instrument.create").detail

    assert told == "X is not listed; list it: `POST /v1/symbols`"
