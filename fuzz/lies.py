"""A peer that lies (B7): it may be put out of the market, it never breaks an honest node.

Some messages of one node are changed on their way, any field of them: another number, another
id, a text that is none, a message less, a message twice, one that does not belong there.  Honest
nodes may quarantine it or close its link; they may not crash, and their own books must add up.
What two honest nodes settle is checked as ever.

It quotes proofs that nobody made as well: no honest node may stop of one (C3).
"""

from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from exchange.domain.book import OrderEvent
from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import (
    AccountId,
    Epoch,
    Lots,
    OrderId,
    Seq,
    Symbol,
    Ticks,
    TradeId,
    make_id,
    make_stamp,
)
from exchange.engine import messages
from exchange.engine.messages import Batch, PeerMessage
from exchange.engine.records import OfferId
from fuzz.model import sums
from fuzz.violation import Violation

if TYPE_CHECKING:
    from fuzz.cluster import Cluster

_TEXTS = ("", "E" * 600, 'A","B":"\x1b[2J', "USD", "ZZZ", "0.001", "0.0000000000001", "x", "9" * 41)
_NUMBERS = (0, -1, 1 << 53, (1 << 60) + 1, 1 << 62, (1 << 63) - 1, 1 << 63, 10**12 + 1)


def lie(batch: Batch, random: Random) -> Batch:
    """Change one thing in a batch."""
    said = list(batch.messages)
    place = random.randrange(len(said))
    match random.randrange(5):
        case 0:
            del said[place]
        case 1:
            said.insert(place, said[place])
        case 2:
            said.reverse()
        case _:
            said[place] = _changed(said[place], random)
    return msgspec.structs.replace(batch, messages=said)


def _invented(batch: Batch, random: Random) -> PeerMessage:
    """Return a message as an honest node might say it at another time."""
    epoch, seq = batch.session.epoch, Seq(random.randint(0, 40))
    offer_id, none = OfferId(epoch, seq), OfferId(Epoch(0), Seq(0))
    own, other = make_id(batch.sender, random.randint(0, 9)), make_id(random.randint(1, 3), 1)
    stamp = make_stamp(max(0, batch.clock - random.randint(0, 99)), batch.sender)
    side = random.choice((Side.BUY, Side.SELL))
    price, quantity = Ticks(random.randint(1, 200)), Lots(random.randint(1, 20))
    order = OrderEvent(
        OrderId(own), Symbol("AAPL"), side, price, quantity, stamp, 1, AccountId(own)
    )
    return random.choice(
        (
            messages.Events(epoch, seq, [order]),
            messages.SnapshotBegin(epoch, seq),
            messages.SnapshotChunk([order]),
            messages.SnapshotEnd(epoch, seq, 0, "0" * 32),
            messages.Resumed(epoch, seq),
            messages.Resync(),
            messages.Applied(epoch, seq),
            messages.Offer(
                offer_id,
                TradeId(own),
                OrderId(own),
                OrderId(other),
                side,
                quantity,
                price,
                stamp,
                stamp,
            ),
            messages.Reply(offer_id, quantity),
            messages.Ack(offer_id),
            messages.Heartbeat(epoch, seq, 0, "0" * 32, none),
            messages.Listed([plain_ticker("ZZZ")]),
            messages.Quarantine("why"),
            messages.Refusal("why", batch.proof),
            messages.Hello(
                "x", b"n", epoch, b"b", "a:1", offer_id, offer_id, offer_id, None, b"", batch.proof
            ),
        )
    )


def _changed(message: PeerMessage, random: Random) -> PeerMessage:
    """Change a field of a message, or of the first entry of a list in it."""
    changed: PeerMessage = _altered(message, random)
    return changed


def _altered(value: Any, random: Random) -> Any:  # noqa: ANN401 - any struct of a message
    names = value.__struct_fields__
    if not names:
        return value
    name = random.choice(names)
    return msgspec.structs.replace(value, **{name: _other(getattr(value, name), random)})


def _other(value: Any, random: Random) -> Any:  # noqa: ANN401 - any field of a message
    match value:
        case msgspec.Struct():
            return _altered(value, random)
        case Side():
            return random.choice((Side.BUY, Side.SELL))
        case bool():
            return not value
        case int():
            near = (value - 1, value + 1, value + random.randint(1, 99))
            foreign = make_id(random.randint(1, 4), random.randint(0, 9))
            return random.choice((*near, *_NUMBERS, foreign))
        case str():
            return random.choice((*_TEXTS, value + "\n", value[:-1], value * 2))
        case bytes():
            return random.choice((random.randbytes(len(value)), value[:-1], value * 40, b""))
        case list():
            return _other_list(value, random)
        case tuple():
            return (
                (_other(value[0], random), value[1])
                if random.random() < 0.3
                else (
                    value[0],
                    _other(value[1], random),
                )
            )
        case _:
            return value


def _other_list(value: list[Any], random: Random) -> list[Any]:
    if not value:
        return value
    place = random.randrange(len(value))
    altered = [*value[:place], _other(value[place], random), *value[place + 1 :]]
    return random.choice((altered, altered, altered, value[:place], value * 2, value * 5_000))


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
