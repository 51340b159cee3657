"""One node taking orders: C1, C3, P1, L1, L3."""

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.cluster import Cluster, running
from bench.figures import Figure
from bench.load import Line, line, run_pipelined
from bench.machine import commit_seconds, median, percentile

ORDERS = 60_000  # of the pipelined run: long enough for checkpoints to be part of it
PEER = "PostgreSQL inserting the order did 9,658 on such a machine"
TRADING_PART = 0.15  # of the orders cross, as in the prototype of performance.md


def requests(count: int, seed: int) -> list[Line]:
    """Return orders as lines of the reference protocol."""
    lines = []
    for side, price in flow(count, seed):
        value = {"order_type": side, "ticker": "AAPL", "price": price, "quantity": 1}
        lines.append(line({"type": "C order", "value": value}))
    return lines


def flow(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield sides and prices of orders of which some trade; the rest rests near the market."""
    source = random.Random(seed)
    for _ in range(count):
        side = source.choice(("buy", "sell"))
        away = -1 if source.random() < TRADING_PART else 1
        cents = 10_000 + (away if side == "sell" else -away) * source.randint(1, 100)
        yield side, f"{cents // 100}.{cents % 100:02d}"


async def measure(directory: Path, *, scale: float) -> list[Figure]:
    """Measure one node, everything on."""
    async with running(directory, 1) as cluster:
        return _measure(cluster, scale)


def _measure(cluster: Cluster, scale: float) -> list[Figure]:
    users = cluster.accounts(1, 32)
    commits = commit_seconds()
    figures = []
    single = _run(cluster, users, 1, 1, int(500 * scale))
    idle = percentile(single.latencies, 0.5)
    figures.append(_forces(single, "1 connection", 1, 1))
    many = _run(cluster, users, 32, 1, int(8_000 * scale))
    figures.append(_forces(many, "32 connections", 0.12, 0.04))
    full = _run(cluster, users, 8, 32, int(ORDERS * scale))
    figures.append(_forces(full, "8 x 32 in flight", 0.02, 0.006))
    figures += [
        Figure(
            "C3",
            "bytes written per order, in its payload",
            full.written / full.orders / full.payload,
            "x",
            6,
            3,
            note=f"{full.written / full.orders:.0f} bytes, payload {full.payload:.0f}",
        ),
        Figure("P1", "server CPU per order, 8 x 32", full.cpu * 1e6, "us", 33, 16),
        Figure(
            "T1", "orders/s, 32 connections one at a time", many.rate, "/s", None, None, True, PEER
        ),
        Figure("T2", "orders/s, 8 x 32 in flight", full.rate, "/s", None, None, True, PEER),
        Figure(
            "L1",
            "order acknowledged, idle, p50",
            idle / median(commits),
            "commits",
            4,
            2.5,
            note=f"{idle * 1e3:.2f} ms, a commit {median(commits) * 1e3:.2f} ms",
        ),
    ]
    half = _run(cluster, users, 8, 1, int(6_000 * scale))
    figures.append(
        Figure(
            "L3",
            "p99 of an order, 8 connections one at a time",
            percentile(half.latencies, 0.99) / percentile(commits, 0.99),
            "p99 of a commit",
            10,
            5,
            note=f"at {half.rate / full.rate:.0%} of the peak rate",
        )
    )
    return [*figures, _trades(cluster, users, int(ORDERS * scale))]


def _trades(cluster: Cluster, users: list[str], orders: int) -> Figure:
    """Measure trades at one node: four accounts sell what four others buy, share by share."""
    links = cluster.connect(1, users, 8)
    for link in links:
        link.ask({"type": "C stock", "value": {"ticker_id": "MSFT", "quantity": orders}})
    value = {"ticker": "MSFT", "price": "50.00", "quantity": 1}
    lines = [
        line({"type": "C order", "value": {"order_type": side, **value}})
        for side in ("sell", "buy") * 4
    ]
    before = cluster.status(1)
    took, _ = run_pipelined(links, [[text] * (orders // 8) for text in lines], 32)
    trades = cluster.status(1)["trades"] - before["trades"]
    for link in links:
        link.close()
    peers = "PostgreSQL trading did 5,476, Redis 43,380 on such a machine"
    what = "trades/s at one node, 8 x 32, every second order trades"
    return Figure("T3", what, trades / took, "/s", is_high_good=True, note=peers)


class Run(msgspec.Struct, frozen=True):
    """One load and what it cost the node."""

    orders: int
    forces: float  # per order
    cpu: float  # seconds per order
    written: int  # bytes in all
    rate: float  # orders/s
    latencies: list[float]  # seconds
    payload: float  # bytes per request


def _run(cluster: Cluster, users: list[str], connections: int, window: int, orders: int) -> Run:
    links = cluster.connect(1, users, connections)
    each = [requests(orders // connections, seed) for seed in range(connections)]
    before, written = cluster.status(1), cluster.written(1)
    took, latencies = run_pipelined(links, each, window)
    after, count = cluster.status(1), sum(map(len, each))
    for link in links:
        link.close()
    return Run(
        count,
        (after["forces"] - before["forces"]) / count,
        (after["cpu_s"] - before["cpu_s"]) / count,
        cluster.written(1) - written,
        count / took,
        latencies,
        sum(len(text) for lines in each for text in lines) / count,
    )


def _forces(run: Run, how: str, must: float, aim: float) -> Figure:
    return Figure("C1", f"forced writes per order, {how}", run.forces, "", must, aim)
