"""A cluster over TLS: a node joins with a token, trades, and strangers get nowhere."""

from pathlib import Path

import pytest
import trio

from exchange.client import sockets
from exchange.client.cluster import open_cluster
from exchange.client.settings import Endpoint
from exchange.coordinator.authority import new_token
from exchange.node.errors import BadSetting
from exchange.process.addresses import Address, parse_address
from exchange.process.clocks import now
from tests.support.running import Running


@pytest.fixture(autouse=True)
def _plain_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_authority", [])


async def test_nodes_join_by_token_and_link_over_tls(tmp_path: Path) -> None:
    """Issue 5: mutual TLS with certificates of the cluster's own authority."""
    async with trio.open_nursery() as nursery:
        first = Running(tmp_path / "1", is_tls=True)
        nursery.start_soon(first.service.run)
        await first.wait_ready()
        coordinator = parse_address(first.coordinator)
        token = new_token(tmp_path / "1" / "coordinator", now=now())
        second = Running(tmp_path / "2", is_tls=True, coordinator=coordinator, join=token)
        nursery.start_soon(second.service.run)
        await second.wait_ready()

        async with open_cluster(Endpoint(coordinator=str(coordinator))) as cluster:
            account = cluster.account((await cluster.open_account()).user_id)
            placed = await account.place("AAPL", "buy", price="0.01", quantity="1")
        port = parse_address(first.tcp).port
        async with await trio.open_tcp_stream("127.0.0.1", port) as plain:
            await plain.send_all(b'"1-1"\n{"type":"R balance"}\n')
            answer = bytes(await plain.receive_some(1 << 16))
        nursery.cancel_scope.cancel()

    assert placed.order.status in ("open", "rejected")
    assert not answer.lstrip().startswith((b"{", b"0"))


async def test_node_without_a_token_is_told_how_to_get_one(tmp_path: Path) -> None:
    """Issue 5: what, where, remedy."""
    stranger = Running(tmp_path, is_tls=True, coordinator=Address("127.0.0.1", 1))

    with pytest.raises(BaseExceptionGroup) as refused:
        await stranger.service.run()
    assert refused.value.subgroup(BadSetting) is not None
