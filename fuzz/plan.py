"""What one run does: what people and fate do at which time, and the character of the run.

What depends on the course of events, such as the delay of one message, is drawn from
`Plan.chance()` while it runs: one stream of randomness, one thread, so the same plan gives the
same history.
"""

from random import Random
from typing import Literal

import msgspec

from fuzz.disk import Failure

MS = 1_000
SECOND = 1_000_000
DAY = 86_400 * SECOND


class Crash(msgspec.Struct, frozen=True, tag=True):
    """Processes die at once, or when they pass a point; they start again after a while."""

    at_us: int
    nodes: tuple[int, ...]
    point: str  # one of POINTS
    down_us: int


class Restore(msgspec.Struct, frozen=True, tag=True):
    """A node is killed, and its disk replaced by a backup made a while before (C3)."""

    at_us: int
    node: int
    age_us: int
    boots: int  # the copy has counted its epoch up that often already


class Reset(msgspec.Struct, frozen=True, tag=True):
    """A link breaks, with bytes in flight."""

    at_us: int
    dialer: int
    acceptor: int


class Partition(msgspec.Struct, frozen=True, tag=True):
    """Nothing passes from `source` to `target`; `is_both`: nor the other way."""

    at_us: int
    source: int
    target: int
    is_both: bool
    duration_us: int


class Pause(msgspec.Struct, frozen=True, tag=True):
    """A process does not run for a while, and then goes on as if nothing had been (B5)."""

    at_us: int
    node: int
    duration_us: int
    is_unnoticed: bool = False  # the monotonic clock stood still too: a paused virtual machine


class Slow(msgspec.Struct, frozen=True, tag=True):
    """Messages from `source` to `target` take longer."""

    at_us: int
    source: int
    target: int
    extra_us: int
    duration_us: int


class Jump(msgspec.Struct, frozen=True, tag=True):
    """A wall clock is set, by any amount; after a while it is set right again, or it is not."""

    at_us: int
    node: int
    by_us: int
    duration_us: int  # 0: it stays wrong


class Rot(msgspec.Struct, frozen=True, tag=True):
    """The next write of a node fails with an error."""

    at_us: int
    node: int
    failure: Failure


class Flip(msgspec.Struct, frozen=True, tag=True):
    """A node is killed, and one bit on its disk changes until somebody repairs it (W4, W5)."""

    at_us: int
    node: int
    place: int  # which of all values
    bit: int
    down_us: int


class Resolve(msgspec.Struct, frozen=True, tag=True):
    """An operator stops a node and decides all its doubts: as proven, or else abort (S4)."""

    at_us: int
    node: int


class Archive(msgspec.Struct, frozen=True, tag=True):
    """A node is stopped, the log before its checkpoint is moved away, and it starts again."""

    at_us: int
    node: int


class Full(msgspec.Struct, frozen=True, tag=True):
    """The store of a node reports that it is full, until it is not (W7)."""

    at_us: int
    node: int
    duration_us: int


Fault = (
    Crash
    | Restore
    | Reset
    | Partition
    | Pause
    | Slow
    | Jump
    | Rot
    | Flip
    | Archive
    | Resolve
    | Full
)

POINTS = {
    "now": "at any moment",
    "force_lost": "the next write is in progress, and is not there afterwards",
    "force_kept": "the next write is in progress, and is there afterwards",
    "forced_unsent": "the next write is forced, and nothing of what it allows has left",
    "half_sent": "some of what a turn sends has left",
    "boot_lost": "while the next boot epoch is being forced, which is lost",
    "drained": "it is being stopped, and takes no more orders",
    "boot_kept": "when the next boot epoch is forced, and nobody has heard of it",
}


class Operation(msgspec.Struct, frozen=True):
    """One thing a client wants.  `target` is the index of the order it is about."""

    at_us: int
    kind: str
    node: int
    account: int
    symbol: int = 0
    is_buy: bool = True
    price: int = 0
    quantity: int = 0
    amount: int = 0
    is_ioc: bool = False
    self_trade: int = 1
    is_keyed: bool = True
    is_wait_done: bool = False
    target: int = -1


class Plan(msgspec.Struct, frozen=True):
    """All of one run."""

    seed: int
    size: str
    nodes: int
    accounts: int  # of each node
    symbols: int
    cash: int
    shares: int
    ack: Literal["visible", "durable"]
    visible_within_us: int  # beyond it a slow peer is set aside (B5); 0: what a node does by itself
    ring: int
    chunk: int
    checkpoint_entries: int  # dirty entries that are enough for a checkpoint
    cached_accounts: int  # accounts that stay in memory behind a checkpoint
    tail: int  # records that are enough for a checkpoint
    history: int  # frames before the checkpoint that are checked at a start
    delay_us: int  # mean one-way delay of a message
    force_us: int  # mean duration of a force
    turn_us: int  # a node lets inputs gather that long
    redial_us: int
    client_us: int  # mean delay between client and node
    patience_us: int  # a client asks again after that long
    depth: int  # writes that may be under way at once
    keep: float  # how likely all that is in flight on a breaking link arrives; -1: never any
    late: float  # how likely bytes in flight of a broken link arrive later than the next link
    duplicate: float  # ... and arrive again
    haunt: float  # ... and again, past the restart of who they were for
    notice: float  # how likely an end of a broken link hears of it
    is_early_applied: bool  # `Applied` leaves ahead of the gate, as E3 allows
    is_encoded: bool  # batches pass through JSON
    liar: int  # a node some of whose messages are lies (B7); 0: none
    is_session_checked: bool  # off: the marks must do without the sessions (S5)
    skew_us: tuple[int, ...]  # of each node's wall clock
    drift_ppm: tuple[int, ...]  # how much too fast it runs, in millionths
    join_us: int  # when the last node joins the others; 0: it is there from the start
    listed: int  # symbols from the start; the others are listed by their first order
    busy_us: int  # faults end here
    operations: tuple[Operation, ...] = ()
    faults: tuple[Fault, ...] = ()

    def chance(self) -> Random:
        """Return the randomness of the run, apart from that of the plan."""
        return Random(self.seed << 8 | 0x5A)
