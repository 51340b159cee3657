"""What load balancers and people ask."""

import pytest

from tests.exchange.gateway.house import House


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_are_at_the_root_too(house: House, path: str) -> None:
    """Interfaces section 3."""
    assert house.call("GET", path).status_code == 200
    assert house.call("GET", f"/v1{path}").status_code == 200


def test_status_tells_of_each_node(house: House) -> None:
    """Interfaces section 3."""
    status = house.call("GET", "/v1/status").json()

    assert [(node["node_id"], node["is_ready"]) for node in status["nodes"]] == [(1, True)]
    assert status["cluster"]


def test_time_is_utc_with_microseconds(house: House) -> None:
    """Interfaces section 2."""
    told = house.call("GET", "/v1/time").json()["ts"]

    assert len(told) == len("2026-01-01T00:00:00.000000Z")
    assert told.endswith("Z")


def test_metrics_are_text_for_prometheus(house: House) -> None:
    """Issue: Prometheus metrics."""
    answer = house.call("GET", "/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    assert "process_cpu_seconds_total" in answer.text
    assert 'exchange_node_up{node="1"} 1.0' in answer.text
    assert 'exchange_ready{node="1"} 1.0' in answer.text
    assert 'exchange_gateway_requests_total{status="200"}' in answer.text
    assert "exchange_gateway_connections 1.0" in answer.text


def test_no_key_is_in_the_log(house: House) -> None:
    """Issue, item 5: keys never appear in logs, good ones or bad ones."""
    person = house.open_account(USD="5")
    bad = f"{person.user_id}.{'Zz' * 21}Z"
    assert person.call("GET", "/v1/account").status_code == 200
    assert person.call("POST", "/v1/orders", {"api_key": person.key}).status_code == 400
    assert house.call("GET", "/v1/account", key=bad).status_code == 401

    said = house.server.log.read_text()
    for key in (person.key, bad, house.operator_key):
        assert key.rpartition(".")[2] not in said
