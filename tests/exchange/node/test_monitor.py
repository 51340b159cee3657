"""What a node tells of itself while it runs."""

from exchange.domain.orders import Side
from exchange.domain.units import Lsn
from exchange.engine.messages import Proof
from exchange.node.metrics import Forces
from exchange.node.monitor import DOUBT_S, SLOW_S, Monitor
from exchange.process.logs import Event
from exchange.store.meta import Checkpoint
from exchange.store.store import Write
from tests.support.engines import START_US, Engines


class Watched:
    """Two engines, and a monitor of the first."""

    def __init__(self) -> None:
        self.engines = Engines(2)
        self.told: list[str] = []
        self.forced_s = 0.0
        self.forces = Forces(lambda: self.forced_s)
        self.monitor = Monitor(
            self.engines.engine(1).soft, self.forces, self, tell=self.told.append
        )

    def wall_us(self) -> int:
        return START_US + self.engines.now_us

    def mono_us(self) -> int:
        return self.engines.now_us + 1

    def look(self) -> list[str]:
        """Return the names of what is told now."""
        self.told.clear()
        self.monitor.look()
        return [event.name for event in self.told if isinstance(event, Event)]


def test_a_peer_that_goes_and_comes_back_is_told_once_each() -> None:
    """B5."""
    watched = Watched()

    assert watched.look() == ["peer_synced"]
    assert watched.look() == []
    watched.engines.kill(2)
    watched.engines.settle()
    assert watched.look() == ["peer_suspected"]
    watched.engines.restart(2)
    assert watched.look() == ["peer_returned"]


def test_a_quarantined_peer_is_told_with_the_reason() -> None:
    """B7."""
    watched = Watched()
    watched.look()
    watched.engines.engine(1).soft.links[watched.engines.state(2).node_id].quarantine = "it lied"

    assert watched.look() == ["peer_quarantined"]
    assert watched.told == ["node 2 is quarantined: it lied"]


def test_doubt_is_told_every_minute_until_it_ends() -> None:
    """S4: silence proves nothing, and somebody should know."""
    watched = Watched()
    engines = watched.engines
    engines.sell(2, 100, 5)
    engines.step(1, engines.place(1, Side.BUY, 100, 5))
    watched.look()

    engines.now_us += int(DOUBT_S * 1e6)
    assert watched.look() == ["offer_in_doubt"]
    assert watched.look() == []
    engines.now_us += int(DOUBT_S * 1e6)
    assert watched.look() == ["offer_in_doubt"]
    engines.settle()
    assert "offer_in_doubt" not in watched.look()


def test_a_slow_checkpoint_is_told() -> None:
    """W5: a checkpoint holds up trading for 50 ms at most."""
    watched = Watched()
    watched.look()

    def commit(write: Write) -> Proof:
        watched.forced_s += SLOW_S
        return write.proof

    checkpoint = Checkpoint(Lsn(1), b"", {})
    write = Write([], Lsn(0), Proof(Lsn(1), b""), checkpoint)
    watched.forces.timed(commit)(write)

    assert watched.look() == ["checkpoint_slow"]
    assert watched.look() == []


def test_keys_that_end_are_told() -> None:
    """Issue, item 5: a revoked key is an event; whose it was is in the log of the node."""
    watched = Watched()
    watched.look()
    watched.engines.state(1).key_changes += 1

    assert watched.look() == ["keys_ended"]


def test_a_slow_peer_is_told_with_the_reason() -> None:
    """B5: alive, and nobody waits for it."""
    watched = Watched()
    watched.look()
    link = watched.engines.engine(1).soft.links[watched.engines.state(2).node_id]
    link.pace.is_aside, link.detail = True, "it is too slow"

    assert watched.look() == ["peer_slow"]
    assert watched.told == ["node 2 is set aside: it is too slow; its orders are not matched"]
    link.pace.is_aside = False
    assert watched.look() == ["peer_returned"]
