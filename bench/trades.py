"""Two nodes trading with each other: C2, L2, and trades a second."""

from pathlib import Path

from bench.cluster import Cluster, running
from bench.figures import Figure
from bench.load import Connection, Line, line, run_pipelined
from bench.machine import commit_seconds, median, percentile

IN_FLIGHT = ((1, 3, 2), (8, 0.75, 0.25), (32, None, None), (64, 0.1, 0.03), (512, None, None))
PEERS = {32: "two PostgreSQL did 903 on such a machine", 512: "bound by PostgreSQL 2,182"}


async def measure(directory: Path, *, scale: float) -> list[Figure]:
    """Measure cross-node trades: makers on node 2, takers on node 1."""
    async with running(directory, 2) as cluster:
        return _measure(cluster, scale)


def _measure(cluster: Cluster, scale: float) -> list[Figure]:
    makers, takers = cluster.accounts(2, 8), cluster.accounts(1, 8)
    commits = commit_seconds()
    figures, idle = [], 0.0
    for in_flight, must, aim in IN_FLIGHT:
        count = int(min(20_000, 200 * in_flight + 200) * scale)
        run = _run(cluster, makers, takers, in_flight, count)
        name = f"forced writes per trade and node, {in_flight} in flight"
        figures.append(Figure("C2", name, run["forces"], "", must, aim))
        figures.append(
            Figure(
                {32: "T5", 512: "T6"}.get(in_flight, ""),
                f"cross-node trades/s, {in_flight} in flight",
                run["rate"],
                "/s",
                is_high_good=True,
                note="; ".join(
                    [
                        f"CPU {run['cpu'] * 1e6:.0f} us a trade over both nodes",
                        *([PEERS[in_flight]] if in_flight in PEERS else []),
                    ]
                ),
            )
        )
        idle = idle or run["p50"]
    figures.append(
        Figure(
            "L2",
            "cross-node trade settled at both, idle, p50",
            idle / median(commits),
            "commits",
            14,
            6,
            note=f"{idle * 1e3:.2f} ms, a commit {median(commits) * 1e3:.2f} ms",
        )
    )
    return figures


def _run(
    cluster: Cluster, makers: list[str], takers: list[str], in_flight: int, count: int
) -> dict[str, float]:
    """Rest `count` asks on node 2, then take them from node 1, each waited for until done."""
    lanes = min(8, in_flight)
    links = cluster.connect(2, makers, 8)
    run_pipelined(links, [_lines("sell", count // 8 + 1)] * 8, 64)
    _close(links)
    cluster.rest()
    before = [cluster.status(node) for node in cluster.ids]
    links = cluster.connect(1, takers, lanes)
    each = [_lines("buy", count // lanes)] * lanes
    took, latencies = run_pipelined(links, each, in_flight // lanes)
    _close(links)
    cluster.rest()
    after = [cluster.status(node) for node in cluster.ids]
    trades = after[1]["trades"] - before[1]["trades"]
    assert trades == count // lanes * lanes, "an order did not trade"
    clean_up(cluster, makers)
    pairs = list(zip(before, after, strict=True))
    return {
        "forces": sum(new["forces"] - old["forces"] for old, new in pairs) / trades / 2,
        "cpu": sum(new["cpu_s"] - old["cpu_s"] for old, new in pairs) / trades,
        "rate": trades / took,
        "p50": percentile(latencies, 0.5),
    }


def clean_up(cluster: Cluster, users: list[str]) -> None:
    """Cancel what is left, so that the next run starts from an empty book."""
    for link in cluster.connect(2, users, len(users)):
        link.ask({"id": 1, "type": "order.cancel_all", "value": {}})
        link.close()
    cluster.rest()


def _lines(side: str, count: int) -> list[Line]:
    value = {"symbol": "AAPL", "side": side, "price": "10.00", "quantity": 1}
    request = {"id": 1, "type": "order.create", "value": value, "wait": "done"}
    return [line(request)] * count


def _close(links: list[Connection]) -> None:
    for link in links:
        link.close()
