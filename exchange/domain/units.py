"""The units of the market: integers with a name, their bounds, and how ids are packed (M1).

    account id, order id, trade id    node << 50 | number        shown as "node-number"
    stamp                             clock << 13 | node         clock: us since 2020-01-01

Every id carries the node that gave it out, so its owner is arithmetic (C1).  All of them
fit 63 bits: 8,191 nodes, 2**50 accounts and orders each, clocks until the year 2055.

`Lots(...)` and its like cost a call at run time, a quarter of a microsecond.  The few functions
that every order passes leave it out, and say so to the type checker.
"""

import re
from typing import NewType

NodeId = NewType("NodeId", int)
AccountId = NewType("AccountId", int)
OrderId = NewType("OrderId", int)
TradeId = NewType("TradeId", int)
Symbol = NewType("Symbol", str)
Asset = NewType("Asset", str)
Ticks = NewType("Ticks", int)  # a price, in tick sizes of the instrument
Lots = NewType("Lots", int)  # a quantity, in lot sizes of the instrument
Units = NewType("Units", int)  # an amount, in the smallest unit of an asset
Micros = NewType("Micros", int)  # wall clock, microseconds since 1970 UTC
Clock = NewType("Clock", int)  # hybrid logical clock, microseconds since 2020 UTC (S2)
Stamp = NewType("Stamp", int)  # unique and totally ordered: younger is greater (S2)
Epoch = NewType("Epoch", int)  # boot epoch, from 1 (W6)
Seq = NewType("Seq", int)
Lsn = NewType("Lsn", int)  # dense, from 1; 0 is the empty log

NODE_BITS = 13
NUMBER_BITS = 50
NODE_MAX = (1 << NODE_BITS) - 1
NUMBER_MAX = (1 << NUMBER_BITS) - 1
PRICE_MAX = 10**12  # ticks: room for any market, and price x quantity x tick fits in 63 bits
QUANTITY_MAX = 10**12  # lots
AMOUNT_MAX = 10**16  # units of one asset that may enter at one node; 500 nodes fit in 63 bits
CLOCK_ZERO_US = 1_577_836_800_000_000  # 2020-01-01, so that 50 bits last until 2055
CLOCK_WALL_MAX = (1 << 50) - (1 << 46)  # the year 2053: what a later wall clock counts as (S2)
CLOCK_HEARD_MAX = (1 << 50) - (1 << 45)  # a year of stamps further: no honest clock is beyond (S2)
CLOCK_APART_MAX_US = 60_000_000  # wall clocks further apart are told of, and not followed (S2)

_ID = re.compile(r"\A([1-9][0-9]{0,3})-(0|[1-9][0-9]{0,15})\Z", re.ASCII)


def make_id(node: int, number: int) -> int:
    """Pack an account, order or trade id."""
    assert 0 < node <= NODE_MAX, "node id out of range"
    assert 0 <= number <= NUMBER_MAX, "number out of range"
    return node << NUMBER_BITS | number


def node_of(packed: int) -> NodeId:
    """Return the node that owns an account or order, or that made a trade id."""
    return NodeId(packed >> NUMBER_BITS)


def number_of(packed: int) -> int:
    """Return the number of an id within its node."""
    return packed & NUMBER_MAX


def format_id(packed: int) -> str:
    """Write an id as people see it: `3-17`."""
    return f"{packed >> NUMBER_BITS}-{packed & NUMBER_MAX}"


def parse_id(text: str) -> int | None:
    """Read an id as `format_id` writes it; None if it is not one."""
    match = _ID.match(text)
    if match is None:
        return None
    node, number = int(match[1]), int(match[2])
    if node > NODE_MAX or number > NUMBER_MAX:
        return None
    return make_id(node, number)


def make_stamp(clock: int, node: int) -> Stamp:
    """Pack a stamp; within a node clocks only rise, so (clock, node) is unique (S2)."""
    return clock << NODE_BITS | node  # type: ignore[return-value]  # every order passes


def clock_of(stamp: int) -> Clock:
    """Return the clock of a stamp."""
    return stamp >> NODE_BITS  # type: ignore[return-value]  # every order passes


def wall_clock(now: Micros) -> Clock:
    """Return the clock that a wall time stands for; all times before 2020 stand for 0."""
    return Clock(min(max(0, now - CLOCK_ZERO_US), CLOCK_WALL_MAX))
