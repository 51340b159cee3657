"""A real node is killed and its directory deleted; the runbook brings it back (C3)."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import trio

from exchange.client.account import AccountClient
from exchange.client.cluster import Cluster
from exchange.client.cluster_process import LocalCluster, Server
from exchange.client.quiescence import wait_quiescent
from exchange.client.results import Order
from recovery.knowledge import Rebuilt
from recovery.rebirth import read_rebuilt
from recovery.verification import verify
from tests.recovery.test_operating import SECTIONS

NODES = (1, 2, 3)
ROOT = Path(__file__).parent.parent.parent


class Night(NamedTuple):
    """What was so before the disk was lost."""

    local: LocalCluster
    cluster: Cluster
    clients: dict[int, AccountClient]  # by node id


async def test_the_runbook_brings_back_a_node_and_its_open_orders(tmp_path: Path) -> None:
    """Issue, item 7: every command of the section, with the others alive at first."""
    async with (
        LocalCluster(tmp_path, nodes=3, is_authenticated=True) as local,
        local.connect() as cluster,
    ):
        night = Night(local, cluster, await open_accounts(cluster))
        old = await place(night, 1, "sell", "10", "6.00")
        await rest(night)
        await back_up(local.nodes[0], tmp_path / "node-1.old")
        await rest(night)
        await place(night, 2, "buy", "4", "6.00")
        young = await place(night, 1, "buy", "7", "5.00")
        poor = await place_with_a_late_deposit(night)
        await place(night, 3, "sell", "2", "5.00")
        await rest(night)

        local.nodes[0].kill()
        shutil.rmtree(local.nodes[0].directory)
        await suspected(night)
        commands = SECTIONS["The disk is lost"]
        told = await run(commands[0][0], 1, local, operator_key="")
        assert "set EXCHANGE_OPERATOR_KEY" in told
        await ask_another_machine(local)
        for command, expected in commands:
            if "--accept" in command:
                await stop(local)
            await run(command, expected, local)

        result = read_rebuilt(tmp_path / "node-1.better")
        assert sorted(result.restored) == sorted([old.order_id, young.order_id])
        assert [line.partition(" ")[0] for line in result.not_restored] == [poor.order_id]
        assert (result.suspense, result.funded, len(result.booked)) == ([], [], 2)
        assert_nothing_without_a_copy(read_rebuilt(tmp_path / "node-1.new"))

        local.nodes[0].directory.with_name("node-1.better").rename(local.nodes[0].directory)
        for server in (local.coordinator, *local.nodes):
            server.launch()
        for server in (local.coordinator, *local.nodes):
            await server.wait_ready()
        await rest(night)

        mine = {order.order_id: order for order in await open_orders(night, 1)}
        assert {key: order.remaining_quantity for key, order in mine.items()} == {
            old.order_id: "6",
            young.order_id: "5",
        }
        book = await cluster.book(3, "ACME")
        assert [row[:2] for row in (*book.bids, *book.asks)] == [("5", "5"), ("6", "6")]
        balances = (await night.clients[1].get()).balances
        assert (balances["ACME"].held, balances["ACME"].available) == ("6", "92")
        assert (balances["USD"].held, balances["USD"].available) == ("25", "989")
        await place(night, 3, "buy", "6", "6.00")
        await rest(night)
        assert [order.order_id for order in await open_orders(night, 1)] == [young.order_id]
        assert (await place(night, 1, "sell", "1", "9.00")).order_id not in mine
        await stop(local)

    assert [found.code for found in verify(local.directories).problems] == []


def assert_nothing_without_a_copy(result: Rebuilt) -> None:
    """Check what is known without a backup: the trades, by account, and no money for orders."""
    assert (result.restored, len(result.not_restored), result.opened) == ([], 3, ["1-1"])
    assert (result.suspense, len(result.booked)) == ([], 2)


async def ask_another_machine(local: LocalCluster) -> None:
    """Bring a copy of a node that runs, and ask that node by its address."""
    endpoints = local.nodes[2].endpoints
    assert endpoints is not None, "the node runs"
    await run("exchange-recover replay node3 --to node3.copy", 0, local)
    command = "exchange-recover recover-node --node 1 --backup node1.old --to far node2 node3.copy"
    await run(command, 0, local)
    far = read_rebuilt(local.directory / "far")
    assert len(far.replicas) == 1
    assert len(far.restored) == 1  # with which node 3 has not traded
    assert sum("node 3 has traded with it" in line for line in far.not_restored) == 1
    shutil.rmtree(local.directory / "far")
    await run(f"{command} --live tcp://{endpoints.tcp}", 0, local)
    far = read_rebuilt(local.directory / "far")
    assert (len(far.replicas), len(far.restored), len(far.not_restored)) == (2, 2, 1)


async def open_accounts(cluster: Cluster) -> dict[int, AccountClient]:
    clients = {}
    for _ in NODES:
        account = await cluster.open_account()
        client = cluster.account(account.user_id, account.api_key)
        await client.deposit("USD", "1000")
        clients[client.credentials.node_id] = client
    for client in clients.values():
        await client.deposit("ACME", "100")
    assert sorted(clients) == list(NODES)
    return clients


async def place(night: Night, node_id: int, side: str, quantity: str, price: str) -> Order:
    placed = await night.clients[node_id].place("ACME", side, quantity=quantity, price=price)
    return placed.order


async def place_with_a_late_deposit(night: Night) -> Order:
    """Place an order for all there is and more: its funds came after the copy was made."""
    await night.clients[1].deposit("USD", "5000")
    return await place(night, 1, "buy", "1400", "4.00")


async def open_orders(night: Night, node_id: int) -> Sequence[Order]:
    return (await night.clients[node_id].orders(status="open")).orders


async def rest(night: Night) -> None:
    await wait_quiescent(night.cluster, NODES)


async def suspected(night: Night) -> None:
    """Wait until no other node is linked to the lost one."""
    with trio.fail_after(20):
        for node_id in (2, 3):
            while True:
                status = await night.cluster.status(node_id)
                if any(peer.state == "suspected" for peer in status.peers):
                    break
                await trio.lowlevel.checkpoint()


async def back_up(server: Server, to: Path) -> None:
    assert await server.stop() == 0
    shutil.copytree(server.directory, to)
    await server.start()


async def stop(local: LocalCluster) -> None:
    """Stop what runs, nodes first."""
    for server in (*local.nodes, local.coordinator):
        server.send_signal(signal.SIGTERM)
        if server.is_running:
            await server.wait_ended()


async def run(
    command: str, expected: int, local: LocalCluster, *, operator_key: str | None = None
) -> str:
    """Run a command of the runbook in the directory of the cluster, as its operator."""
    words = shlex.split(re.sub(r"\bnode(\d)", r"node-\1", command))
    assert words[0] == "exchange-recover"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    key = local.operator_key if operator_key is None else operator_key
    environment["EXCHANGE_OPERATOR_KEY"] = key
    done = await trio.run_process(
        [sys.executable, "-m", "recovery.command", *words[1:]],
        cwd=local.directory,
        env=environment,
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
    )
    said = done.stdout.decode()
    assert done.returncode == expected, f"{command}\n{said}"
    return said
