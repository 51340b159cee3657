"""How a fault is done to real processes, and undone."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import assert_never

import trio

from exchange.client.cluster_process import LocalCluster
from fuzz.chaos import plan
from fuzz.chaos.network import Network

DISK_MIB = 256  # of a small disk: room for a chaos run, quickly filled
FILLER = "filler"


class Saboteur:
    """Does one fault after the other."""

    def __init__(self, local: LocalCluster, network: Network) -> None:
        self.local = local
        self.network = network
        self.killed: list[Path] = []  # directories to look into before they are used again

    async def do(self, fault: plan.Fault) -> None:
        """Do a fault, let it last, and undo it."""
        match fault:
            case plan.Kill():
                await self._kill(fault)
            case plan.Pause():
                server = self.local.nodes[fault.node - 1]
                server.send_signal(signal.SIGSTOP)
                await trio.sleep(fault.seconds)
                server.send_signal(signal.SIGCONT)
            case plan.Partition():
                pairs = {(fault.source, fault.target)}
                if fault.is_both:
                    pairs.add((fault.target, fault.source))
                self.network.cut(pairs)
                await trio.sleep(fault.seconds)
                self.network.mend(pairs)
            case plan.Slow():
                pairs = {(fault.source, fault.target), (fault.target, fault.source)}
                self.network.slow(pairs, fault.delay)
                await trio.sleep(fault.seconds)
                self.network.slow(pairs, 0)
            case plan.Lose():
                pairs = {(fault.source, fault.target), (fault.target, fault.source)}
                self.network.lose(pairs, fault.percent)
                await trio.sleep(fault.seconds)
                self.network.lose(pairs, 0)
            case plan.Reset():
                self.network.break_links(fault.low, fault.high)
            case plan.KillCoordinator():
                self.local.coordinator.kill()
                await trio.sleep(fault.seconds)
                await self.local.coordinator.start()
            case plan.FillDisk():
                await self._fill(fault)
            case _:
                assert_never(fault)

    async def _kill(self, fault: plan.Kill) -> None:
        servers = [self.local.nodes[node - 1] for node in fault.nodes]
        for server in servers:
            server.send_signal(signal.SIGKILL)
        for server in servers:
            server.kill()
        self.killed = [server.directory for server in servers]
        await self.inspect_killed()
        await trio.sleep(fault.seconds)
        for server in servers:
            server.launch()
        for server in servers:
            await server.wait_ready()

    async def inspect_killed(self) -> None:
        """Look into the directories of the dead: 0 is clean, 6 has trades in doubt."""
        command = [sys.executable, "-m", "recovery.command", "inspect", "-o", "json"]
        done = await trio.run_process(
            [*command, *map(str, self.killed)],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        if done.returncode not in (0, 6):
            raise AssertionError(
                f"exchange-recover inspect of a killed node ended with {done.returncode}: "
                f"{done.stdout.decode()[-2000:]}{done.stderr.decode()[-2000:]}"
            )

    async def _fill(self, fault: plan.FillDisk) -> None:
        """Write until the disk has no room, wait, and make room again."""
        server = self.local.nodes[fault.node - 1]
        filler = server.directory.parent / FILLER
        try:
            with filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"\0" * (1 << 20))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        await trio.sleep(fault.seconds)
        filler.unlink()
        if not server.is_running:  # it may stop with a clear error; it must not come to harm
            await server.start()


def mount_small_disk(path: Path) -> bool:
    """Mount a small file system of its own; False where that is not allowed."""
    path.mkdir(parents=True)
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    options = f"size={DISK_MIB}m"
    command = ["mount", "-t", "tmpfs", "-o", options, "chaos", str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(path: Path) -> None:
    """Take a small disk away again; what is worth looking at stays behind in its place."""
    kept = path.with_name(f"{path.name}.kept")
    with suppress(OSError):
        shutil.copytree(path, kept, ignore=shutil.ignore_patterns(FILLER, "ballast"))
    subprocess.run(["umount", "-l", str(path)], capture_output=True, check=False)
    if kept.is_dir() and not any(path.iterdir()):
        path.rmdir()
        kept.rename(path)
    else:
        shutil.rmtree(kept, ignore_errors=True)
