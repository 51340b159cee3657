"""What a coordinator knows durably: nodes, account numbers, instruments; a fold of records.

`apply` is the only function that changes the registry, in the live coordinator and when it is
read back (E2).  What is decided about it is in `core`.
"""

from typing import assert_never

import msgspec

from exchange.domain.instruments import CASH, CASH_DECIMALS, Instrument
from exchange.domain.units import (
    NODE_MAX,
    NUMBER_MAX,
    AccountId,
    Asset,
    Epoch,
    NodeId,
    Symbol,
    node_of,
    number_of,
)


class ClusterFounded(msgspec.Struct, frozen=True, array_like=True, tag=1):
    cluster: str


class NodeRegistered(msgspec.Struct, frozen=True, array_like=True, tag=2):
    node_id: NodeId
    nonce: bytes  # empty if the node was only heard of
    address: str  # empty if unknown
    epoch: Epoch  # 0 = not started yet, or only heard of
    boot_id: bytes
    has_started: bool  # others may know it; an id that was only given out is nobody to dial


class NodeRenewed(msgspec.Struct, frozen=True, array_like=True, tag=3):
    node_id: NodeId
    nonce: bytes
    address: str
    epoch: Epoch
    boot_id: bytes
    account_number: int  # the highest that is taken, there or here
    has_started: bool


class AccountAllocated(msgspec.Struct, frozen=True, array_like=True, tag=4):
    account: AccountId


class InstrumentListed(msgspec.Struct, frozen=True, array_like=True, tag=5):
    instrument: Instrument


RegistryRecord = ClusterFounded | NodeRegistered | NodeRenewed | AccountAllocated | InstrumentListed


class NodeEntry(msgspec.Struct, frozen=True, array_like=True):
    node_id: NodeId
    nonce: bytes
    address: str
    epoch: Epoch
    boot_id: bytes
    account_number: int  # the highest number given out; numbers are never given out twice
    has_started: bool  # epoch > 0, or another node has met it


class Registry:
    """What the coordinator knows durably.  Only `apply` changes it."""

    def __init__(self) -> None:
        self.cluster = ""  # empty until the first node registers
        self.nodes: dict[NodeId, NodeEntry] = {}
        self.instruments: dict[Symbol, Instrument] = {}
        # Derived.
        self.by_nonce: dict[bytes, NodeId] = {}
        self.decimals: dict[Asset, int] = {CASH: CASH_DECIMALS}

    def check(self) -> None:
        """Assert the invariants; tests call it after every step."""
        nonces = [entry.nonce for entry in self.nodes.values() if entry.nonce]
        assert len(nonces) == len(set(nonces)), "two nodes with one nonce"
        assert len(nonces) == len(self.by_nonce), "nonce index out of step"
        assert all(self.nodes[i].nonce == nonce for nonce, i in self.by_nonce.items()), "bad index"
        assert self.cluster or not self.nodes, "nodes without a cluster"
        assert all(entry.has_started or not entry.epoch for entry in self.nodes.values()), "epoch"
        for node_id, entry in self.nodes.items():
            assert node_id == entry.node_id, "node under a wrong id"
            assert 0 < node_id <= NODE_MAX, "node id out of range"
            assert 0 <= entry.account_number <= NUMBER_MAX, "account number out of range"
        for symbol, instrument in self.instruments.items():
            assert symbol == instrument.symbol, "instrument under a wrong symbol"
            assert self.decimals[instrument.base] == instrument.base_decimals, "decimals moved"
            assert self.decimals[instrument.quote] == instrument.quote_decimals, "decimals moved"

    def sorted_nodes(self) -> list[NodeEntry]:
        """Return the nodes in order of their ids."""
        return [self.nodes[key] for key in sorted(self.nodes)]


def apply(registry: Registry, record: RegistryRecord) -> None:
    """Change the registry by one record; live and read back, both end here (E2)."""
    match record:
        case ClusterFounded(cluster):
            registry.cluster = cluster
        case NodeRegistered(node_id, nonce, address, epoch, boot_id, has_started):
            entry = NodeEntry(node_id, nonce, address, epoch, boot_id, 0, has_started)
            _set_node(registry, entry)
        case NodeRenewed():
            _set_node(registry, NodeEntry(*msgspec.structs.astuple(record)))
        case AccountAllocated(account):
            entry = registry.nodes[node_of(account)]
            number = number_of(account)
            registry.nodes[entry.node_id] = msgspec.structs.replace(entry, account_number=number)
        case InstrumentListed(instrument):
            registry.instruments[instrument.symbol] = instrument
            registry.decimals[instrument.base] = instrument.base_decimals
            registry.decimals[instrument.quote] = instrument.quote_decimals
        case _:
            assert_never(record)


def _set_node(registry: Registry, entry: NodeEntry) -> None:
    before = registry.nodes.get(entry.node_id)
    if before is not None and before.nonce != entry.nonce:
        registry.by_nonce.pop(before.nonce, None)  # a lost node: see `rebirth`
    registry.nodes[entry.node_id] = entry
    if entry.nonce:
        registry.by_nonce[entry.nonce] = entry.node_id
