"""Which fault comes when: drawn from the seed alone, so that a run can be asked for again."""

import random
from collections.abc import Iterator

import msgspec


class Kill(msgspec.Struct, frozen=True, tag=True):
    """SIGKILL, all at once, and a start on what is left."""

    nodes: tuple[int, ...]
    seconds: float  # down


class Pause(msgspec.Struct, frozen=True, tag=True):
    """SIGSTOP and SIGCONT."""

    node: int
    seconds: float


class Partition(msgspec.Struct, frozen=True, tag=True):
    """Nothing gets through from one node to another, or either way."""

    source: int
    target: int
    is_both: bool
    seconds: float


class Slow(msgspec.Struct, frozen=True, tag=True):
    """Everything between two nodes takes longer."""

    source: int
    target: int
    delay: float  # seconds for each piece
    seconds: float


class Lose(msgspec.Struct, frozen=True, tag=True):
    """Some packets between two nodes are lost."""

    source: int
    target: int
    percent: int
    seconds: float


class Reset(msgspec.Struct, frozen=True, tag=True):
    """The links between two nodes break, with bytes in flight."""

    low: int
    high: int


class KillCoordinator(msgspec.Struct, frozen=True, tag=True):
    seconds: float


class FillDisk(msgspec.Struct, frozen=True, tag=True):
    """The disk of one node has no room for a while."""

    node: int
    seconds: float


Fault = Kill | Pause | Partition | Slow | Lose | Reset | KillCoordinator | FillDisk
KINDS = ("kill", "kill", "kill", "pause", "partition", "partition", "slow", "reset", "coordinator")
ON_HOSTS = tuple("lose" if kind == "slow" else kind for kind in KINDS)
DOWN_SECONDS = (0.05, 0.5, 2.0, 4.5)  # the last is long enough to be suspected (B5)


def faults(
    seed: int, nodes: int, *, has_small_disks: bool, has_hosts: bool = False
) -> Iterator[tuple[float, Fault]]:
    """Yield (seconds of quiet before it, fault) for ever."""
    source = random.Random(seed)
    kinds = ON_HOSTS if has_hosts else KINDS
    kinds = (*kinds, "disk") if has_small_disks else kinds
    while True:
        yield source.uniform(0.1, 1.0), _draw(source, source.choice(kinds), nodes)


def _draw(source: random.Random, kind: str, nodes: int) -> Fault:
    everybody = range(1, nodes + 1)
    one, other = source.sample(everybody, 2) if nodes > 1 else (1, 1)
    seconds = source.choice(DOWN_SECONDS) * source.uniform(0.8, 1.2)
    match kind:
        case "kill":
            count = source.choice((1, 1, 1, 2, nodes))
            return Kill(tuple(sorted(source.sample(everybody, min(count, nodes)))), seconds)
        case "pause":
            return Pause(one, seconds)
        case "partition":
            return Partition(one, other, source.random() < 0.5, seconds)
        case "slow":
            return Slow(one, other, source.choice((0.01, 0.1, 0.6)), seconds)
        case "lose":
            return Lose(one, other, source.choice((2, 10, 40)), seconds)
        case "reset":
            return Reset(min(one, other), max(one, other))
        case "coordinator":
            return KillCoordinator(seconds)
        case _:
            return FillDisk(one, seconds)
