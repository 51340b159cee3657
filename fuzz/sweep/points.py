"""Where and how a call goes wrong, in the words of strace.

strace counts for each thread and for each system call apart: `when=7` of two calls strikes
at whichever of them is made for the seventh time first.  So every call has points of its own.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

WRITES = ("pwrite64", "pwritev", "writev", "fdatasync")
CALLS = ",".join(WRITES)
Calls = dict[str, int]  # how often the busiest thread makes each call
_LINE = re.compile(r"^(\d+) +(\w+)\(")


class Point(msgspec.Struct, frozen=True):
    """Where and how a call goes wrong."""

    name: str
    inject: str  # in strace's words


def traced(inject: str) -> list[str]:
    """Return what a process runs under so that a call goes wrong; the process is our child."""
    return [*_STRACE, "/dev/null", "-e", f"trace={CALLS}", "-e", f"inject={inject}"]


def counted(log: Path) -> list[str]:
    """Return what a process runs under so that its calls are counted."""
    return [*_STRACE, str(log), "-e", f"trace={CALLS}"]


_STRACE = ["strace", "-D", "-f", "-qq", "-o"]


def calls_in(log: Path) -> Calls:
    """Read how often the busiest thread makes each call."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in log.read_text().splitlines():
        match = _LINE.match(line)
        if match is not None:
            counts[match[1], match[2]] += 1
    return {call: max(n for (_, its), n in counts.items() if its == call) for _, call in counts}


def kill_at(call: str, number: int) -> str:
    """Return the injection that kills at a call; it is not carried out."""
    return f"{call}:signal=KILL:when={number}"


def kills(calls: Calls, step: int = 1) -> Iterator[Point]:
    """Yield a SIGKILL at every k-th of each call, or at every `step`-th."""
    for call, count in calls.items():
        for number in range(1, count + 1, step):
            yield Point(f"kill at {call} {number}", kill_at(call, number))


def failures(first: int, last: int, step: int) -> Iterator[Point]:
    """Yield calls that fail once, fail from then on, or are cut short."""
    for number in range(first, last, step):
        for call, error in (("fdatasync", "EIO"), ("pwrite64", "EIO"), ("pwrite64", "ENOSPC")):
            for when in (f"{number}", f"{number}+"):
                yield Point(f"{call} {error} at {when}", f"{call}:error={error}:when={when}")
        yield Point(f"pwrite64 cut short at {number}", f"pwrite64:retval=100:when={number}")
