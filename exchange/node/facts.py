"""What a process knows of itself and its engine does not: figures for `node.status`."""

import resource
from pathlib import Path

import msgspec

from exchange.domain.units import Lsn


class Facts(msgspec.Struct, frozen=True):
    """What `node.status` says that the engine does not know."""

    durable_lsn: Lsn
    checkpoint_lsn: Lsn
    forces: int
    bytes_written: int  # to the disk by this process, as the kernel counts
    log_bytes: int  # of keys and values handed to the store
    turns: int
    committer: str
    uptime_s: float
    cpu_s: float
    pid: int
    rss_bytes: int
    clients: int
    map_used: int
    map_size: int
    oldest_in_doubt_s: float


def bytes_written() -> int:
    """Return what this process has caused to be written to disks; 0 where it is not told."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    counts = dict(line.split(": ") for line in lines)
    return int(counts.get("write_bytes", 0))


def resident_bytes() -> int:
    """Return how much memory this process holds; 0 where it is not told."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()
