"""Query parameters are read strictly."""

import pytest

from exchange.gateway.http.problems import ProblemError
from exchange.gateway.resources.resource import decode_query
from exchange.gateway.resources.schema import CandlesQuery, NoQuery, OrdersQuery


def test_parameters_are_typed() -> None:
    """Interfaces section 3."""
    query = decode_query(b"limit=5&cursor=7&status=open", OrdersQuery)

    assert query == OrdersQuery("open", None, 7, 5)
    assert decode_query(b"from=2026-01-01", CandlesQuery).from_ == "2026-01-01"


@pytest.mark.parametrize(
    "text",
    [
        b"limit=0",
        b"limit=5&limit=6",
        b"limit=%ff",
        b"limit=1.5",
        b"symbol=null",
        b"colour=red",
        b"symbol=",
        b"symbol=AAPL%0A",
        b"&".join(b"a%d=1" % place for place in range(100)),
        b"\xff",
    ],
)
def test_bad_parameter_is_refused(text: bytes) -> None:
    """Faults 3."""
    with pytest.raises(ProblemError) as caught:
        decode_query(text, OrdersQuery)

    assert caught.value.problem.status == 400


def test_resource_without_parameters_takes_none() -> None:
    """Faults 3: unknown fields are refused where we own the form."""
    with pytest.raises(ProblemError):
        decode_query(b"a=1", NoQuery)
