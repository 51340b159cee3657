"""`python -m bench.flood`: what a trader notices while somebody else floods with one key.

A trader places an order every 25 ms, over TCP and over HTTPS, and waits for each answer; first
alone, then beside a flood from another key on the same surface: over TCP down four connections
without a pause, over HTTPS on 16 connections as fast as answers come.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import trio

from bench.http import FREE, Gateway, Http, _enter, _line
from bench.machine import percentile
from exchange.client.cluster_process import Server

EVERY_S = 0.025
PIPELINED = 500  # orders of one send of the flood over TCP
TCP_CONNECTIONS, HTTPS_CONNECTIONS = 4, 16
ORDER = {"symbol": "AAPL", "side": "buy", "price": "10", "quantity": "1"}
Place = Callable[[], Awaitable[object]]


async def measure(gateway: Gateway, *, seconds: float) -> None:
    """Print the trader's latency alone and beside a flood."""
    trader, flooder = [await gateway.account(["AAPL"]) for _ in range(2)]
    stream = await _enter(gateway, trader)
    http = await gateway.http(trader)

    async def by_tcp() -> None:
        await stream.send_all(_line("buy", "AAPL"))
        while not (await stream.receive_some(1 << 16)).endswith(b"\n"):
            pass

    by_https: Place = partial(http.ask, "POST", "/v1/orders", ORDER)
    floods = {"TCP": (by_tcp, _flood_tcp), "HTTPS": (by_https, _flood_https)}
    for name, (place, flood) in floods.items():
        alone = await _latencies(place, seconds)
        async with trio.open_nursery() as nursery:
            counts = [0, 0]
            nursery.start_soon(flood, gateway, flooder, counts)
            await trio.sleep(3)  # the burst that a budget allows is over
            before, begun = list(counts), time.perf_counter()
            beside = await _latencies(place, seconds)
            took = time.perf_counter() - begun
            nursery.cancel_scope.cancel()
        answered, refused = (now - was for now, was in zip(counts, before, strict=True))
        print(
            f"{name}: alone {_told(alone)}; beside a flood of {answered / took:.0f}/s,"
            f" {refused / took:.0f}/s of them refused: {_told(beside)}",
            flush=True,
        )


async def _latencies(place: Place, seconds: float) -> list[float]:
    times = []
    begun = time.perf_counter()
    for number in range(int(seconds / EVERY_S)):
        if time.perf_counter() > begun + 2 * seconds:
            break  # it is so slow that there are enough
        await trio.sleep(max(0.0, begun + number * EVERY_S - time.perf_counter()))
        sent = time.perf_counter()
        await place()
        times.append((time.perf_counter() - sent) * 1e3)
    return times


async def _flood_tcp(gateway: Gateway, key: str, counts: list[int]) -> None:
    """Send without a pause; what is answered is read, so that it can go on."""
    lines = _line("buy", "AAPL") * PIPELINED

    async def read(stream: trio.SocketStream) -> None:
        while data := await stream.receive_some(1 << 18):
            counts[0] += data.count(b"\n")
            counts[1] += data.count(b"rate_limited")

    async def write(stream: trio.SocketStream) -> None:
        while True:
            await stream.send_all(lines)

    async with trio.open_nursery() as nursery:
        for _ in range(TCP_CONNECTIONS):
            stream = await _enter(gateway, key)
            nursery.start_soon(read, stream)
            nursery.start_soon(write, stream)


async def _flood_https(gateway: Gateway, key: str, counts: list[int]) -> None:
    """Send as fast as answers come."""

    async def one(http: Http) -> None:
        while True:
            status, _ = await http.ask("POST", "/v1/orders", ORDER)
            counts[0] += 1
            counts[1] += status == 429

    async with trio.open_nursery() as nursery:
        for _ in range(HTTPS_CONNECTIONS):
            nursery.start_soon(one, await gateway.http(key))


def _told(times: list[float]) -> str:
    return f"p50 {percentile(times, 0.5):.1f} ms, p99 {percentile(times, 0.99):.1f} ms"


def main() -> None:
    """Measure with the budgets as they are, or with another one."""
    parser = argparse.ArgumentParser(prog="python -m bench.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--account-rate", type=int, help="units of work a second of one account")
    parser.add_argument("--dir", type=Path, help="where to measure: another disk")
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    arguments = ["--coordinator-listen", FREE, "--https", FREE]
    if given.account_rate is not None:
        arguments += ["--account-rate", str(given.account_rate)]
    with tempfile.TemporaryDirectory(dir=given.dir) as directory:
        server = Server("exchange", Path(directory) / "node", arguments)
        trio.run(server.start)
        try:
            trio.run(partial(measure, Gateway(server), seconds=given.seconds))
        finally:
            server.kill()
        print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
