"""A cluster whose nodes are on hosts of their own: they join with tokens and speak TLS."""

import sys
from pathlib import Path

import trio

from exchange.client import sockets
from exchange.client.cluster_process import LocalCluster
from fuzz.chaos.namespaces import Hosts

PORT = 7400
TOKEN = ("exchange.coordinator.command", "token")


def secure(local: LocalCluster, hosts: Hosts) -> None:
    """Let the coordinator, before it starts, be reached from all hosts, over TLS alone."""
    local.coordinator.listen = f"{hosts.gateway}:0"
    local.coordinator.arguments.append("--tls")


async def start_on_hosts(local: LocalCluster, disks: list[Path], hosts: Hosts) -> None:
    """Start every node on its host and its own disk; this process believes their authority."""
    sockets.believe(local.coordinator.directory / "ca.crt")
    for node, disk in enumerate(disks, 1):
        server = local.new_node()
        server.directory = disk / f"node-{node}"
        server.listen = f"{hosts.address(node)}:{PORT}"
        server.arguments.append("--tls")
        server.prefix = hosts.prefix(node)
        await server.start([f"--join={await _token(local.coordinator.directory)}"])


async def _token(coordinator: Path) -> str:
    """Return a join token of a new node, as an operator gets it."""
    done = await trio.run_process(
        [sys.executable, "-m", TOKEN[0], "--data-dir", str(coordinator), TOKEN[1]],
        capture_stdout=True,
    )
    return done.stdout.decode().strip()
