"""A trade between two nodes while its offer is under way."""

import msgspec

from exchange.domain.orders import Side
from exchange.engine import inputs
from exchange.engine.messages import Offer
from tests.support.engines import Engines


def a_trade_in_flight(*, maker_quantity: int = 5, taker_quantity: int = 5) -> Engines:
    """Node 2 has a resting ask; node 1 has offered for it; the offer is on the wire."""
    engines = Engines(2)
    engines.sell(2, 1000, maker_quantity)
    engines.step(1, engines.place(1, Side.BUY, 1001, taker_quantity))
    return engines


def the_offer(engines: Engines) -> inputs.PeerBatch:
    """Take the offer off the wire, alone; what travelled with it stays."""
    for place, (sender, to, item) in enumerate(engines.wire):
        if not isinstance(item, inputs.PeerBatch):
            continue
        offers = [message for message in item.batch.messages if isinstance(message, Offer)]
        if offers:
            rest = [message for message in item.batch.messages if message not in offers]
            left = inputs.PeerBatch(msgspec.structs.replace(item.batch, messages=rest))
            engines.wire[place] = (sender, to, left)
            return inputs.PeerBatch(msgspec.structs.replace(item.batch, messages=offers))
    raise AssertionError("no offer on the wire")
