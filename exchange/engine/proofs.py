"""Proofs of a log: how a node knows what it has told of its own, and what it never did (C3).

Theory of operation
===================
Every batch says how far the sender's log is durable: an LSN, the digest of the log there, the
boot that forced it, and a seal over all three, made with a secret that never leaves the node's
directory.  A peer keeps the newest and quotes it in its next hello, or when it refuses one.

    the seal is wrong               | forged: the peer lies, this node trades on
    the log does not have the proof | this directory is an old copy of the node's: stop
    else                            | all is well: this log goes on behind it

Where the frame is still here its digest decides.  What was archived cannot be compared; but
the node keeps the list of its boots for ever, and within one boot a log never forks: a proof
from a boot of the list, at an LSN of that boot, is of this log.  A copy boots with another id.
"""

from enum import Enum
from hashlib import blake2b
from hmac import compare_digest

import msgspec

from exchange.engine.messages import MAC_SIZE, Proof, SealedProof
from exchange.engine.state import State

SECRET_SIZE = 32  # bytes


class Standing(Enum):
    """What a proof that a peer quotes says about this node's log."""

    KNOWN = 1
    FORGED = 2
    MISSING = 3


def seal(state: State, proof: Proof) -> SealedProof:
    """Seal a proof of the own log, forced in the current boot."""
    boot_id = state.scalars.boot_id
    return SealedProof(
        proof.lsn, proof.digest, boot_id, _mac(state, proof.lsn, proof.digest, boot_id)
    )


def is_sealed(state: State, proof: SealedProof) -> bool:
    """Tell whether this node, or a copy of it, has made a proof."""
    return compare_digest(proof.mac, _mac(state, proof.lsn, proof.digest, proof.boot_id))


def is_of_a_boot(state: State, proof: SealedProof) -> bool:
    """Tell whether a proof is from a boot of this log, at an LSN of that boot."""
    end = int(state.lsn)
    for boot in sorted(state.boots.values(), key=lambda boot: boot.epoch, reverse=True):
        if boot.boot_id == proof.boot_id:
            return boot.first_lsn <= proof.lsn <= end
        end = boot.first_lsn - 1
    return False


def _mac(state: State, lsn: int, digest: bytes, boot_id: bytes) -> bytes:
    text = msgspec.msgpack.encode((lsn, digest, boot_id))
    return blake2b(text, digest_size=MAC_SIZE, key=state.secret).digest()
