"""A peer that lies (B7): it may be put out of the market, it never breaks an honest node.

Some messages of one node are changed on their way: another number, another id, a message
less, a message twice.  Honest nodes may quarantine it or close its link; they may not crash,
and their own books must add up.  What two honest nodes settle is checked as ever.

It quotes proofs that nobody made as well: no honest node may stop of one (C3).
"""

from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from exchange.domain.units import make_id
from exchange.engine.messages import Batch, PeerMessage, SealedProof
from exchange.engine.records import OfferId
from fuzz.model import sums
from fuzz.violation import Violation

if TYPE_CHECKING:
    from fuzz.cluster import Cluster

_UNTOUCHED = {"cluster", "nonce", "boot_id", "address", "reason", "symbol", "side", "sum"}


def lie(batch: Batch, random: Random) -> Batch:
    """Change one thing in a batch."""
    messages = list(batch.messages)
    place = random.randrange(len(messages))
    match random.randrange(5):
        case 0:
            del messages[place]
        case 1:
            messages.insert(place, messages[place])
        case 2:
            messages.reverse()
        case _:
            messages[place] = _changed(messages[place], random)
    return msgspec.structs.replace(batch, messages=messages)


def _changed(message: PeerMessage, random: Random) -> PeerMessage:
    """Change a field of a message, or of the first order in it."""
    for name in ("events", "orders"):
        inner = getattr(message, name, None)
        if inner:
            altered = [_altered(inner[0], random), *inner[1:]]
            changed: PeerMessage = msgspec.structs.replace(message, **{name: altered})
            return changed
    altered_message: PeerMessage = _altered(message, random)
    return altered_message


def _altered(value: Any, random: Random) -> Any:  # noqa: ANN401 - any struct of a message
    names = [name for name in value.__struct_fields__ if name not in _UNTOUCHED]
    if not names:
        return value
    name = random.choice(names)
    return msgspec.structs.replace(value, **{name: _other(getattr(value, name), random)})


def _other(value: Any, random: Random) -> Any:  # noqa: ANN401 - any field of a message
    if isinstance(value, OfferId | SealedProof):
        return _altered(value, random)
    if isinstance(value, bytes):
        return random.randbytes(len(value))
    if isinstance(value, tuple):
        return (value[0], _other(value[1], random))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        near = (value - 1, value + 1, 0, -1)
        return random.choice((*near, 1 << 62, make_id(random.randint(1, 4), random.randint(0, 9))))
    return value


def check_honest(cluster: "Cluster") -> None:
    """See that honest nodes add up, and agree on every trade between two of them (S13, B7)."""
    for node in cluster.exchange.nodes.values():
        if node.node == cluster.plan.liar:
            continue
        wrong = {asset: total for asset, total in sums(node).items() if total}
        if wrong:
            raise Violation("lies", f"node {node.node} does not sum to zero: {wrong}")
        for (proposer, offer_id), record in node.accepted.items():
            settled = cluster.exchange.node(proposer).settled.get((node.node, offer_id))
            if proposer != cluster.plan.liar and settled != record.quantity:
                raise Violation("lies", f"node {proposer} settled {settled}: {record}")
