"""An instrument, a pair, and an order as the engine answers about it."""

import msgspec

from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side, Status, TimeInForce
from exchange.domain.units import Asset, Lots, Lsn, Micros, OrderId, Symbol, Ticks, make_id
from exchange.engine.effects import OrderAnswer

AAPL = plain_ticker("AAPL")
PAIR = msgspec.structs.replace(
    plain_ticker("BTC-USD"),
    symbol=Symbol("BTC-USD"),
    base=Asset("BTC"),
    lot_size="0.001",
    base_decimals=8,
    tick_size="10",
)
ORDER = OrderAnswer(
    order_id=OrderId(make_id(3, 9)),
    client_order_id="mine",
    instrument=AAPL,
    side=Side.BUY,
    time_in_force=TimeInForce.GTC,
    price=Ticks(1050),
    quantity=Lots(100),
    total=Lots(100),
    filled=Lots(0),
    in_doubt=Lots(0),
    cost=0,
    status=Status.OPEN,
    reason="",
    created=Micros(1_700_000_000_123_456),
    lsn=Lsn(77),
    visible=2,
)
