"""Real nodes as processes on loopback, each ended by its own handle."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from exchange.process.endpoints import NAME as ENDPOINTS

PATIENCE_S = 30.0  # of a busy machine


class Client:
    """A blocking client, for tests that look from outside."""

    def __init__(self, address: str, *hello: object) -> None:
        host, port = address.split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        self._file = self._socket.makefile("rb")
        self.send(*hello)

    def send(self, *values: object) -> None:
        self._socket.sendall(b"".join(msgspec.json.encode(value) + b"\n" for value in values))

    def answer(self) -> Any:  # noqa: ANN401 - JSON
        line = self._file.readline()
        return msgspec.json.decode(line) if line else None

    def ask(self, value: object) -> Any:  # noqa: ANN401 - JSON
        self.send(value)
        return self.answer()

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Process:
    """A node that is ready, until it is killed or stopped."""

    def __init__(self, data_dir: Path, *flags: str, crash_point: str = "") -> None:
        self.data_dir = data_dir
        environment = dict(os.environ)
        if crash_point:
            environment["EXCHANGE_CRASH_POINT"] = crash_point
        command = [sys.executable, "-m", "exchange.node.command", "--data-dir", str(data_dir)]
        self.process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", "--no-auth", *flags],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.told: list[str] = []
        self._wait_ready()

    def _wait_ready(self) -> None:
        """Read what it says until it says where it serves; it says so after it is ready."""
        assert self.process.stderr is not None, "a pipe was asked for"
        while line := self.process.stderr.readline():
            self.told.append(line.strip())
            if " serves on " in line:
                break

    @property
    def endpoints(self) -> dict[str, Any]:
        row = msgspec.json.decode((self.data_dir / ENDPOINTS).read_bytes(), type=dict[str, Any])
        assert row["pid"] == self.process.pid, "another node's endpoints"
        return row

    def client(self, *hello: object) -> Client:
        return Client(self.endpoints["tcp"], *hello)

    def status(self) -> dict[str, Any]:
        with self.client() as client:
            answer = client.ask({"id": 1, "type": "node.status"})
        assert isinstance(answer["value"], dict), "a status is an object"
        return answer["value"]

    def open_account(self) -> str:
        with Client(self.endpoints["coordinator"]) as client:
            return str(client.ask("C account"))

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def stop(self) -> int:
        self.process.terminate()
        return self.end()

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        code = self.process.wait(timeout=PATIENCE_S)
        assert self.process.stderr is not None, "a pipe was asked for"
        with self.process.stderr as rest:
            self.told += rest.read().splitlines()
        return code


@contextlib.contextmanager
def a_node(data_dir: Path, *flags: str, crash_point: str = "") -> Iterator[Process]:
    """Start a node; whatever happens, it is gone afterwards."""
    embedded = () if "--coordinator" in flags else ("--coordinator-listen", "127.0.0.1:0")
    node = Process(data_dir, *embedded, *flags, crash_point=crash_point)
    try:
        yield node
    finally:
        if node.process.poll() is None:
            node.kill()
