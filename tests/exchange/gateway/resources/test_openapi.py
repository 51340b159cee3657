"""The document is OpenAPI 3.1, and the server does what it says."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from exchange.gateway.resources.openapi import make_document
from exchange.gateway.service import all_resources
from tests.exchange.gateway.house import House

DOCUMENT = make_document(all_resources(lambda: 0)[:-1])
NOT_BUILT = ["post_only", "stop", "fok", "gtd", "decrement", "expired"]


def test_document_is_valid(house: House) -> None:
    """Interfaces section 3: OpenAPI 3.1."""
    served: dict[str, Any] = house.call("GET", "/v1/openapi.json").json()
    validate(served)

    assert served["openapi"].startswith("3.1")
    assert set(served["paths"]) == set(DOCUMENT["paths"])


@pytest.mark.parametrize("name", NOT_BUILT)
def test_what_is_not_built_is_not_shown(house: House, name: str) -> None:
    """Interfaces section 2."""
    assert f'"{name}"' not in house.call("GET", "/v1/openapi.json").text


_SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


@_SCHEMA.parametrize()
@settings(max_examples=8, suppress_health_check=list(HealthCheck), deadline=None)
def test_every_answer_is_of_the_documented_form(case: schemathesis.Case[Any], house: House) -> None:
    """Issue: hostile input over HTTP; no crash, no trace, every answer of the documented form."""
    response = case.call(
        base_url=f"{house.url}/v1",
        verify=str(house.server.directory / "https.crt"),
        headers={"Authorization": f"Bearer {house.fuzzer.key}"},
    )
    is_list = case.path == "/orders" and case.method == "POST"  # each item has its own status
    is_unread = response.status_code == 431  # a refusal that schemathesis does not know
    checks = _CHECKS if is_list or is_unread else [*_CHECKS, negative_data_rejection]
    case.validate_response(response, checks=checks)

    assert "Traceback" not in response.text
    assert str(house.server.directory) not in response.text
