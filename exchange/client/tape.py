"""The market's trades: the tapes of all deciders in one, ordered by (ts, node, seq) (S8)."""

from collections.abc import Sequence

from exchange.client import results
from exchange.client.cluster import Cluster
from exchange.client.connection import Request
from exchange.client.errors import Unreachable

ASK_SECONDS = 3.0  # a node that lives answers at once
PAGE = 1000  # trades an answer holds at most

Row = dict[str, object]  # a trade and its node


class Newest:
    """The newest trades of all nodes; reads no more of each tape than it takes."""

    def __init__(self, cluster: Cluster, node_ids: Sequence[int], symbol: str) -> None:
        self.rows: list[Row] = []  # oldest first
        self.count = 0  # of all there are
        self.missing: dict[int, str] = {}  # nodes that are away, and why: they know their trades
        self._cluster = cluster
        self._node_ids = node_ids
        self._symbol = symbol

    async def read(self, limit: int) -> None:
        """Read the newest `limit` trades."""
        for node_id in self._node_ids:
            try:
                await self._read_node(node_id, limit)
            except Unreachable as error:
                self.missing[node_id] = str(error)
        self.rows.sort(key=in_order)
        del self.rows[: max(0, len(self.rows) - limit)]

    async def _read_node(self, node_id: int, limit: int) -> None:
        value = {"symbol": self._symbol, "newest": True, "limit": min(limit, PAGE)}
        request = Request("trades.list", value)
        answer = await self._cluster.node(node_id).call(request, within=ASK_SECONDS)
        page = results.decode(answer, results.Trades)
        self.rows.extend(rows_of(page, node_id))
        last = page.next_seq - 1
        self.count += last
        seq, stop = max(1, last - limit + 1), last - len(page.trades)
        while seq <= stop:  # those before the newest page
            size = min(PAGE, stop - seq + 1)
            page = await self._cluster.trades(
                node_id, self._symbol, from_seq=seq, limit=size, within=ASK_SECONDS
            )
            self.rows.extend(rows_of(page, node_id))
            seq += size


def rows_of(page: results.Trades, node_id: int) -> list[Row]:
    """Return the trades of a page as rows."""
    return [{**results.plain(trade), "node": node_id} for trade in page.trades]


def in_order(row: Row) -> tuple[str, object, object]:
    """Return what rows are sorted by."""
    return (str(row["ts"]), row["node"], row["seq"])
