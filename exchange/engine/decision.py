"""What `decide` returns: records to log, effects to have, and what to look at next."""

import msgspec

from exchange.domain.orders import Side
from exchange.domain.units import OrderId, Stamp, Symbol, Ticks
from exchange.engine.effects import Answer, AnswerBody, Effect
from exchange.engine.inputs import Input, Ticket
from exchange.engine.records import Record


class MatchOrder(msgspec.Struct, frozen=True, gc=False):
    """Match one own order again: its quantity came back, or it is new (S3)."""

    order_id: OrderId


class MatchAgainst(msgspec.Struct, frozen=True, gc=False):
    """Match all own younger orders that this one crosses: its quantity appeared (S3)."""

    symbol: Symbol
    side: Side
    price: Ticks
    stamp: Stamp


FollowUp = MatchOrder | MatchAgainst


class Acknowledge(msgspec.Struct, frozen=True, gc=False):
    """Answer about an order once it is durable and visible (B3)."""

    ticket: Ticket
    order_id: OrderId
    wait_done: bool = False
    body: AnswerBody | None = None  # None: the order as it is after this decision


class Decision(msgspec.Struct, gc=False):
    """Mutable while one decision is made, then read once by the engine."""

    records: list[Record] = []
    effects: list[Effect] = []  # leave after the events of the orders touched (S3)
    acknowledge: list[Acknowledge] = []
    follow: list[FollowUp] = []
    cut: OrderId | None = None  # this order meets more than a pass takes, and is matched on
    rest: Input | None = None  # what is left of the input, for another turn


def answered(ticket: Ticket, body: AnswerBody) -> Decision:
    """Return a decision that answers at once; records may be added to it."""
    decision = Decision()
    decision.effects.append(Answer(ticket, body))
    return decision
