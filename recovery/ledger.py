"""The double entry of a node: per asset, accounts + external + clearing sum to zero (S13, M3)."""

from collections import defaultdict

import msgspec

from exchange.domain.orders import Account
from exchange.engine.state import State
from exchange.store.disk import Disk
from exchange.store.tables import CODECS


class AssetSum(msgspec.Struct):
    """One asset over one node, in its smallest units."""

    asset: str
    decimals: int
    accounts: int = 0  # available and held
    held: int = 0
    external: int = 0  # minus all that came in
    clearing: int = 0  # what trades with peers owe this node

    @property
    def total(self) -> int:
        """Return the sum, which must be zero."""
        return self.accounts + self.external + self.clearing


def ledger(state: State, disk: Disk) -> list[AssetSum]:
    """Add up all accounts of a node, those in the tables and those in memory."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    codec = CODECS["accounts"]
    for account in state.accounts.values():
        _add(sums, account)
    for key, sealed in disk.scan("accounts"):
        if codec.open_key(key) not in state.accounts:
            _add(sums, codec.open(key, sealed))
    rows: dict[str, AssetSum] = {}

    def row(asset: str) -> AssetSum:
        return rows.setdefault(asset, AssetSum(asset, state.decimals.get(asset, 0)))  # type: ignore[call-overload]

    for asset, (amount, held) in sums.items():
        row(asset).accounts, row(asset).held = amount, held
    for asset, amount in state.scalars.external.items():
        row(asset).external = amount
    for peer in state.peers.values():
        for asset, amount in peer.clearing.items():
            row(asset).clearing += amount
    return [rows[asset] for asset in sorted(rows)]


def _add(sums: defaultdict[str, list[int]], account: Account) -> None:
    for asset, amount in account.available.items():
        sums[asset][0] += amount
    for asset, amount in account.held.items():
        sums[asset][0] += amount
        sums[asset][1] += amount
