"""Thousands of WebSocket subscribers in one process, as cheap as Python can have them.

They run beside what is measured, on the same cores, so every microsecond counts: nonblocking
sockets, one selector, no event loop, and of each frame only times are read.
"""

import multiprocessing
import multiprocessing.connection
import re
import selectors
import socket
import ssl
import struct
import time
from datetime import datetime
from pathlib import Path

import msgspec

TRADE = re.compile(
    rb'"channel":"trades","node":1,"symbol":"([A-Z0-9]*)","seq":([0-9]*)[^{}]*?"ts":"([^"]*)"'
)
READ = 1 << 16


class Report(msgspec.Struct):
    """What the subscribers got since the last report."""

    lates: list[float]  # seconds to the last subscriber, one a trade
    frames: int


class Readers:
    """The process of the subscribers, from outside."""

    def __init__(self, address: str, certificate: Path, symbols: list[str], count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, far = context.Pipe()
        self._process = context.Process(
            target=_run, args=(far, address, str(certificate), symbols, count), daemon=True
        )
        self._process.start()
        assert self._pipe.recv() == "ready"

    def report(self) -> Report:
        """Return what came since the last call."""
        self._pipe.send("report")
        lates, frames = self._pipe.recv()
        return Report(lates, frames)

    def end(self) -> None:
        """End the process."""
        self._pipe.send("end")
        self._process.join()


def _run(
    pipe: multiprocessing.connection.Connection,
    address: str,
    certificate: str,
    symbols: list[str],
    count: int,
) -> None:
    context = ssl.create_default_context(cafile=certificate)
    selector = selectors.EpollSelector()
    rests: dict[int, bytes] = {}
    for number in range(count):
        reader = _subscribe(context, address, symbols[number % len(symbols)])
        reader.setblocking(False)
        rests[reader.fileno()] = b""
        selector.register(reader, selectors.EVENT_READ)
    selector.register(pipe, selectors.EVENT_READ)
    pipe.send("ready")
    last: dict[tuple[bytes, bytes], float] = {}
    frames = 0
    while True:
        for key, _ in selector.select():
            if key.fileobj is pipe:
                if pipe.recv() == "end":
                    return
                pipe.send((list(last.values()), frames))
                last, frames = {}, 0
                continue
            assert isinstance(key.fileobj, ssl.SSLSocket)
            data = rests[key.fd] + _read(key.fileobj)
            now = time.time()  # noqa: TID251 - compared with the server's clock
            count_now, rests[key.fd] = _frames(data)
            frames += count_now
            for symbol, seq, ts in TRADE.findall(data):
                late = now - datetime.fromisoformat(ts.decode()).timestamp()
                if late > last.get((symbol, seq), 0.0):
                    last[symbol, seq] = late


def _read(reader: ssl.SSLSocket) -> bytes:
    data = b""
    try:
        while part := reader.recv(READ):
            data += part
    except ssl.SSLWantReadError:
        pass
    return data


def _frames(data: bytes) -> tuple[int, bytes]:
    """Count the whole frames, and return what is left after them."""
    count = start = 0
    while len(data) - start >= 2:
        length, head = data[start + 1], 2
        if length == 126 and len(data) - start >= 4:
            length, head = struct.unpack_from("!H", data, start + 2)[0], 4
        elif length == 127 and len(data) - start >= 10:
            length, head = struct.unpack_from("!Q", data, start + 2)[0], 10
        if len(data) - start < head + length:
            break
        start += head + length
        count += 1
    return count, data[start:]


def _subscribe(context: ssl.SSLContext, address: str, symbol: str) -> ssl.SSLSocket:
    host, port = address.rsplit(":", 1)
    plain = socket.create_connection((host, int(port)))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = context.wrap_socket(plain, server_hostname=host)
    stream.sendall(
        f"GET /v1/feed HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    told = b""
    while b"\r\n\r\n" not in told:
        told += stream.recv(READ)
    value = {"channels": ["trades"], "symbols": [symbol]}
    text = msgspec.json.encode({"id": 1, "type": "feed.subscribe", "value": value})
    assert len(text) < 126, "one short frame"
    stream.sendall(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)
    rest = told.partition(b"\r\n\r\n")[2]
    while b'"type":"ok"' not in rest:
        rest += stream.recv(READ)
    return stream
