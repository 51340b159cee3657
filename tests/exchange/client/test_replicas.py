"""An operator is shown what a node shows of another one's orders (interfaces 5)."""

from collections.abc import Callable

import pytest

from exchange.client import replicas
from exchange.client.cluster_process import LocalCluster
from exchange.client.errors import Refused, Unreachable
from exchange.client.replicas import read_replica
from exchange.client.settings import Endpoint, Settings

People = Callable[..., int]


def settings_of(live: LocalCluster, node_id: int, key: str | None = None) -> Settings:
    endpoints = live.nodes[node_id - 1].endpoints
    assert endpoints is not None, "the node runs"
    return Settings(
        Endpoint(coordinator=endpoints.coordinator, node=endpoints.tcp),
        operator_key=live.operator_key if key is None else key,
    )


def test_all_pages_are_one_replica(
    people: People,
    live: LocalCluster,
    symbol: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """B4: count and sum are those of all pages."""
    people("account", "open", "-o", "csv")
    user_id = capsys.readouterr().out.splitlines()[1].split(",")[0]
    people("account", "deposit", "USD", "100")
    people("account", "deposit", symbol, "1")
    for price in ("1", "2", "3"):
        assert people("order", "buy", symbol, "5", price) == 0
    owner = int(user_id.partition("-")[0])
    monkeypatch.setattr(replicas, "PAGE", 2)

    shown = read_replica(settings_of(live, 3 - owner), owner)
    assert (shown.by, shown.replica.node_id, shown.replica.is_linked) == (3 - owner, owner, True)
    assert shown.replica.is_complete
    assert shown.replica.count == len(shown.replica.orders)
    mine = [order for order in shown.replica.orders if order.user_id == user_id]
    assert [(order.symbol, order.price, order.remaining_quantity) for order in mine] == [
        (symbol, price, "5") for price in ("1", "2", "3")
    ]


@pytest.mark.parametrize(("key", "code"), [("", "forbidden"), ("wrong", "unauthorized")])
def test_only_operators_are_told(live: LocalCluster, key: str, code: str) -> None:
    """Interfaces 1: whose orders they are is private."""
    with pytest.raises(Refused) as refused:
        read_replica(settings_of(live, 1, key), 2)
    assert refused.value.code == code


def test_a_node_that_is_not_known_is_refused(live: LocalCluster) -> None:
    """Bad input."""
    with pytest.raises(Refused, match="unknown_node"):
        read_replica(settings_of(live, 1), 77)


def test_a_server_that_does_not_answer_is_unreachable(
    live: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interfaces 4: exit code 3."""
    monkeypatch.setattr(replicas, "ANSWER_SECONDS", 0.05)
    with pytest.raises(Unreachable):
        read_replica(Settings(Endpoint(node="127.0.0.1:1")), 1)
