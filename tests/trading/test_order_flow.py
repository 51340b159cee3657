"""Real order flow, sequentially through real nodes, against one naive book (B3, S2).

The first 12,500 rows of `esh4`, as `tests/data` has them; `make bench` takes all of it.
"""

import gzip
from pathlib import Path

import pytest

from exchange.client.cluster_process import LocalCluster
from exchange.client.flow import Flow
from exchange.client.flow_file import read_flow
from exchange.client.oracle import agreement, rehearse
from exchange.client.replay import replay
from recovery.verification import verify

ROWS = Path(__file__).parent.parent / "data" / "esh4-12500.csv.gz"
ACCOUNTS = 12  # resting buyers, resting sellers and aggressors at every node


@pytest.fixture(scope="module")
def flow() -> Flow:
    with gzip.open(ROWS, "rt") as lines:
        return read_flow(lines, "ESH4", accounts=ACCOUNTS)


@pytest.mark.parametrize("nodes", [3, 1])
async def test_nodes_fill_what_one_naive_book_fills_on_every_line(
    nodes: int, flow: Flow, ram_path: Path
) -> None:
    """B3, S2, S13: who owns an order changes nothing; price-time priority holds across nodes."""
    equal, spoken = agreement(rehearse(flow).steps)

    async with LocalCluster(ram_path, nodes=nodes) as local, local.connect() as cluster:
        report = await replay(
            cluster, flow, source=ROWS.name, pace="sequential", progress=lambda *_: None
        )
        assert await local.stop() == [0] * (nodes + 1)

    assert report.first_problems == []
    assert report.is_right
    assert report.is_naive_equal
    assert report.is_books_equal
    assert report.is_conserved
    assert report.nodes == nodes
    assert report.orders == 10_271
    assert report.trades == 202
    assert (report.trade_lines_equal, report.trade_lines) == (equal, spoken) == (134, 135)
    assert verify(local.directories).problems == []
