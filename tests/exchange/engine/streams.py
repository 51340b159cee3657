"""What tests of replication say and look at."""

import msgspec

from exchange.domain.book import OrderEvent
from exchange.domain.orders import Side
from exchange.domain.units import AccountId, Lots, NodeId, OrderId, Seq, make_id
from exchange.engine import inputs
from exchange.engine.effects import Send
from exchange.engine.messages import (
    Batch,
    Events,
    PeerMessage,
)
from exchange.engine.soft import Link
from tests.support.engines import Engines


def link(engines: Engines, node: int, peer: int) -> Link:
    return engines.engine(node).soft.links[NodeId(peer)]


def sent(engines: Engines, node: int) -> list[type[PeerMessage]]:
    return [type(e.message) for n, e in engines.effects if n == node and isinstance(e, Send)]


def say(engines: Engines, message: PeerMessage) -> inputs.PeerBatch:
    """Make a batch that node 2 says to node 1."""
    session = link(engines, 1, 2).session
    assert session is not None
    engine = engines.engine(2)
    return inputs.PeerBatch(Batch(session, engine.clock, engine.proof, [message], NodeId(2)))


def an_event(engines: Engines, **change: object) -> Events:
    """Return the event that would come next from node 2, changed."""
    stamp = engines.engine(2).clock << 13 | 2
    event = OrderEvent(
        OrderId(make_id(2, 77)),
        "AAPL",  # type: ignore[arg-type]
        Side.SELL,
        1000,  # type: ignore[arg-type]
        Lots(5),
        stamp,  # type: ignore[arg-type]
        1,
        AccountId(make_id(2, 1)),
    )
    have = link(engines, 1, 2).have
    assert have is not None
    return Events(have[0], Seq(have[1] + 1), [msgspec.structs.replace(event, **change)])
