"""Let a rebuilt node back in: the operator accepts, the others are introduced to it (C3).

The others know the lost node by its birth nonce and have seen its log.  Each of them gets one
record: the new nonce, and as proof of its log the rebuilt one.  So does the coordinator, in its
own directory or inside that of a node that embeds it.  Then the rebuilt directory's store gets
the name that a node looks for.  All of it offline; whoever was left out can be told later.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from exchange.coordinator.rebirth import replace
from exchange.domain.units import Epoch, Lsn, NodeId
from exchange.engine.messages import SealedProof
from exchange.engine.records import PeerSeen
from exchange.process.files import write_file
from exchange.store.directory import STORE, UNACCEPTED
from exchange.store.frames import Identity
from recovery.directory import COORDINATORS, marked
from recovery.knowledge import Between, Rebuilt
from recovery.offline import OfflineNode, now
from recovery.problems import EXIT_USAGE
from recovery.replay import CannotReplay

EMBEDDED = "coordinator"  # where a node keeps the coordinator that it embeds
SECRET = "cluster.secret"  # by which the processes of a cluster know each other without TLS


def read_rebuilt(path: Path) -> Rebuilt:
    """Read what was recovered and what was not."""
    try:
        return msgspec.json.decode((path / "recovery.json").read_bytes(), type=Rebuilt)
    except OSError as error:
        detail = f"{path} was not made by recover-node: recovery.json in it: {error.strerror}"
        raise CannotReplay(f"{detail}; give what --to has named", EXIT_USAGE) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        detail = f"{path}/recovery.json is not what recover-node has written: {error}"
        raise CannotReplay(f"{detail}; run it again", EXIT_USAGE) from error


def accept(path: Path, others: Sequence[Path]) -> Rebuilt:
    """Introduce a rebuilt node to the others, then let it serve; again for who was left out."""
    rebuilt, identity = read_rebuilt(path), marked(path)
    rebuilt.path = str(path)
    if identity is None or identity.nonce.hex() != rebuilt.nonce:
        raise CannotReplay(f"{path} is not what recover-node made", EXIT_USAGE)
    for other in others:
        _check(other, identity, rebuilt)
    told = [_introduce(other, rebuilt, identity) for other in others]
    _share_secret(path, others)
    if (path / UNACCEPTED).exists():
        _let_serve(path)
    elif not any(told):
        raise CannotReplay(f"{path} is accepted already, and all of these know it")
    return rebuilt


def untold(rebuilt: Rebuilt, others: Sequence[Path]) -> list[str]:
    """Say who is not among those that were given, and must hear of it too."""
    given = [found for found in map(marked, others) if found is not None]
    nodes = {found.node_id for found in given if found.cluster != COORDINATORS}
    missing = sorted({*rebuilt.between, *rebuilt.absent} - nodes)
    names = [f"node {node}" for node in missing]
    has_registry = any(found.cluster == COORDINATORS for found in given)
    if not has_registry and not any(marked(path / EMBEDDED) for path in others):
        names.append("the coordinator (unless it was inside the lost node)")
    return names


def _check(path: Path, identity: Identity, rebuilt: Rebuilt) -> None:
    """Refuse what cannot be introduced, before anything is written."""
    found = marked(path)
    if found is None:
        raise CannotReplay(f"{path} is the directory of no node and no coordinator", EXIT_USAGE)
    if found.cluster not in (identity.cluster, COORDINATORS):
        detail = f"{path} is of cluster {found.cluster}, not of {identity.cluster}"
        raise CannotReplay(detail, EXIT_USAGE)
    if found.node_id == identity.node_id:
        raise CannotReplay(f"{path} is of node {identity.node_id} itself", EXIT_USAGE)
    if found.cluster != COORDINATORS:
        _check_trades(path, found.node_id, identity, rebuilt)


def _check_trades(path: Path, other: NodeId, identity: Identity, rebuilt: Rebuilt) -> None:
    """Refuse who knows a later life, or trades whose other halves the new log does not have."""
    with OfflineNode.open(path) as node:
        known, between = node.state.peer(identity.node_id), rebuilt.between
    is_told = known.nonce == identity.nonce
    has_all = is_told or not between or between.get(other, Between()).holds(known)
    has_served = is_told and not (Path(rebuilt.path) / UNACCEPTED).exists()  # else it is a copy
    if not has_all or (known.epoch > rebuilt.epoch and not has_served):
        told = f"{path} has heard of node {rebuilt.node} what {rebuilt.path} was not made of"
        where = "start the directory that said it; if that is lost too, make this one again"
        raise CannotReplay(f"{told}; {where}, by recover-node with the directories of all others")


def _introduce(path: Path, rebuilt: Rebuilt, identity: Identity) -> bool:
    """Tell a node and the coordinator inside it, or a coordinator, who bears the id from now on."""
    found = marked(path)
    is_coordinator = found is not None and found.cluster == COORDINATORS
    told = not is_coordinator and _tell_node(path, rebuilt)
    registry = path if is_coordinator else path / EMBEDDED
    if marked(registry) is not None:
        told |= replace(
            registry,
            cluster=identity.cluster,
            node_id=identity.node_id,
            nonce=identity.nonce,
            epoch=Epoch(rebuilt.epoch),
        )
    return told


def _tell_node(path: Path, rebuilt: Rebuilt) -> bool:
    with OfflineNode.open(path) as node:
        lost, nonce = NodeId(rebuilt.node), bytes.fromhex(rebuilt.nonce)
        known = node.state.peer(lost)
        if known.nonce == nonce:
            return False
        digest, boot_id, mac = map(bytes.fromhex, (rebuilt.digest, rebuilt.boot_id, rebuilt.mac))
        proof = SealedProof(Lsn(rebuilt.lsn), digest, boot_id, mac)
        record = PeerSeen(lost, nonce, Epoch(rebuilt.epoch), b"", known.address)
        node.append([record], seen={lost: proof}, is_seen_replaced=True, ts=now())
        return True


def _share_secret(path: Path, others: Sequence[Path]) -> None:
    """Give the rebuilt node the cluster's secret: else nobody believes it, or its coordinator."""
    known = [other / SECRET for other in others if (other / SECRET).exists()]
    if known and not (path / SECRET).exists():
        write_file(path / SECRET, known[0].read_bytes())


def _let_serve(path: Path) -> None:
    (path / UNACCEPTED).rename(path / STORE)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
