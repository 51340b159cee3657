"""What a node tells of itself while it runs: looked for once a second, off the hot path.

what changed since the last look             | event
---------------------------------------------+---------------------------------------
a peer is synced, or again after a suspicion | peer_synced, peer_returned
a peer is suspected, set aside, quarantined  | peer_suspected, peer_slow, peer_quarantined
an offer has had no answer for DOUBT_S       | offer_in_doubt, again every DOUBT_S (S4)
a checkpoint took SLOW_S or longer           | checkpoint_slow
keys stopped being good                      | keys_ended
clocks differ, or were set                   | as `clock_watch` says
"""

from collections.abc import Callable

from exchange.domain.units import NodeId
from exchange.engine.soft import Link, Soft
from exchange.node.clock_watch import ClockWatch
from exchange.node.metrics import Forces, oldest_in_doubt_s
from exchange.process.clocks import Clocks
from exchange.process.logs import Event

DOUBT_S = 60.0
SLOW_S = 0.25  # five times what a checkpoint may hold up trading (W5)


class Monitor:
    """Looks at soft state, and tells what has changed."""

    def __init__(
        self, soft: Soft, forces: Forces, clocks: Clocks, *, tell: Callable[[str], None]
    ) -> None:
        self._soft = soft
        self._forces = forces
        self._clocks = clocks
        self._tell = tell
        self._states: dict[NodeId, str] = {}  # of peers, as told last
        self._was_synced: set[NodeId] = set()
        self._key_changes = soft.state.key_changes
        self._doubt_told_us = 0
        self._clock_watch = ClockWatch(soft, clocks, tell=tell)

    def look(self) -> None:
        """Tell of everything that has changed since the last look."""
        for peer, link in sorted(self._soft.links.items()):
            if link.state != self._states.get(peer):
                self._states[peer] = link.state
                self._tell_state(peer, link)
        self._look_for_doubt()
        self._clock_watch.look()
        seconds = self._forces.take_slowest_checkpoint()
        if seconds >= SLOW_S:
            text = f"a checkpoint took {seconds:.2f} s; nothing was acknowledged meanwhile"
            self._tell(Event("checkpoint_slow", text, seconds=seconds))
        if self._soft.state.key_changes != self._key_changes:
            self._key_changes = self._soft.state.key_changes
            self._tell(Event("keys_ended", "keys of accounts here open nothing any more"))

    def _tell_state(self, peer: NodeId, link: Link) -> None:
        match link.state:
            case "synced" if peer in self._was_synced:
                event = Event("peer_returned", f"node {peer} is back", peer=peer)
            case "synced":
                self._was_synced.add(peer)
                event = Event("peer_synced", f"node {peer} is synced", peer=peer)
            case "slow":
                text = f"node {peer} is set aside: {link.detail}; its orders are not matched"
                event = Event("peer_slow", text, peer=peer)
            case "suspected":
                text = f"node {peer} is suspected: its orders are not matched"
                event = Event("peer_suspected", text, peer=peer)
            case "quarantined":
                text = f"node {peer} is quarantined: {link.quarantine}"
                event = Event("peer_quarantined", text, peer=peer, reason=link.quarantine)
            case _:
                return
        self._tell(event)

    def _look_for_doubt(self) -> None:
        count = len(self._soft.state.offers)
        if not count:
            self._doubt_told_us = 0
            return
        seconds = oldest_in_doubt_s(self._soft.state, self._clocks.wall_us())
        now_us = self._clocks.mono_us()
        is_told = self._doubt_told_us and now_us - self._doubt_told_us < DOUBT_S * 1e6
        if seconds < DOUBT_S or is_told:
            return
        self._doubt_told_us = now_us
        deciders = sorted(peer for peer, offers in self._soft.state.offers_to.items() if offers)
        names = ", ".join(f"node {peer}" for peer in deciders)
        text = f"in doubt: {count}, the oldest for {seconds:.0f} s; waiting for {names}"
        self._tell(Event("offer_in_doubt", text, count=count, seconds=seconds, deciders=deciders))
