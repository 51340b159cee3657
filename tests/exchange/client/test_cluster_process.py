"""Real processes, ended by their own handle, found by what they write."""

from pathlib import Path

import pytest

from exchange.client.cluster_process import LocalCluster, Server, StartError


async def test_killed_node_comes_back_in_a_new_epoch(tmp_path: Path) -> None:
    """W6, C5: the same directory, another incarnation, perhaps another address."""
    async with LocalCluster(tmp_path / "cluster", nodes=1) as local:
        (node,) = local.nodes
        assert node.endpoints is not None
        epoch = node.endpoints.epoch
        node.kill()
        code = node.return_code
        endpoints = await node.start()

        assert code == -9
        assert (endpoints.node_id, endpoints.epoch) == (1, epoch + 1)
        assert await local.stop() == [0, 0]
    assert not node.is_running


async def test_cluster_is_gone_after_an_error(tmp_path: Path) -> None:
    """Nothing outlives the block that started it."""
    local = LocalCluster(tmp_path / "cluster", nodes=1)
    with pytest.raises(KeyError):
        async with local:
            raise KeyError

    assert not any(server.is_running for server in [*local.nodes, local.coordinator])


async def test_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """Bad input: what, where, remedy."""
    server = Server("coordinator", tmp_path / "coordinator", ["--no-such-option"])

    with pytest.raises(StartError, match="--no-such-option"):
        await server.start()
    assert server.pid is None


def test_signal_to_what_never_ran_does_nothing(tmp_path: Path) -> None:
    """Ending twice, or before the start, is fine."""
    server = Server("node", tmp_path / "node-1", [])

    server.kill()

    assert server.return_code is None
    assert server.last_words() == ""
