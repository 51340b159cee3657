"""Where the clusters of these tests keep their data."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

RAM = Path("/dev/shm")


@pytest.fixture
def ram_path(tmp_path: Path) -> Iterator[Path]:
    """Return a directory in memory where there is one.

    Processes are killed here, not machines: what was written stays either way, and a slow or
    busy disk would be most of what a test of ten thousand forces waits for.
    """
    if not os.access(RAM, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=RAM, prefix="exchange-") as directory:
        yield Path(directory)
