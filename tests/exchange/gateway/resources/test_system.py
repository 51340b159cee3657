"""What load balancers and people ask."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import trio

from exchange.client.link import Answer
from exchange.client.results import NodeStatus
from exchange.gateway.http.problems import ProblemError
from exchange.gateway.resources.system import ready
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


class Nodes:
    """Answers `node.status` for a few nodes, as a gateway asks them."""

    local_id = 0

    def __init__(self, *told: dict[str, object]) -> None:
        self._told = dict(enumerate(told, 1))

    async def node_ids(self) -> list[int]:
        await trio.lowlevel.checkpoint()
        return list(self._told)

    async def ask(self, node_id: int, _request: object, *, within: float) -> Answer:
        await trio.lowlevel.checkpoint()
        assert within
        status = NodeStatus(node_id, "abc", 1, True, 9, 0, "0", 0, 4, [])
        changed = msgspec.structs.replace(status, node_id=node_id, **self._told[node_id])
        return Answer("status", msgspec.Raw(msgspec.json.encode(changed)))


def a_call(nodes: Nodes) -> Any:  # noqa: ANN401 - all that these resources look at
    return SimpleNamespace(nodes=nodes)


async def test_node_whose_disk_is_full_is_not_ready_for_orders() -> None:
    """W7: a load balancer must not send orders where each is refused."""
    full: dict[str, object] = {"is_storage_full": True}

    with pytest.raises(ProblemError, match="storage_full"):
        await ready(a_call(Nodes(full)))
    answer = await ready(a_call(Nodes(full, {})))

    assert msgspec.json.decode(answer.body)["nodes"] == [2]


async def test_readiness_tells_of_frozen_trades() -> None:
    """S4: they stop nobody's orders, and somebody must look after them."""
    answer = await ready(a_call(Nodes({"frozen": 2}, {"frozen": 1})))

    assert msgspec.json.decode(answer.body) == {"status": "ready", "nodes": [1, 2], "frozen": 3}
