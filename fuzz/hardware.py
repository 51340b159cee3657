"""What outlives a process: the disk, the clock, who the node is."""

from typing import TYPE_CHECKING

from exchange.domain.units import Micros
from exchange.store.frames import Frame, Identity, read_frame
from fuzz.disk import SimulatedDisk
from fuzz.process import Process

if TYPE_CHECKING:
    from fuzz.cluster import Cluster

WALL_US = 1_767_225_600_000_000  # 2026-01-01


class Machine:
    """One machine, with a process or without."""

    def __init__(
        self, cluster: "Cluster", node: int, identity: Identity, disk: SimulatedDisk
    ) -> None:
        self._cluster = cluster
        self.node = node
        self.identity = identity
        self.disk = disk
        self.process: Process | None = None
        self.armed_boot = ""
        self.is_born = True  # the coordinator has told the others of it
        self.skew_us = cluster.plan.skew_us[node - 1]
        self.drift_ppm = cluster.plan.drift_ppm[node - 1]
        self._stood_us = 0  # how long its monotonic clock stood still
        self._stands_since_us = -1  # -1: it runs
        self.is_coordinator_down = False
        self.is_stopped = False  # it was told that it is an old copy, and stays down
        self.is_rotten = False  # a bit on its disk is wrong, it may refuse to start
        self.starts = 0
        self.full_until_us = 0
        self.archived: list[tuple[bytes, bytes]] = []  # frames moved away from the disk

    def frames(self) -> list[tuple[bytes, bytes]]:
        """Return the whole log, archived or not."""
        return [*self.archived, *self.disk.scan("log")]

    def last_frame(self) -> Frame | None:
        """Return the last frame of the log."""
        for key, value in self.disk.scan("log", reverse=True):
            return read_frame(key, value)
        return None

    @property
    def wall_us(self) -> Micros:
        """Return what the wall clock of this machine shows: anything since 1970."""
        now_us = self._cluster.now_us
        drift_us = now_us * self.drift_ppm // 1_000_000
        return Micros(max(0, WALL_US + now_us + self.skew_us + drift_us))

    @property
    def mono_us(self) -> int:
        """Return the monotonic clock, which no one sets."""
        is_running = self._stands_since_us < 0
        now_us = self._cluster.now_us if is_running else self._stands_since_us
        return now_us - self._stood_us + self.node * 1_000_000_007

    def stand(self) -> None:
        """Stop the monotonic clock: the virtual machine is paused."""
        self._stands_since_us = self._cluster.now_us

    def go_on(self) -> None:
        """Let the monotonic clock run again, from where it stood."""
        if self._stands_since_us >= 0:
            self._stood_us += self._cluster.now_us - self._stands_since_us
            self._stands_since_us = -1
