"""A cheap client: many connections, a window of requests in flight on each, one thread."""

import json
import selectors
import socket
import time
from collections.abc import Sequence

Line = bytes


class Connection:
    """A blocking line-JSON connection, for setting things up and for one request at a time."""

    def __init__(self, address: str, hello: object = None) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        if hello is not None:
            self.socket.sendall(line(hello))

    def ask(self, value: object) -> object:
        """Send one request and wait for its answer."""
        self.socket.sendall(line(value))
        answer: object = json.loads(self.file.readline())
        return answer

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self.socket.close()


def line(value: object) -> Line:
    """Write a value as a line of the protocol."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def run_pipelined(
    connections: Sequence[Connection], requests: Sequence[Sequence[Line]], window: int
) -> tuple[float, list[float]]:
    """Send each connection its requests with `window` in flight; return seconds and latencies.

    Latency is from the send that held a request to the read that held its answer.
    """
    selector = selectors.DefaultSelector()
    sent = [0] * len(connections)
    answered = [0] * len(connections)
    started: list[list[float]] = [[] for _ in connections]
    rest = [b""] * len(connections)
    latencies: list[float] = []
    start = time.perf_counter()
    for index, connection in enumerate(connections):
        connection.socket.setblocking(False)
        selector.register(connection.socket, selectors.EVENT_READ, index)
        _fill(connection, requests[index], sent, answered, started, index, window)
    left = sum(map(len, requests))
    while left:
        for key, _ in selector.select(timeout=60):
            index = key.data
            data = rest[index] + connections[index].socket.recv(1 << 18)
            *lines, rest[index] = data.split(b"\n")
            now = time.perf_counter()
            for answer in lines:
                assert b'"error"' not in answer, answer
                latencies.append(now - started[index][answered[index]])
                answered[index] += 1
            left -= len(lines)
            _fill(connections[index], requests[index], sent, answered, started, index, window)
    took = time.perf_counter() - start
    for connection in connections:
        connection.socket.setblocking(True)
    selector.close()
    return took, latencies


def _fill(
    connection: Connection,
    requests: Sequence[Line],
    sent: list[int],
    answered: list[int],
    started: list[list[float]],
    index: int,
    window: int,
) -> None:
    room = min(window - (sent[index] - answered[index]), len(requests) - sent[index])
    if room > 0:
        data = b"".join(requests[sent[index] : sent[index] + room])
        now = time.perf_counter()
        started[index].extend([now] * room)
        sent[index] += room
        connection.socket.setblocking(True)
        connection.socket.sendall(data)
        connection.socket.setblocking(False)
