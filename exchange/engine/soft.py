"""Soft state: what a node believes and may forget (E2).  Only `observe` steps change it.

Replicas, sessions, the clock and answers that wait.  None of it is an authority and none of
it is in the log; a restart begins with an empty one.
"""

from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

from exchange.domain.book import OrderEvent, OwnerBook
from exchange.domain.instruments import Instrument
from exchange.domain.units import (
    AccountId,
    Clock,
    Epoch,
    Micros,
    NodeId,
    OrderId,
    Seq,
    Symbol,
)
from exchange.engine.decision import Acknowledge
from exchange.engine.effects import Answer
from exchange.engine.inputs import Ticket
from exchange.engine.messages import Events, SealedProof, Session
from exchange.engine.pace import Pace
from exchange.engine.records import OfferId
from exchange.engine.state import State

REJECTIONS_BURST = 100  # rejections of one account that are logged at once; then one
REJECTION_US = 1_000_000  # a second: 17 MB a day, where all of them would be 500 GB
REJECTED_ACCOUNTS = 10_000  # remembered; who has paid for all is forgotten
NOTHING_APPLIED = Seq(-1)  # a peer that does not even show what was there before seq 1


class EngineConfig(msgspec.Struct, frozen=True):
    """How a node behaves.  Times are microseconds of the monotonic clock."""

    ack: Literal["visible", "durable"] = "visible"
    address: str = ""  # what peers are told to dial
    visible_within_us: int = 0  # a peer that takes longer to show orders is set aside; 0: `pace`
    heartbeat_us: int = 1_000_000
    suspect_us: int = 3_000_000  # B5
    ring: int = 4096  # events kept to resume a stream; a longer absence costs a snapshot
    chunk: int = 500  # orders in a snapshot chunk, events in a message: about 40 kB on the wire
    open_orders_max: int = 200_000  # of one account: 300 bytes each here, and as many at each peer
    slice: int = 512  # records of one input in one turn: about 10 ms; the rest is for the next
    has_coordinator: bool = False  # elsewhere: somebody who can tell that this node is replaced
    is_session_checked: bool = True  # S6; tests of the marks switch it off (S5)


class Link:
    """What is soft about one peer.

    state       | session | hello seen | replica used | acknowledgements wait for it
    ------------+---------+------------+--------------+-----------------------------
    suspected   | no      | no         | no           | no
    connecting  | either  | no         | no           | yes: the node is starting (C5)
    syncing     | yes     | yes        | no           | yes (B3)
    synced      | yes     | yes        | yes          | yes
    slow        | yes     | yes        | no           | no: it was set aside, and may catch up (B5)
    quarantined | either  | either     | no           | no (B7)
    """

    def __init__(self, peer: NodeId, *, now_us: int, suspected: bool, within_us: int = 0) -> None:
        self.peer = peer
        self.pace = Pace(within_us)
        self.is_aside_there = False  # it has set this node aside, and said so
        self.session: Session | None = None
        self.last_session = Session(Epoch(0), 0)  # a session is only ever followed by a higher one
        self.is_helloed = False
        self.is_synced = False
        self.is_suspected = suspected
        self.quarantine = ""  # why; empty = not
        self.detail = ""  # why the last link was refused or dropped
        self.refusing = ""  # why we do not let it in
        self.refused = ""  # why it does not let us in, unproven (C3)
        self.has_let_in = False  # it has let us in since this boot, and not refused us later
        self.heard_us = now_us
        self.applied = NOTHING_APPLIED  # of our stream, at the peer
        self.progress_us = now_us  # when it last took anything in: `applied` rose, or a chunk left
        self.taken_us = now_us  # when we last took in something of its stream, or its hello
        self.level_us = now_us  # when `applied` last rose, or had nothing to rise to
        self.replica = OwnerBook()
        self.have: tuple[Epoch, Seq] | None = None  # of its stream, in `replica`
        self.incoming: OwnerBook | None = None  # the snapshot being received
        self.incoming_have: tuple[Epoch, Seq] = (Epoch(0), Seq(0))
        self.outgoing: deque[OrderId] | None = None  # the snapshot being sent: orders to come
        self.told: tuple[Epoch, Seq] | None = None  # how far we told it its stream is applied
        self.is_ack_due = False  # an `Ack` is owed (S7)
        self.forget_below: OfferId | None = None  # what it has acknowledged, not yet logged (S7)
        self.told_listings: dict[Symbol, Instrument] = {}  # what it knows; never believed (C1)
        self.wall_zero_us: int | None = None  # its wall clock minus our monotonic one (S2)
        self.tail: Events | None = None  # last message to it in this step, if a run of events

    @property
    def is_matched(self) -> bool:
        """Tell whether its orders may be matched (B5: no synced link, no offer)."""
        return self.is_synced and not self._is_out

    @property
    def is_waited_for(self) -> bool:
        """Tell whether acknowledgements wait for it (B3)."""
        return not self._is_out and not self.is_aside_there

    @property
    def may_answer_soon(self) -> bool:
        """Tell whether who asked to wait for the end of doubt waits for it (S4)."""
        return not self.is_suspected and not self.pace.is_aside

    @property
    def _is_out(self) -> bool:
        return self.is_suspected or self.pace.is_aside or bool(self.quarantine)

    @property
    def state(self) -> str:
        """Name the state as `node.status` shows it."""
        if self.quarantine:
            return "quarantined"
        if self.is_suspected:
            return "suspected"
        if self.session is None:
            return "connecting"
        if self.pace.is_aside:
            return "slow"
        return "synced" if self.is_synced else "syncing"


class Soft:
    """All soft state of a node, beside its durable `state`."""

    def __init__(
        self,
        state: State,
        config: EngineConfig,
        has_proof: Callable[[SealedProof], bool],
    ) -> None:
        self.state = state
        self.config = config
        self.has_proof = has_proof  # is this in our own log? (C3)
        self.own = OwnerBook()
        self.links: dict[NodeId, Link] = {}
        self.matched: list[OwnerBook] = [self.own]  # the market: own book and usable replicas
        self.clock = Clock(state.scalars.clock)
        self.wall = Micros(0)
        self.now_us = 0  # monotonic
        self.wall_zero_us: int | None = None  # the wall clock furthest ahead, minus `now_us` (S2)
        self.beat_us = 0  # when heartbeats were last sent
        self.stream_seq = Seq(0)
        self.ring: deque[OrderEvent] = deque(maxlen=config.ring)
        self.waiting: deque[tuple[Seq, Answer]] = deque()  # until visible through seq (B3)
        # Orders that meet more than a pass takes, in the middle of it, and who waits for the end.
        self.sweeping: dict[OrderId, list[Acknowledge]] = {}
        self.listed: dict[AccountId, list[OrderId]] = {}  # ids of who lists many open orders
        self.rejected_us: dict[AccountId, int] = {}  # until when its logged rejections are paid for
        self.waiting_done: dict[OrderId, list[Ticket]] = {}
        self.seen: dict[NodeId, SealedProof] = {}  # newest proof of each peer's log
        self.is_ready = False
        self.mute_until_us = 0  # it stood still, and nobody has heard it since (B5); 0 = not
        self.outcast = ""  # who refuses this node while nobody lets it in: it serves nobody (C3)
        self.stopped = ""  # why this node must stop: it is an old copy (C3)
        self.is_draining = False
        self.is_storage_full = False
        self.offers = 0  # made since this boot
        self.declines = 0  # received since this boot

    def may_log_rejection(self, account: AccountId) -> bool:
        """Tell whether one more rejection of an account is worth the disk (E2)."""
        return self.rejected_us.get(account, 0) < self.now_us + REJECTIONS_BURST * REJECTION_US

    def note_rejection(self, account: AccountId) -> None:
        """Count a rejection that is logged: one a second, after a burst."""
        if len(self.rejected_us) >= REJECTED_ACCOUNTS:
            now_us, paid = self.now_us, self.rejected_us
            self.rejected_us = {key: until for key, until in paid.items() if until > now_us}
        until_us = max(self.rejected_us.get(account, 0), self.now_us)
        self.rejected_us[account] = until_us + REJECTION_US

    def refresh_matched(self) -> None:
        """Rebuild the list of books that are matched, after a link changed."""
        links = [link for _, link in sorted(self.links.items()) if link.is_matched]
        self.matched = [self.own, *(link.replica for link in links)]
