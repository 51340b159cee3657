"""What a node tells of clocks that are wrong: in its own log, once, and when it is over."""

from exchange.domain.units import Clock, Micros, NodeId
from exchange.engine.inputs import PeerBatch, Tick
from exchange.engine.messages import Batch
from exchange.node.clock_watch import ClockWatch
from exchange.process.logs import Event
from tests.support.engines import START_US, Engines

DAY_US = 86_400_000_000


class Watched:
    """Two engines, and a watch over the clocks of the first."""

    def __init__(self) -> None:
        self.engines = Engines(2)
        self.told: list[str] = []
        self.skew_us = 0
        self.watch = ClockWatch(self.engines.engine(1).soft, self, tell=self.told.append)

    def wall_us(self) -> int:
        return START_US + self.engines.now_us + self.skew_us

    def mono_us(self) -> int:
        return self.engines.now_us

    def hear(self, *, wall_us: int = 0, clock_us: int = 0) -> None:
        """Let node 2 say that its wall clock and its stamps are so far ahead of node 1."""
        engine, peer = self.engines.engine(1), self.engines.engine(2)
        session = engine.soft.links[NodeId(2)].session
        assert session is not None
        wall, clock = Micros(engine.wall + wall_us), Clock(engine.clock + clock_us)
        batch = Batch(session, clock, peer.proof, [], NodeId(2), wall)
        self.engines.step(1, PeerBatch(batch))

    def look(self) -> list[str]:
        """Return the names of what is told now."""
        self.told.clear()
        self.watch.look()
        return [event.name for event in self.told if isinstance(event, Event)]


def test_clocks_that_agree_are_not_told_of() -> None:
    """S2."""
    watched = Watched()

    assert watched.look() == []


def test_wall_clock_that_is_set_is_told_in_the_own_log() -> None:
    """S2: an hour ahead for five seconds, and nobody knew why."""
    watched = Watched()
    watched.skew_us = 3_600_000_000
    assert watched.look() == ["clock_set"]
    assert watched.told == ["the wall clock of this node was set 3600 s forward"]

    assert watched.look() == []
    watched.skew_us = 0
    assert watched.look() == ["clock_set"]
    assert watched.told == ["the wall clock of this node was set 3600 s back"]


def test_node_whose_clock_is_ahead_of_all_its_peers_says_so_until_it_is_right() -> None:
    """S2: the alarm is where the wrong clock is, not only at its peers."""
    watched = Watched()
    watched.hear(wall_us=-DAY_US)
    assert watched.look() == ["clock_ahead", "peer_clock"]
    assert "86400 s ahead of those of all its peers" in watched.told[0]

    assert watched.look() == []
    watched.hear(wall_us=0)
    assert watched.look() == ["clock_right"]


def test_node_whose_clock_is_behind_all_its_peers_says_so() -> None:
    """S2."""
    watched = Watched()
    watched.hear(wall_us=DAY_US)

    assert watched.look() == ["clock_behind", "peer_clock"]
    assert watched.told[1] == "the wall clock of node 2 is 86400 s ahead of this node's"


def test_stamps_ahead_of_the_wall_clock_are_told_once() -> None:
    """S2: a clock was wrong before, here or elsewhere; whoever compares stamps knows why."""
    watched = Watched()
    watched.hear(clock_us=DAY_US)
    assert watched.look() == ["stamps_ahead"]

    watched.engines.step(1, Tick())
    assert watched.look() == []
