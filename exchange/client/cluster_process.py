"""A whole cluster of real processes in one directory: start, kill, restart, and clean up.

    DIR/coordinator/          its data directory
    DIR/node-1/, node-2/ ...  those of the nodes, by node id
    DIR/<name>.log            what each process said, all its lives one after another

Everything listens on loopback and on free ports; `endpoints.json` says where.  A process is
only ever ended by its own handle.  `LocalCluster` is an async context manager: whatever is
still running at its end is killed, also when the end is an interruption.

    async with LocalCluster(directory, nodes=3) as local:
        async with local.connect() as cluster:
            ...
            local.nodes[1].kill()
            await local.nodes[1].start()
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import trio

from exchange.client.cluster import Cluster, open_cluster
from exchange.client.errors import ClientError
from exchange.client.settings import Endpoint
from exchange.process.endpoints import Endpoints, read_endpoints

START_SECONDS_MAX = 20.0  # Python needs 0.5 s, redo of a long log and its peers some more
STOP_SECONDS_MAX = 15.0  # a graceful stop resolves what it can within a bound of its own
LOOK_SECONDS = 0.02  # between two looks at a file or a process
LOG_TAIL = 2_000  # bytes of a process's last words that go into an error
UNLIMITED = ("--account-rate", "0", "--address-rate", "0")  # a rehearsal is as quick as it can
SERVERS = {"coordinator": "exchange.coordinator.command", "node": "exchange.node.command"}


class StartError(ClientError):
    """A process of the cluster did not come up; the message holds its last words."""


class Server:
    """One process and its data directory.  It may live several times."""

    def __init__(
        self, kind: str, directory: Path, arguments: Sequence[str], *, listen: str = "127.0.0.1:0"
    ) -> None:
        self.kind = kind
        self.directory = directory
        self.arguments = list(arguments)
        self.listen = listen
        self.prefix: list[str] = []  # what the process runs under: a tracer, a limiter
        self.endpoints: Endpoints | None = None  # of its present or last life
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """Return what people call it: the name of its directory."""
        return self.directory.name

    @property
    def log(self) -> Path:
        """Return the file with everything it has said."""
        return self.directory.with_name(f"{self.name}.log")

    @property
    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Return the id of the process, None if it does not live."""
        return self._process.pid if self._process is not None and self.is_running else None

    @property
    def return_code(self) -> int | None:
        """Return how it ended: its exit code, or minus the signal."""
        return self._process.poll() if self._process is not None else None

    def launch(
        self, arguments: Sequence[str] = (), *, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start the process and return at once; `wait_ready` waits until it serves."""
        assert not self.is_running, f"{self.name} runs already"
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        command = [
            *self.prefix,
            sys.executable,
            "-m",
            SERVERS[self.kind],
            "--data-dir",
            str(self.directory),
        ]
        command += ["--listen", self.listen] if self.listen else []
        command += [*self.arguments, *arguments]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(environment),
                start_new_session=True,  # ctrl-C is ours to hand on
            )

    async def start(
        self, arguments: Sequence[str] = (), *, environment: Mapping[str, str] | None = None
    ) -> Endpoints:
        """Start the process and wait until it serves; raises StartError."""
        self.launch(arguments, environment=environment)
        return await self.wait_ready()

    async def wait_ready(self, seconds: float = START_SECONDS_MAX) -> Endpoints:
        """Wait until the process has said where it serves; raises StartError."""
        with trio.move_on_after(seconds):
            while self.is_running:
                endpoints = self._read_endpoints()
                if endpoints is not None:
                    self.endpoints = endpoints
                    return endpoints
                await trio.sleep(LOOK_SECONDS)
        state = "is not ready" if self.is_running else f"ended with {self.return_code}"
        raise StartError(f"{self.name} {state}; it said:\n{self.last_words()}")

    async def wait_ended(self, seconds: float = STOP_SECONDS_MAX) -> int:
        """Wait until the process has ended and return its exit code, or minus the signal."""
        with trio.fail_after(seconds):
            while self.is_running:  # noqa: ASYNC110 - another process tells no event
                await trio.sleep(LOOK_SECONDS)
        assert self.return_code is not None, "never started"
        return self.return_code

    def kill(self) -> None:
        """End the process with SIGKILL, and wait until the system has buried it."""
        self.send_signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    async def stop(self, seconds: float = STOP_SECONDS_MAX) -> int:
        """Ask the process to end (SIGTERM) and return its exit code."""
        self.send_signal(signal.SIGTERM)
        return await self.wait_ended(seconds)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process lives."""
        if self._process is not None and self.is_running:
            self._process.send_signal(number)

    def last_words(self) -> str:
        """Return the end of its log."""
        try:
            return self.log.read_bytes()[-LOG_TAIL:].decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _read_endpoints(self) -> Endpoints | None:
        """Return the endpoints of this life, None before it serves."""
        try:
            endpoints = read_endpoints(self.directory)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
        return endpoints if endpoints.pid == self.pid else None


class LocalCluster:
    """A coordinator and its nodes."""

    def __init__(
        self,
        directory: Path,
        *,
        nodes: int = 3,
        ack: str = "visible",
        is_authenticated: bool = False,
        arguments: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.nodes: list[Server] = []
        self._wanted = nodes
        self._auth = [] if is_authenticated else ["--no-auth"]
        self._node_arguments = ["--ack", ack, *UNLIMITED, *arguments]
        self.coordinator = Server("coordinator", directory / "coordinator", self._auth)

    @property
    def directories(self) -> list[Path]:
        """Return the data directories of the nodes."""
        return [node.directory for node in self.nodes]

    @property
    def operator_key(self) -> str:
        """Return the operator's key, empty without authentication."""
        if "--no-auth" in self._auth:
            return ""
        return (self.coordinator.directory / "operator.key").read_text().strip()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self.kill()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    async def start(self) -> None:
        """Start the coordinator, then the nodes one by one, so that ids follow the names."""
        endpoints = await self.coordinator.start()
        self.coordinator.listen = endpoints.coordinator  # it must come back where it was
        for _ in range(self._wanted):
            await self.add_node()

    async def add_node(self) -> Server:
        """Start one node more."""
        server = self.new_node()
        await server.start()
        return server

    def new_node(self) -> Server:
        """Return a node that is part of the cluster and not started yet."""
        coordinator = ["--coordinator", self.coordinator.listen]
        server = Server(
            "node",
            self.directory / f"node-{len(self.nodes) + 1}",
            [*coordinator, *self._auth, *self._node_arguments],
        )
        self.nodes.append(server)
        return server

    @property
    def endpoint(self) -> Endpoint:
        """Return where clients begin."""
        return Endpoint(coordinator=self.coordinator.listen)

    def connect(self) -> AbstractAsyncContextManager[Cluster]:
        """Open a client of this cluster, as its operator."""
        return open_cluster(self.endpoint, operator_key=self.operator_key)

    async def stop(self) -> list[int]:
        """Stop everything gracefully, nodes first; return the exit codes."""
        for server in self.nodes:
            server.send_signal(signal.SIGTERM)
        codes = [await server.wait_ended() for server in self.nodes]
        return [*codes, await self.coordinator.stop()]

    def kill(self) -> None:
        """Kill whatever still runs."""
        for server in [*self.nodes, self.coordinator]:
            server.kill()


def _environment(changes: Mapping[str, str] | None) -> dict[str, str]:
    """Return the environment of a server: ours, without what would configure it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EXCHANGE_")}
    return {**kept, **(changes or {})}
