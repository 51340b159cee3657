"""The double entry of a node is zero per asset, read from tables and memory (S13, M3)."""

from exchange.store.store import Store
from recovery.directory import DataDirectory
from recovery.ledger import AssetSum, ledger
from tests.recovery.cluster import Cluster


def sums(cluster: Cluster, index: int) -> list[AssetSum]:
    with DataDirectory.open(cluster.paths[index]) as directory:
        return ledger(Store.open(directory.disk, directory.identity).state, directory.disk)


def test_every_asset_sums_to_zero(doubtful: Cluster) -> None:
    """S13: also while a trade is in doubt."""
    for index in (0, 1):
        rows = sums(doubtful, index)
        assert [row.asset for row in rows] == ["ACME", "USD"]
        assert [row.total for row in rows] == [0, 0]


def test_accounts_in_the_tables_count_too(traded: Cluster) -> None:
    """E7: node 1 has checkpointed, its accounts are not in memory."""
    usd = sums(traded, 0)[1]

    assert usd == AssetSum("USD", 2, accounts=20_000_400, external=-20_000_000, clearing=-400)
