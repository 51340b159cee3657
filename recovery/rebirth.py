"""Let a rebuilt node back in: the operator accepts, the others are introduced to it (C3).

The others know the lost node by its birth nonce and have seen its log.  Each of them gets one
record: the new nonce, and as proof of its log the rebuilt one.  Then the rebuilt directory's
store gets the name that a node looks for.  All of it offline.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from exchange.domain.units import Epoch, Lsn, NodeId
from exchange.engine.messages import Proof
from exchange.engine.records import PeerSeen
from exchange.store.directory import STORE
from recovery.knowledge import Rebuilt
from recovery.offline import OfflineNode, now
from recovery.rebuild import UNACCEPTED
from recovery.replay import CannotReplay


def read_rebuilt(path: Path) -> Rebuilt:
    """Read what was recovered and what was not."""
    try:
        return msgspec.json.decode((path / "recovery.json").read_bytes(), type=Rebuilt)
    except (OSError, msgspec.MsgspecError) as error:
        raise CannotReplay(f"{path} was not made by recover-node: {error}", 2) from error


def accept(path: Path, peers: Sequence[Path]) -> Rebuilt:
    """Introduce a rebuilt node to the others, then let it serve."""
    rebuilt = read_rebuilt(path)
    if not (path / UNACCEPTED).exists():
        raise CannotReplay(f"{path} is accepted already")
    proof = Proof(Lsn(rebuilt.lsn), bytes.fromhex(rebuilt.digest))
    for peer in peers:
        introduce(peer, rebuilt, proof)
    (path / UNACCEPTED).rename(path / STORE)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return rebuilt


def introduce(path: Path, rebuilt: Rebuilt, proof: Proof) -> None:
    """Tell one other node who bears the id from now on."""
    with OfflineNode.open(path) as node:
        lost = NodeId(rebuilt.node)
        known = node.state.peer(lost)
        nonce = bytes.fromhex(rebuilt.nonce)
        if known.nonce == nonce or node.store.identity.node_id == lost:
            return
        record = PeerSeen(lost, nonce, Epoch(rebuilt.epoch), b"", known.address)
        node.append([record], seen={lost: proof}, is_seen_replaced=True, ts=now())
