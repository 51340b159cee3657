"""Record what real nodes write and force while they trade, and what clients are told.

strace is attached to the running nodes: one file of calls a thread, complete buffers, times
of the same clock that the answers are stamped with.  Needs strace and the right to trace.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec
import trio

from exchange.client.cluster_process import LocalCluster
from fuzz.images.build import Force, Operation, Recording, Resize, Write

CALLS = "pwrite64,pwritev,pwritev2,writev,write,lseek,fdatasync,fsync,ftruncate,msync"
BUFFER_MAX = 1 << 22  # bytes of one call that strace prints
O_DSYNC = 0o10000
ATTACH_SECONDS_MAX = 15.0
_LINE = re.compile(r"^([0-9.]+) (\w+)\((.*)\) += (-?\d+)(?:<.*?>)?.*<([0-9.]+)>$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class Told(msgspec.Struct, frozen=True):
    """An answer that a client has: it must survive every cut after `at`."""

    at: float
    node: int
    client_order_id: str
    order_id: str


class Tape(msgspec.Struct, frozen=True):
    """A recorded run of a cluster."""

    directories: list[str]  # as the nodes left them; only `store/data.mdb` is replaced
    files: list[Recording]  # of each node
    told: list[Told]
    end: float  # until here every node was traced: later cuts would miss what one of them did


def can_record() -> str:
    """Say why nothing can be recorded here; empty if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else "strace may not trace here"


async def record(directory: Path, *, rounds: int, nodes: int = 2) -> Tape:
    """Run a cluster under strace and return what it wrote."""
    async with LocalCluster(directory, nodes=nodes) as local:
        users = _accounts(local, nodes)
        tracers = [
            _Tracer(directory / f"trace-{number}", server.pid or 0, server.directory)
            for number, server in enumerate(local.nodes, 1)
        ]
        for tracer in tracers:
            await tracer.wait_attached()
        bases = [tracer.file.read_bytes() for tracer in tracers]
        told = _trade(local, users, rounds)
        end = _now()
        files = [
            Recording(base, tracer.finish()) for base, tracer in zip(bases, tracers, strict=True)
        ]
        await local.stop()
        return Tape([str(path) for path in local.directories], files, told, end)


class _Tracer:
    """strace on one process."""

    def __init__(self, output: Path, pid: int, directory: Path) -> None:
        self.file = directory / "store" / "data.mdb"
        self._output = output
        self._descriptors = _descriptors(pid, self.file)
        command = ["strace", "-ff", "-ttt", "-T", "-xx", "-s", str(BUFFER_MAX)]
        command += ["-e", f"trace={CALLS}", "-o", str(output), "-p", str(pid)]
        self._log = output.with_suffix(".log").open("wb")
        self._process = subprocess.Popen(command, stderr=self._log)

    async def wait_attached(self) -> None:
        """Wait until the process is traced."""
        with trio.fail_after(ATTACH_SECONDS_MAX):
            while b"attached" not in self._output.with_suffix(".log").read_bytes():  # noqa: ASYNC110
                await trio.sleep(0.02)

    def finish(self) -> list[Operation]:
        """Stop tracing and return the operations on the file, in the order of the calls."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        self._log.close()
        found: list[Operation] = []
        for path in sorted(self._output.parent.glob(f"{self._output.name}.*")):
            if path.suffix != ".log":
                found += parse(path.read_text(), self._descriptors)
        return sorted(found, key=lambda operation: operation.begin)


def _descriptors(pid: int, file: Path) -> dict[int, bool]:
    """Return the descriptors of a file in a process, and whether each is synchronous."""
    found = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            if link.readlink() != file:
                continue
            flags = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text()
            value = int(re.search(r"^flags:\s*(\d+)", flags, re.MULTILINE)[1], 8)  # type: ignore[index]
            found[int(link.name)] = bool(value & O_DSYNC)
    assert found, f"process {pid} has not opened {file}"
    return found


def parse(text: str, descriptors: dict[int, bool]) -> Iterator[Operation]:
    """Read the calls of one thread that concern the file."""
    places: dict[int, int] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        begin, call, arguments, result = float(match[1]), match[2], match[3], int(match[4])
        end = begin + float(match[5])
        first = arguments.partition(",")[0]
        if result < 0 or not first.isdigit() or int(first) not in descriptors:
            continue
        descriptor = int(first)
        if call == "lseek":
            places[descriptor] = result
        elif call in ("fdatasync", "fsync"):
            yield Force(begin, end)
        elif call == "ftruncate":
            yield Resize(begin, end, int(arguments.rsplit(", ", 1)[1]))
        else:
            data = b"".join(
                bytes.fromhex(part.replace("\\x", "")) for part in _STRING.findall(arguments)
            )
            assert len(data) >= result, "strace has cut a buffer short"
            if call in ("pwrite64", "pwritev", "pwritev2"):
                numbers = [part for part in arguments.split(", ") if part.isdigit()]
                offset = int(numbers[-1])
            else:
                offset = places.get(descriptor, 0)
                places[descriptor] = offset + result
            yield Write(begin, end, offset, data[:result], descriptors[descriptor])


class Client:
    """A blocking line-JSON client: one request at a time, so that answers have a time."""

    def __init__(self, address: str, hello: object = None) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=30)
        self._file = self._socket.makefile("rwb")
        if hello is not None:
            self._file.write(json.dumps(hello).encode() + b"\n")

    def ask(self, value: object) -> object:
        """Send one request and wait for its answer."""
        self._file.write(json.dumps(value).encode() + b"\n")
        self._file.flush()
        answer: object = json.loads(self._file.readline())
        return answer

    def close(self) -> None:
        """Hang up; what could not be sent is of no interest any more."""
        with suppress(OSError):
            self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _accounts(local: LocalCluster, nodes: int) -> dict[int, str]:
    """Open and fund an account on every node."""
    coordinator = Client(local.coordinator.listen)
    users: dict[int, str] = {}
    while len(users) < nodes:
        user = coordinator.ask("C account")
        assert isinstance(user, str), user
        users.setdefault(int(user.partition("-")[0]), user)
    coordinator.close()
    for node, user in users.items():
        client = Client(_address(local, node), user)
        client.ask({"type": "U balance", "value": 1_000_000})
        client.ask({"type": "C stock", "value": {"ticker_id": "AAPL", "quantity": 100_000}})
        client.close()
    return users


def _trade(local: LocalCluster, users: dict[int, str], rounds: int) -> list[Told]:
    """Trade across the nodes, both ways, one request after the other."""
    clients = {node: Client(_address(local, node), user) for node, user in users.items()}
    told: list[Told] = []
    for number in range(rounds):
        for node, client in clients.items():
            side = "buy" if (number + node) % 2 else "sell"
            name = f"{node}-{number}"
            value = {
                "symbol": "AAPL",
                "side": side,
                "price": "10.00",
                "quantity": 1 + number % 3,
                "client_order_id": name,
            }
            answer = client.ask({"id": 1, "type": "order.create", "value": value})
            assert isinstance(answer, dict), answer
            assert answer["type"] == "order", answer
            told.append(Told(_now(), node, name, answer["value"]["order_id"]))
    for client in clients.values():
        client.close()
    return told


def _now() -> float:
    """Return the clock that strace stamps its lines with."""
    return time.clock_gettime(time.CLOCK_REALTIME)


def _address(local: LocalCluster, node: int) -> str:
    endpoints = local.nodes[node - 1].endpoints
    assert endpoints is not None
    return endpoints.tcp
