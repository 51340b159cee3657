"""Crash points of the shell: what has happened when a node is killed there.

They cost one look at a global unless a test or `EXCHANGE_CRASH_POINT` has armed them.
`exchange.store.crash.CRASH_POINTS` says in a sentence what each means.
"""

from collections.abc import Iterable

from exchange.engine.effects import Answer, Send
from exchange.engine.messages import Ack, Events, Hello, Offer, Reply, SnapshotEnd
from exchange.engine.records import (
    AccountOpened,
    OrderCanceled,
    OrderPlaced,
    PeerSeen,
    Record,
    TradeAccepted,
    TradeDeclined,
    TradeOffered,
    TradeSettled,
)
from exchange.store import crash

FORCED: dict[type, str] = {
    AccountOpened: "account_forced_coordinator_untold",
    OrderPlaced: "order_forced_answer_unsent",
    OrderCanceled: "cancel_forced_answer_unsent",
    TradeOffered: "offer_forced_unsent",
    TradeAccepted: "acceptance_forced_reply_unsent",
    TradeDeclined: "decline_forced_reply_unsent",
    TradeSettled: "settlement_forced_ack_unsent",
    PeerSeen: "peer_forced_hello_unsent",
}
DECIDED: dict[type, str] = {
    OrderPlaced: "order_decided_unforced",
    TradeOffered: "offer_decided_unforced",
    TradeAccepted: "acceptance_decided_unforced",
    TradeSettled: "settlement_decided_unforced",
}
SENT: dict[type, str] = {
    Hello: "hello_sent",
    Events: "events_sent",
    SnapshotEnd: "snapshot_sent",
    Offer: "offer_sent",
    Reply: "reply_sent",
    Ack: "ack_sent",
    Answer: "answer_sent",
}


def decided(records: Iterable[Record]) -> None:
    """Pass the points between a decision and its force."""
    if crash.hook is not None:
        _pass({type(record) for record in records}, DECIDED)


def forced(records: Iterable[Record]) -> None:
    """Pass the points between a force and what it lets go."""
    if crash.hook is not None:
        _pass({type(record) for record in records}, FORCED)


def sent(effects: Iterable[object]) -> None:
    """Pass the points behind a send: the kernel has it."""
    if crash.hook is not None:
        _pass({type(e.message) if isinstance(e, Send) else type(e) for e in effects}, SENT)


def _pass(happened: set[type], points: dict[type, str]) -> None:
    for kind, point in points.items():
        if kind in happened:
            crash.crash_point(point)
