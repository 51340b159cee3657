"""Clocks: what a node makes of its own wall clock and of those of its peers (S2).

Theory of operation
===================
Stamps come from a hybrid logical clock: a counter that every message carries and every
receiver takes over, so an order placed after another was acknowledged is younger, whatever any
wall clock shows (B3).  A wall clock only moves the counter forward.

    a clock that is heard          | what is made of it
    -------------------------------+--------------------------------------------------------
    up to CLOCK_HEARD_MAX          | taken over, however far ahead of the wall it is: a node
                                   | that was once wrong is understood, and so is whoever
                                   | took its clock over
    beyond                         | not taken over; its sender is quarantined, for no honest
                                   | node gets there: walls count up to CLOCK_WALL_MAX, and
                                   | stamps alone need years from there to here

    the own wall clock             | what is made of it
    -------------------------------+--------------------------------------------------------
    nobody is linked               | used, once the node is ready: no peer has come (C6)
    within CLOCK_APART_MAX_US of   | used
    any linked peer's, or behind   |
    further ahead of all of them   | used up to that bound: one wrong clock pushes nobody

Nothing here refuses a link or ends one: what ends doubt needs no clock.
"""

from exchange.domain.units import (
    CLOCK_APART_MAX_US,
    CLOCK_HEARD_MAX,
    Clock,
    Micros,
    clock_of,
    wall_clock,
)
from exchange.engine.errors import RemoteProtocolError
from exchange.engine.messages import Batch
from exchange.engine.soft import Link, Soft

WALL_SAID_MAX = 1 << 60  # the year 38,000: what is beyond is no time, and is left out of account


def advance(soft: Soft) -> None:
    """Move the clock forward to the own wall clock, as far as that can be believed."""
    zero_us, wall = soft.wall_zero_us, soft.wall
    if zero_us is not None:
        wall = Micros(min(wall, zero_us + soft.now_us + CLOCK_APART_MAX_US))
    elif not soft.is_ready:
        return  # a start, or a silence: perhaps a peer knows better, and no stamp is needed yet
    soft.clock = max(soft.clock, wall_clock(wall))


def compare(soft: Soft) -> None:
    """Note which wall clock of a linked peer is the furthest ahead: a few times a second."""
    walls = _walls(soft)
    soft.wall_zero_us = max(walls) - soft.now_us if walls else None


def hear(soft: Soft, link: Link, batch: Batch) -> None:
    """Take over the clock that a batch carries; note what its sender's wall clock shows.

    Raises RemoteProtocolError for a clock that no honest node can have.
    """
    if 0 < batch.wall <= WALL_SAID_MAX:
        link.wall_zero_us = batch.wall - soft.now_us
        if soft.wall_zero_us is None:
            soft.wall_zero_us = link.wall_zero_us
    if not 0 <= batch.clock <= CLOCK_HEARD_MAX:
        raise RemoteProtocolError(f"node {link.peer} sent a clock that no node can have (S2)")
    soft.clock = max(soft.clock, batch.clock)


def apart_us(soft: Soft) -> int:
    """Return by how much the own wall clock is ahead of all linked peers' (below 0: behind).

    0 if it agrees with one of them within CLOCK_APART_MAX_US, or nobody is linked.
    """
    heard = _walls(soft)
    if not heard:
        return 0
    nearest = min((soft.wall - wall for wall in heard), key=abs)
    is_between = min(heard) < soft.wall < max(heard)
    return nearest if abs(nearest) > CLOCK_APART_MAX_US and not is_between else 0


def peer_apart_us(soft: Soft, link: Link) -> int:
    """Return by how much a linked peer's wall clock is ahead of the own; 0 if it is not linked."""
    if link.session is None or link.wall_zero_us is None:
        return 0
    return link.wall_zero_us + soft.now_us - soft.wall


def stamps_ahead_us(soft: Soft) -> int:
    """Return how far stamps are ahead of the own wall clock: some clock was ahead once."""
    return max(0, max(soft.clock, soft.state.scalars.clock) - wall_clock(soft.wall))


def check_stamp(link: Link, stamp: int, clock: Clock) -> None:
    """Refuse a stamp ahead of the clock that it came with: no node gives out one (B7)."""
    if clock_of(stamp) > clock:
        raise RemoteProtocolError(f"node {link.peer} sent a stamp ahead of its own clock")


def _walls(soft: Soft) -> list[int]:
    """Return what the wall clocks of all linked peers show now."""
    return [
        link.wall_zero_us + soft.now_us
        for link in soft.links.values()
        if link.session is not None and link.wall_zero_us is not None
    ]
