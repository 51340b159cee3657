"""Who a node is, where the others are, and whose key operates it: what outlives connections."""

from contextlib import suppress
from pathlib import Path

from exchange.domain.units import Epoch, NodeId
from exchange.process.files import write_file
from exchange.store.store import Store


class Who:
    """Who this node is, and where the others are."""

    def __init__(self, store: Store, epoch: Epoch, address: str) -> None:
        self._peers = store.state.peers
        self.node_id = store.state.node_id
        self.cluster = store.state.cluster
        self.epoch = epoch
        self.own_address = address
        self._heard: dict[NodeId, str] = {}  # addresses just told, perhaps not logged yet

    def address(self, peer: NodeId) -> str:
        """Return where a peer was last; empty if unknown."""
        known = self._peers.get(peer)
        return self._heard.get(peer) or (known.address if known is not None else "")

    def hear(self, peer: NodeId, address: str) -> None:
        """Take note of where a peer is; what is logged is what its hello says."""
        self._heard[peer] = address


class OperatorKey:
    """The hash of the cluster's operator key, kept for starts without the coordinator."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.hash = path.read_bytes()
        except FileNotFoundError:
            self.hash = b""

    def learn(self, key_hash: bytes) -> None:
        """Keep the hash that the coordinator told; losing it in a crash loses nothing."""
        if key_hash and key_hash != self.hash:
            self.hash = key_hash
            with suppress(OSError):  # told again at the next registration
                write_file(self._path, key_hash)
