"""A gateway comes up by itself, hides a restart, and any of them serves any account."""

import datetime
import signal
from pathlib import Path

import pytest
import trio

from exchange.client.cluster_process import Server
from exchange.coordinator.authority import Authority
from exchange.gateway.service import _open
from exchange.node.embedding import Https
from exchange.process.addresses import Address
from exchange.process.errors import ListenFailed
from exchange.process.sockets import listens_at, open_listener
from tests.exchange.gateway.house import FREE, House, a_house


def test_orders_survive_a_kill_and_the_gateway_of_another_process(tmp_path: Path) -> None:
    """C7: in front of a node that is killed it says "not now", and then goes on."""
    with a_house(tmp_path / "node") as house:
        alice = house.open_account(USD="1000", AAPL="1")
        arguments = ["--coordinator", house.coordinator, "--https", FREE]
        outside = Server("gateway", tmp_path / "gateway", [])
        outside.arguments = arguments
        outside.listen = ""
        try:
            trio.run(outside.start)
            front = House(outside, outside.directory / "https.crt")
            placed = front.call("POST", "/v1/orders", AN_ORDER, key=alice.key)
            house.server.listen = house.tcp
            house.server.arguments[1] = house.coordinator
            house.server.kill()
            away = front.call("GET", "/v1/account", key=alice.key)
            trio.run(house.server.start)
            back = front.call("GET", f"/v1/orders/{placed.json()['order_id']}", key=alice.key)
            front.client.close()
        finally:
            outside.kill()

    assert placed.status_code == 201
    assert (away.status_code, away.headers["retry-after"]) == (503, "1")
    assert back.json() == placed.json()


AN_ORDER = {"symbol": "AAPL", "side": "buy", "price": "10", "quantity": "1"}


def test_stop_is_graceful_and_takes_the_addresses_away(tmp_path: Path) -> None:
    """Interfaces section 4: endpoints.json is removed on a clean stop."""
    with a_house(tmp_path / "node", "--plain-http") as house:
        assert house.call("GET", "/healthz").status_code == 200
        house.server.send_signal(signal.SIGTERM)

        assert trio.run(house.server.wait_ended) == 0
        assert not (house.server.directory / "endpoints.json").exists()


def test_gateway_serves_a_cluster_over_tls_and_believes_no_other(tmp_path: Path) -> None:
    """Issue: client TLS with the cluster's authority, in front of it; fails closed."""
    (tmp_path / "other").mkdir()
    Authority(tmp_path / "other", now=datetime.datetime.now(datetime.UTC))
    with a_house(tmp_path / "node", "--tls") as house:
        alice = house.open_account(USD="1000", AAPL="1")
        statuses = {}
        for name, home in (("right", tmp_path / "node" / "tls"), ("wrong", tmp_path / "other")):
            front = Server("gateway", tmp_path / name, [])
            front.arguments = ["--coordinator", house.coordinator, "--https", FREE]
            front.arguments += ["--tls-ca", str(home / "ca.crt")]
            front.listen = ""
            try:
                trio.run(front.start)
                door = House(front, front.directory / "https.crt")
                statuses[name] = door.call("POST", "/v1/orders", AN_ORDER, key=alice.key)
                door.client.close()
            finally:
                front.kill()

    assert statuses["right"].status_code == 201
    assert statuses["wrong"].status_code in (401, 503)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--https", "0.0.0.0:0", "--plain-http"],
        ["--https", "0.0.0.0:0", "--no-auth"],
        ["--https", FREE, "--tls-cert", "/nonexistent"],
    ],
)
def test_unsafe_gateway_does_not_start(tmp_path: Path, arguments: list[str]) -> None:
    """Interfaces section 3: plain HTTP, or no keys, on loopback alone; exit code 2."""
    server = Server("exchange", tmp_path / "node", ["--coordinator-listen", FREE, *arguments])
    server.launch()

    assert trio.run(server.wait_ended) == 2


async def test_port_that_is_taken_is_told_or_refused() -> None:
    """Issue: another port only where nobody asked for this one, and never silently."""
    told: list[str] = []
    async with await open_listener(Address("127.0.0.1", 0)) as taken:
        address = listens_at(taken)
        async with await _open(Https(address, is_default=True), told.append) as other:
            assert listens_at(other) != listens_at(taken)
        with pytest.raises(ListenFailed):
            await _open(Https(address), told.append)

    assert [str(address) in line for line in told] == [True]
