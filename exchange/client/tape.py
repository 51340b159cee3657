"""The market's trades: the tapes of all deciders in one, ordered by (ts, node, seq) (S8)."""

from collections.abc import Sequence

from exchange.client import results
from exchange.client.cluster import Cluster

PAGE = 1000  # trades an answer holds at most


class Tape:
    """Reads on from where it was; one cursor per node."""

    def __init__(self, cluster: Cluster, node_ids: Sequence[int], symbol: str) -> None:
        self.rows: list[dict[str, object]] = []  # oldest first
        self._cluster = cluster
        self._next = dict.fromkeys(node_ids, 1)
        self._symbol = symbol

    async def read(self) -> int:
        """Read what is new at every node; return how many trades that was."""
        found: list[dict[str, object]] = []
        for node_id, from_seq in self._next.items():
            seq = from_seq
            while True:
                page = await self._cluster.trades(node_id, self._symbol, from_seq=seq, limit=PAGE)
                found.extend({**results.plain(one), "node": node_id} for one in page.trades)
                seq += len(page.trades)
                if len(page.trades) < PAGE:
                    break
            self._next[node_id] = seq
        if found:
            self.rows.extend(found)
            self.rows.sort(key=lambda row: (str(row["ts"]), row["node"], row["seq"]))
        return len(found)
