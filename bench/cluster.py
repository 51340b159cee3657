"""Real nodes to measure, and what they say of themselves."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.load import Connection
from exchange.client.cluster_process import LocalCluster

CASH = 100_000_000  # dollars of each account
SHARES = 10_000_000


class Cluster:
    """A running cluster, blocking to talk to."""

    def __init__(self, local: LocalCluster) -> None:
        self.local = local
        coordinator = local.coordinator.endpoints
        assert coordinator is not None
        self.coordinator = Connection(coordinator.coordinator)
        self.ids = range(1, len(local.nodes) + 1)
        self.control = {node: self.connect(node, self.accounts(node, 1), 1)[0] for node in self.ids}

    def address(self, node: int) -> str:
        """Return where a node listens; node 1 is the first."""
        endpoints = self.local.nodes[node - 1].endpoints
        assert endpoints is not None
        return endpoints.tcp

    def accounts(self, node: int, count: int) -> list[str]:
        """Open funded accounts on one node."""
        found: list[str] = []
        while len(found) < count:
            user = self.coordinator.ask("C account")
            assert isinstance(user, str), user
            if not user.startswith(f"{node}-"):
                continue
            connection = Connection(self.address(node), user)
            assert connection.ask({"type": "U balance", "value": CASH}) == "ok"
            stock = {"ticker_id": "AAPL", "quantity": SHARES}
            assert connection.ask({"type": "C stock", "value": stock}) == "ok"
            connection.close()
            found.append(user)
        return found

    def connect(self, node: int, users: list[str], count: int) -> list[Connection]:
        """Open `count` connections, spread over the users."""
        return [
            Connection(self.address(node), users[number % len(users)]) for number in range(count)
        ]

    def status(self, node: int) -> dict[str, Any]:
        """Return `node.status`."""
        connection = self.control[node]
        answer = connection.ask({"id": 1, "type": "node.status", "value": {}})
        assert isinstance(answer, dict), answer
        value: dict[str, Any] = answer["value"]
        return value

    def written(self, node: int) -> int:
        """Return the bytes a node has handed to the kernel to write: pages, and a few answers.

        Not `write_bytes`: a kernel with large folios counts a whole one for each page in it,
        ten times what goes to the disk.
        """
        pid = self.local.nodes[node - 1].pid
        for row in Path(f"/proc/{pid}/io").read_text().splitlines():
            if row.startswith("wchar"):
                return int(row.split()[1])
        return 0

    def rest(self) -> None:
        """Wait until nothing is in doubt and all streams are level."""
        while True:
            statuses = [self.status(node) for node in self.ids]
            if all(
                status["offers_in_doubt"] == 0
                and all(peer["sent_seq"] == peer["acknowledged_seq"] for peer in status["peers"])
                for status in statuses
            ):
                return
            time.sleep(0.01)


@asynccontextmanager
async def running(directory: Path, nodes: int) -> AsyncIterator[Cluster]:
    """Run a cluster without authentication in a directory."""
    async with LocalCluster(directory, nodes=nodes) as local:
        yield Cluster(local)
