"""Crash points are passed where they say, and cost nothing otherwise."""

from collections.abc import Iterator

import pytest

from exchange.domain.units import Epoch, Lots, Micros, NodeId, OrderId, TradeId
from exchange.engine.effects import Answer, Done, Send
from exchange.engine.messages import Offer, Reply, Session
from exchange.engine.records import OfferId, TradeAccepted, TradeSettled
from exchange.node import crashes
from exchange.store import crash

OFFER = OfferId(Epoch(1), 1)  # type: ignore[arg-type]  # a Seq
SETTLED = TradeSettled(NodeId(2), OFFER, Lots(1), Micros(0))
ACCEPTED = TradeAccepted(
    NodeId(2),
    OFFER,
    TradeId(1),
    OrderId(1),
    OrderId(2),
    Lots(1),
    1,  # type: ignore[arg-type]  # Ticks
    Micros(0),
)


@pytest.fixture(name="passed")
def _passed() -> Iterator[list[str]]:
    points: list[str] = []
    crash.hook = points.append
    yield points
    crash.hook = None


def test_points_between_decision_force_and_send_are_told_apart(passed: list[str]) -> None:
    """E3, style 8: named for what has happened."""
    crashes.decided([ACCEPTED])
    crashes.forced([ACCEPTED, SETTLED, SETTLED])
    crashes.sent([Send(NodeId(2), Session(Epoch(1), 1), Reply(OFFER, Lots(1))), Answer(1, Done())])

    assert passed == [
        "acceptance_decided_unforced",
        "acceptance_forced_reply_unsent",
        "settlement_forced_ack_unsent",
        "reply_sent",
        "answer_sent",
    ]


def test_every_point_of_the_shell_is_in_the_list() -> None:
    """Style 8: docs/recovery.md has a row for each."""
    points = {*crashes.DECIDED.values(), *crashes.FORCED.values(), *crashes.SENT.values()}

    assert points <= set(crash.CRASH_POINTS)
    assert crashes.SENT[Offer] == "offer_sent"


def test_without_a_hook_nothing_is_looked_at() -> None:
    """Style 8: production pays one look at a global."""
    crashes.forced(iter(()))
    crashes.sent(iter(()))
