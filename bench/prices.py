"""`python -m bench.prices`: what each request costs a node, beside the price that it has.

One node without limits holds an account with open orders, fills and transfers, a market with
levels and a tape.  Each verb is sent so many times, pipelined, and the CPU time that the
process says it took is divided by the count: order by order, in units of one order.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import trio

from bench.cluster import Cluster
from bench.load import Connection, line, run_pipelined
from exchange.client.cluster_process import LocalCluster
from exchange.node.prices import answer_price, price_of
from exchange.wire.requests import Bye, decode_request

WINDOW = 16
ORDERS = 1_000  # open orders of the account, levels of the book, trades on the tape
SYMBOLS = 50  # more, each with one order
VERBS: list[tuple[str, object]] = [
    ("order.create", {"symbol": "AAPL", "side": "buy", "price": "0.01", "quantity": "1"}),
    ("order.get", {"client_order_id": "mine"}),
    ("account.get", {}),
    ("orders.list", {"limit": 100}),
    ("orders.list", {"limit": 100, "symbol": "S1"}),
    ("fills.list", {"limit": 100}),
    ("transfers.list", {"limit": 100}),
    ("book.get", {"symbol": "AAPL", "depth": 10}),
    ("book.get", {"symbol": "AAPL"}),
    ("trades.list", {"symbol": "AAPL", "limit": 100}),
    ("candles.get", {"symbol": "AAPL", "interval": "1m"}),
    ("node.status", {}),
    ("node.metrics", {}),
    ("key.list", {}),
    ("session.cancel_after", {"seconds": 60}),
    ("order.cancel_all", {"symbol": "S1"}),
]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.prices", description=__doc__)
    parser.add_argument("--requests", type=int, default=400)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        trio.run(partial(_measure, Path(directory), given.requests))


async def _measure(directory: Path, count: int) -> None:
    async with LocalCluster(directory, nodes=1) as local:
        cluster = Cluster(local)
        user, other = cluster.accounts(1, 2)
        connection, counter = cluster.connect(1, [user, other], 2)
        _prepare(connection, counter)
        order_us = 0.0
        for verb, value in VERBS:
            request = {"id": 1, "type": verb, "value": value}
            lines = [line(request)] * count
            size = len(line(connection.ask(request)))
            before = cluster.status(1)["cpu_s"]
            run_pipelined([connection], [lines], WINDOW)
            each_us = (cluster.status(1)["cpu_s"] - before) / count * 1e6
            order_us = order_us or each_us
            decoded = decode_request(lines[0].strip())
            assert not isinstance(decoded, Bye), "a verb is no farewell"
            price = price_of(decoded) + answer_price(size)
            print(
                f"{verb:22} {each_us:8.0f} us {each_us / order_us:7.1f} orders, price {price},"
                f" answer {size} bytes  {value}"
            )


def _prepare(connection: Connection, counter: Connection) -> None:
    """Fill the market."""
    named = {"symbol": "AAPL", "side": "buy", "price": "0.01", "quantity": "1"}
    requests = [
        {"id": 1, "type": "order.create", "value": {**named, "client_order_id": "mine"}},
        *[_order("AAPL", "sell", 100 + place / 100) for place in range(ORDERS)],
        *[_order(f"S{place}", "buy", 1) for place in range(SYMBOLS)],
        *[_order("AAPL", "buy", 50) for _ in range(ORDERS)],
    ]
    run_pipelined([connection], [[line(each) for each in requests]], WINDOW)
    crossing = [line(_order("AAPL", "sell", 50)) for _ in range(ORDERS)]
    run_pipelined([counter], [crossing], WINDOW)


def _order(symbol: str, side: str, price: float) -> dict[str, object]:
    value = {"symbol": symbol, "side": side, "price": f"{price:.2f}", "quantity": "1"}
    return {"id": 1, "type": "order.create", "value": value}


if __name__ == "__main__":
    main()
