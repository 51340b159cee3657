"""A rebuilt node takes the place of a lost one in the registry, offline (C2, C3).

Nobody else may change whose id it is: an old copy could say the same of itself.  The numbers of
the accounts stay taken, and the old nonce is nobody's from now on.
"""

from pathlib import Path

import msgspec

from exchange.coordinator.registry import NodeRegistered, NodeRenewed, RegistryRecord, apply
from exchange.coordinator.registry_store import RegistryStore
from exchange.domain.units import Epoch, NodeId
from exchange.store.directory import Directory
from exchange.store.errors import DirectoryUnusable, WrongDirectory


def replace(path: Path, *, cluster: str, node_id: NodeId, nonce: bytes, epoch: Epoch) -> bool:
    """Force the new nonce and epoch of a node; tell whether the registry did not have them.

    Raises DataDirInUse while the coordinator runs, and whatever keeps it from starting.
    """
    with Directory.lock(path) as directory:
        if directory.identity() is None:
            raise DirectoryUnusable(f"{path} is no data directory", remedy="give the right path")
        store = RegistryStore.open(directory, nonce=b"")
        try:
            registry = store.registry
            if registry.cluster and registry.cluster != cluster:
                raise WrongDirectory(
                    f"{path} is the coordinator of cluster {registry.cluster}, not of {cluster}",
                    remedy="give the coordinator of the node's own cluster",
                )
            entry = registry.nodes.get(node_id)
            if not registry.cluster or (entry is not None and entry.nonce == nonce):
                return False  # an empty registry learns it from the nodes
            record: RegistryRecord
            if entry is None:
                record = NodeRegistered(node_id, nonce, "", epoch, b"", has_started=True)
            else:
                renewed = NodeRenewed(*msgspec.structs.astuple(entry))
                record = msgspec.structs.replace(renewed, nonce=nonce, epoch=epoch, boot_id=b"")
            apply(registry, record)
            registry.check()
            store.commit(store.prepare([record]))
            return True
        finally:
            store.close()
