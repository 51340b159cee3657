"""Watches the clocks of a node and its peers, and tells what an operator should set right (S2).

what is seen                                        | event
----------------------------------------------------+------------------------------------------
the own wall clock was set, by a second or more     | clock_set
it is more than a minute from those of all peers    | clock_ahead or clock_behind
... and no longer                                   | clock_right
that of one peer is more than a minute from the own | peer_clock
stamps are more than two minutes ahead of the wall  | stamps_ahead: some clock was ahead once
"""

from collections.abc import Callable

from exchange.domain.units import CLOCK_APART_MAX_US, NodeId
from exchange.engine import clocks
from exchange.engine.soft import Soft
from exchange.process.clocks import Clocks
from exchange.process.logs import Event

SET_US = 1_000_000  # between two looks: a clock that is slewed moves a thousandth of that


class ClockWatch:
    """Compares clocks once a second."""

    def __init__(self, soft: Soft, clocks: Clocks, *, tell: Callable[[str], None]) -> None:
        self._soft = soft
        self._clocks = clocks
        self._tell = tell
        self._zero_us = self._wall_zero_us()
        self._told_way = 0  # 1: ahead of all peers, -1: behind, as told last
        self._apart: set[NodeId] = set()  # peers whose clock was told of
        self._are_stamps_told = False

    def look(self) -> None:
        """Tell of everything that has changed since the last look."""
        self._look_for_jump()
        self._look_at_own()
        self._look_at_peers()
        self._look_at_stamps()

    def _look_for_jump(self) -> None:
        before_us, self._zero_us = self._zero_us, self._wall_zero_us()
        by_us = self._zero_us - before_us
        if abs(by_us) >= SET_US:
            text = f"the wall clock of this node was set {_way(by_us, 'forward', 'back')}"
            self._tell(Event("clock_set", text, seconds=by_us / 1e6))

    def _look_at_own(self) -> None:
        apart_us = clocks.apart_us(self._soft)
        way = (apart_us > 0) - (apart_us < 0)
        if way == self._told_way:
            return
        self._told_way = way
        seconds = apart_us / 1e6
        text = (
            f"the wall clock of this node is {_way(apart_us)} those of all its peers; its orders "
            "trade and keep their place; set it right, and look at NTP"
        )
        if way > 0:
            self._tell(Event("clock_ahead", f"alarm clock_ahead: {text}", seconds=seconds))
        elif way < 0:
            self._tell(Event("clock_behind", f"alarm clock_behind: {text}", seconds=seconds))
        else:
            text = "the wall clock of this node agrees with that of a peer again, or none is linked"
            self._tell(Event("clock_right", text))

    def _look_at_peers(self) -> None:
        for peer, link in sorted(self._soft.links.items()):
            apart_us = clocks.peer_apart_us(self._soft, link)
            if abs(apart_us) <= CLOCK_APART_MAX_US:
                self._apart.discard(peer)
            elif peer not in self._apart:
                self._apart.add(peer)
                text = f"the wall clock of node {peer} is {_way(apart_us)} this node's"
                self._tell(Event("peer_clock", text, peer=peer, seconds=apart_us / 1e6))

    def _look_at_stamps(self) -> None:
        ahead_us = clocks.stamps_ahead_us(self._soft)
        are_ahead = ahead_us > 2 * CLOCK_APART_MAX_US  # a minute ahead is what a peer may push
        if are_ahead and not self._are_stamps_told:
            text = (
                f"stamps are {ahead_us / 1e6:.0f} s ahead of the wall clock of this node: some "
                "clock was ahead once; stamps count on from there, and nothing need be done"
            )
            self._tell(Event("stamps_ahead", text, seconds=ahead_us / 1e6))
        self._are_stamps_told = are_ahead

    def _wall_zero_us(self) -> int:
        return self._clocks.wall_us() - self._clocks.mono_us()


def _way(by_us: int, more: str = "ahead of", less: str = "behind") -> str:
    return f"{abs(by_us) / 1e6:.0f} s {more if by_us > 0 else less}"
