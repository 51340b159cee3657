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
    """Name the machine, the versions of what was measured, and the floors beneath it."""
    packages = {name: version(name) for name in ("trio", "lmdb", "msgspec")}
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
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "append and force of 4 KiB": _milliseconds(append_seconds()),
        "LMDB commit": _milliseconds(commit_seconds()),
    }


def append_seconds(count: int = 300) -> list[float]:
    """Time appends of a page, each forced: what a durable write costs at least."""
    took = []
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(count):
            start = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - start)
    return took


def _milliseconds(seconds: list[float]) -> str:
    half, most = (percentile(seconds, part) * 1e3 for part in (0.5, 0.99))
    return f"p50 {half:.2f} ms, p99 {most:.2f} ms"


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
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def median(values: list[float]) -> float:
    """Return the middle value."""
    return statistics.median(values)
