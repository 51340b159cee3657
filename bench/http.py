"""`python -m bench.http`: orders over HTTPS, and the feed with thousands of subscribers.

python -m bench.http orders               one a request, then lists of 100
python -m bench.http feed                 3,000 subscribers, 100 symbols, rising rates
python -m bench.http feed --subscribers 300 --rates 50,100 --seconds 5

One node with its gateway in one process, keys and TLS and forces on; the load comes from this
process, so both share the machine's cores.  A trade's latency is from the time its node wrote
into it, when it was decided, to when its last subscriber had it.
"""

import argparse
import os
import re
import resource
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import trio

from bench.figures import Figure, table
from bench.machine import percentile
from bench.orders import flow
from bench.readers import Readers
from exchange.client.cluster_process import SERVERS, Server

SERVERS["exchange"] = "exchange.gateway.node_command"
FREE = "127.0.0.1:0"
CASH, SHARES = "1000000000", "1000000"


class Http:
    """A connection to the gateway, kept alive."""

    def __init__(self, stream: trio.abc.Stream, host: str, key: str) -> None:
        self._stream = stream
        self._head = (
            f"Host: {host}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        )

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Send a request, return status and body."""
        content = b"" if body is None else msgspec.json.encode(body)
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(content)}\r\n\r\n"
        await self._stream.send_all(head.encode() + content)
        data = b""
        while b"\r\n\r\n" not in data:
            data += await self._stream.receive_some(65_536)
        told, _, rest = data.partition(b"\r\n\r\n")
        found = re.search(rb"content-length: ([0-9]+)", told)
        assert found is not None, told
        while len(rest) < int(found[1]):
            rest += await self._stream.receive_some(1 << 20)
        return int(told[9:12]), rest


class Gateway:
    """The server that is measured."""

    def __init__(self, server: Server) -> None:
        self.server = server
        told = msgspec.json.decode((server.directory / "endpoints.json").read_bytes())
        self.address: str = told["https"]
        self.tcp: str = told["tcp"]
        self.pid: int = told["pid"]
        self.context = ssl.create_default_context(cafile=str(server.directory / "https.crt"))
        self.operator_key = (server.directory / "operator.key").read_text().strip()

    async def stream(self) -> trio.abc.Stream:
        """Connect with TLS."""
        host, port = self.address.rsplit(":", 1)
        plain = await trio.open_tcp_stream(host, int(port))
        stream = trio.SSLStream(plain, self.context, server_hostname=host, https_compatible=True)
        await stream.do_handshake()
        return stream

    async def http(self, key: str) -> Http:
        """Connect for requests."""
        return Http(await self.stream(), self.address, key)

    async def account(self, symbols: list[str]) -> str:
        """Open an account with cash and shares; return its key."""
        operator = await self.http(self.operator_key)
        _, opened = await operator.ask("POST", "/v1/account")
        told = msgspec.json.decode(opened)
        for asset, quantity in [("USD", CASH), *((symbol, SHARES) for symbol in symbols)]:
            value = {"user_id": told["user_id"], "asset": asset, "quantity": quantity}
            status, answer = await operator.ask("POST", "/v1/transfers", value)
            assert status == 201, answer
        return str(told["api_key"])

    def cpu_s(self) -> float:
        """Return what the server has used, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Return the server's resident memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6


def orders(count: int, seed: int) -> list[dict[str, str]]:
    """Return orders of which some trade."""
    return [
        {"symbol": "AAPL", "side": side, "price": price, "quantity": "1"}
        for side, price in flow(count, seed)
    ]


def measure(directory: Path, *, seconds: float) -> list[Figure]:
    """Measure orders over HTTPS: one a request, then lists of 100."""
    with serving(directory) as gateway:
        return trio.run(partial(measure_orders, gateway, seconds=seconds))


@contextmanager
def serving(directory: Path) -> Iterator[Gateway]:
    """Run one node with its gateway in a directory."""
    sys.setswitchinterval(0.0002)
    arguments = ["--coordinator-listen", FREE, "--https", FREE, "--https-account-rate", "0"]
    # What it can do, not what it allows; the node counts each order of a list again.
    arguments += ["--account-rate", "0", "--address-rate", "0", "--https-handshake-rate", "0"]
    arguments += ["--open-orders-max", "100000000"]
    server = Server("exchange", directory / "node", arguments)
    trio.run(server.start)
    try:
        yield Gateway(server)
    finally:
        server.kill()
        words = server.last_words()
        if "failed" in words:
            print(words, file=sys.stderr)


async def measure_orders(gateway: Gateway, *, seconds: float) -> list[Figure]:
    """One order a request at 100/s and as fast as it goes; then lists of 100."""
    keys = [await gateway.account(["AAPL"]) for _ in range(2)]  # they trade with each other
    http = await gateway.http(keys[0])
    times: list[float] = []
    begun, cpu = time.perf_counter(), gateway.cpu_s()
    placed = int(100 * seconds)
    for place, order in enumerate(orders(placed, 0)):
        await trio.sleep(max(0.0, begun + place / 100 - time.perf_counter()))
        sent = time.perf_counter()
        status, answer = await http.ask("POST", "/v1/orders", order)
        assert status == 201, answer
        times.append((time.perf_counter() - sent) * 1e3)
    cpu = (gateway.cpu_s() - cpu) / placed
    note = f"p50 {percentile(times, 0.5):.2f} ms, server CPU {cpu * 1e3:.2f} ms"
    what = "HTTPS, one order a request at 100/s, p99"
    figures = [Figure("H1", what, percentile(times, 0.99), "ms", 10, note=note)]
    loads = [(8, 1), (32, 1), (1, 100), (2, 100), (8, 100)]
    return figures + [await _flood(gateway, keys, *load, seconds) for load in loads]


async def _flood(
    gateway: Gateway, keys: list[str], connections: int, size: int, seconds: float
) -> Figure:
    """Send as fast as answers come."""
    times: list[float] = []
    bodies = [orders(size, seed) for seed in range(64)]
    deadline = time.perf_counter() + seconds

    async def one(http: Http, first: int) -> None:
        for number in count(first):
            if time.perf_counter() >= deadline:
                return
            body: Any = bodies[number % len(bodies)]
            sent = time.perf_counter()
            status, answer = await http.ask("POST", "/v1/orders", body if size > 1 else body[0])
            assert status == 201, answer[:500]
            times.append((time.perf_counter() - sent) * 1e3)

    opened = [await gateway.http(keys[number % len(keys)]) for number in range(connections)]
    begun, cpu = time.perf_counter(), gateway.cpu_s()
    async with trio.open_nursery() as nursery:
        for number, http in enumerate(opened):
            nursery.start_soon(one, http, number * 7)
    placed = len(times) * size
    rate = placed / (time.perf_counter() - begun)
    cpu_us = (gateway.cpu_s() - cpu) / placed * 1e6
    note = f"p99 {percentile(times, 0.99):.1f} ms, server CPU {cpu_us:.0f} us an order"
    how = "one a request" if size == 1 else f"lists of {size}"
    what = f"HTTPS, {how}, {connections} connections, orders/s"
    must, aim = (10_000, 20_000) if (size, connections) == (100, 2) else (None, None)
    return Figure("H2", what, rate, "/s", must, aim, is_high_good=True, note=note)


async def measure_feed(
    gateway: Gateway, *, subscribers: int, symbols_count: int, rates: list[int], seconds: float
) -> None:
    """Raise the rate of trades until p99 to the last subscriber passes a second."""
    symbols = [f"S{number:03}" for number in range(symbols_count)]
    operator = await gateway.http(gateway.operator_key)
    for symbol in symbols:
        terms = {"symbol": symbol, "base": symbol, "quote": "USD", "tick_size": "0.01"}
        terms |= {"lot_size": "1", "base_decimals": 0, "quote_decimals": 2}  # type: ignore[dict-item]
        await operator.ask("POST", "/v1/symbols", terms)
    seller, buyer = await gateway.account(symbols), await gateway.account([])
    before = await _node_rate(gateway, seller, buyer, symbols[0], seconds)
    idle_mb = gateway.rss_mb()
    begun = time.perf_counter()
    certificate = gateway.server.directory / "https.crt"
    readers = Readers(gateway.address, certificate, symbols, subscribers)
    took = time.perf_counter() - begun
    each_kb = (gateway.rss_mb() - idle_mb) / subscribers * 1e3
    print(
        f"{subscribers} subscribers in {took:.1f} s, {each_kb:.0f} kB each; "
        f"server {gateway.rss_mb():.0f} MB"
    )
    for rate in rates:
        late = await _at_rate(gateway, readers, seller, buyer, symbols, rate, seconds)
        if late > 1.0:
            break
    after = await _node_rate(gateway, seller, buyer, symbols[0], seconds)
    print(f"orders/s by TCP on one symbol: {before:.0f} without, {after:.0f} with subscribers")
    readers.end()


async def _at_rate(
    gateway: Gateway,
    readers: Readers,
    seller: str,
    buyer: str,
    symbols: list[str],
    rate: int,
    seconds: float,
) -> float:
    readers.report()
    cpu, begun = gateway.cpu_s(), time.perf_counter()
    await _trade(gateway, seller, buyer, symbols, rate=rate, count=int(rate * seconds))
    took = time.perf_counter() - begun
    await trio.sleep(1.5)
    cpu = (gateway.cpu_s() - cpu) / took
    report = readers.report()
    lates = report.lates
    p99 = percentile(lates, 0.99)
    print(
        f"{len(lates) / took:7.0f} trades/s of {rate}: to the last subscriber p50 "
        f"{percentile(lates, 0.5) * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms; "
        f"{report.frames / took:.0f} frames/s; server CPU {cpu:.0%}, "
        f"{gateway.rss_mb():.0f} MB",
        flush=True,
    )
    return p99


async def _trade(
    gateway: Gateway, seller: str, buyer: str, symbols: list[str], *, rate: int, count: int
) -> None:
    """Trade one share at a time at a steady rate, over TCP."""
    streams = [await _enter(gateway, key) for key in (seller, buyer)]
    begun = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for stream in streams:
            nursery.start_soon(_drain, stream, count)
        sent = 0
        while sent < count:
            due = min(count, int((time.perf_counter() - begun) * rate) + 1)
            for stream, side in zip(streams, ("sell", "buy"), strict=True):
                lines = b"".join(_line(side, symbols[n % len(symbols)]) for n in range(sent, due))
                if lines:
                    await stream.send_all(lines)
            sent = due
            await trio.sleep(0.01)
    for stream in streams:
        await stream.aclose()


async def _node_rate(
    gateway: Gateway, seller: str, buyer: str, symbol: str, seconds: float
) -> float:
    """Return how many orders a second the node takes, every second one trading."""
    count = int(1_000 * seconds)
    begun = time.perf_counter()
    await _trade(gateway, seller, buyer, [symbol], rate=1_000_000, count=count)
    return 2 * count / (time.perf_counter() - begun)


async def _enter(gateway: Gateway, key: str) -> trio.SocketStream:
    host, port = gateway.tcp.rsplit(":", 1)
    stream = await trio.open_tcp_stream(host, int(port))
    hello = {"user_id": key.partition(".")[0], "api_key": key}
    await stream.send_all(msgspec.json.encode(hello) + b"\n")
    return stream


async def _drain(stream: trio.SocketStream, count: int) -> None:
    left = count
    while left:
        left -= (await stream.receive_some(1 << 16)).count(b"\n")


def _line(side: str, symbol: str) -> bytes:
    value = f'{{"order_type":"{side}","ticker":"{symbol}","price":10,"quantity":1}}'
    return f'{{"type":"C order","value":{value}}}\n'.encode()


def main() -> None:
    """Run the part that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.http", description=__doc__)
    parser.add_argument("part", choices=["orders", "feed"])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--subscribers", type=int, default=3_000)
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--rates", default="100,200,400,800,1600,3200")
    parser.add_argument("--dir", type=Path, help="where to measure: another disk")
    given = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    assert soft <= hard
    with tempfile.TemporaryDirectory(dir=given.dir) as directory:
        if given.part == "orders":
            print(table(measure(Path(directory), seconds=given.seconds)))
            return
        with serving(Path(directory)) as gateway:
            rates = [int(rate) for rate in given.rates.split(",")]
            trio.run(
                partial(
                    measure_feed,
                    gateway,
                    subscribers=given.subscribers,
                    symbols_count=given.symbols,
                    rates=rates,
                    seconds=given.seconds,
                )
            )


if __name__ == "__main__":
    main()
