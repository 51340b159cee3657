"""Where the clusters of these tests keep their data."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
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


class SmallDisk:
    """A file system that is soon full."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    @property
    def free(self) -> int:
        """Return how many bytes are free."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, *, but: int = 0) -> None:
        """Use everything, but so many bytes."""
        with self._filler.open("ab") as file:
            while (size := min(self.free - but, 1 << 20)) > 0:
                file.write(bytes(size))
                file.flush()

    def empty(self) -> None:
        """Make room again."""
        self._filler.unlink()

    def make_read_only(self, *, is_read_only: bool = True) -> None:
        """Have the kernel refuse every write, or allow it again."""
        option = f"remount,{'ro' if is_read_only else 'rw'}"
        subprocess.run(["mount", "-o", option, str(self.path)], check=True)


Mount = Callable[[Path, int], SmallDisk]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Return what mounts a file system of so many MiB; only root may, others skip."""
    mounted: list[SmallDisk] = []

    def mount_here(path: Path, mebibytes: int) -> SmallDisk:
        path.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(path)]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small file system needs root and CAP_SYS_ADMIN")
        mounted.append(SmallDisk(path))
        return mounted[-1]

    yield mount_here
    for disk in mounted:
        subprocess.run(["umount", "--lazy", str(disk.path)], check=True)
