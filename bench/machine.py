"""What was measured on, and what one LMDB commit costs there in the same run."""

import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import lmdb


def describe() -> dict[str, str | int]:
    """Name the machine and the versions of what was measured."""
    packages = {name: version(name) for name in ("trio", "lmdb", "msgspec", "sortedcontainers")}
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "system": platform.platform(),
        "python": platform.python_version(),
        **packages,
    }


def commit_seconds(count: int = 300) -> list[float]:
    """Time single LMDB commits of a small record, default sync, on the disk of the benchmark."""
    took = []
    with tempfile.TemporaryDirectory() as directory:
        environment = lmdb.open(directory, map_size=1 << 26, max_dbs=1)
        table = environment.open_db(b"log")
        for number in range(count):
            start = time.perf_counter()
            with environment.begin(write=True) as transaction:
                transaction.put(number.to_bytes(8, "big"), b"x" * 200, db=table, append=True)
            took.append(time.perf_counter() - start)
        environment.close()
    return took


def percentile(values: list[float], part: float) -> float:
    """Return the value below which `part` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def median(values: list[float]) -> float:
    """Return the middle value."""
    return statistics.median(values)
