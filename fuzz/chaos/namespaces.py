"""Every node on a host of its own: a network namespace, joined to the others by a bridge.

    root namespace    coordinator, clients, and the bridge at .254
    namespace 1, 2    node 1 at .1, node 2 at .2, each behind a pair of veth

Packets from one host are dropped where they come in at another one, by nftables: all of them
is a cut, some of them is loss.  The kernel does the rest: it sends again, backs off, gives up.
Everything has a name of this process, and is gone when the block ends, whatever ended it.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from fuzz.chaos.network import Pair

TOOLS = ("ip", "nft", "ss")
TABLE = (
    "table ip chaos {\n  chain input {\n    type filter hook input priority 0\n%s  }\n}\n"  # rules
)
NO_DELAY = "delay: there is no tc netem, and packets cannot be held otherwise"


class Hosts:
    """The hosts of one run, numbered like their nodes, and what is dropped between them."""

    def __init__(self, count: int) -> None:
        self.names = {node: f"chaos{os.getpid()}-{node}" for node in range(1, count + 1)}
        self._bridge = f"chaos{os.getpid()}"
        self._prefix = f"10.213.{os.getpid() % 256}"
        self._cut: set[Pair] = set()
        self._loss: dict[Pair, int] = {}

    @property
    def gateway(self) -> str:
        """Return the address of the root namespace, which every host reaches."""
        return f"{self._prefix}.254"

    def address(self, node: int) -> str:
        """Return the address of a host."""
        return f"{self._prefix}.{node}"

    def prefix(self, node: int) -> list[str]:
        """Return what a process runs under so that it is on a host; it is our child."""
        return ["ip", "netns", "exec", self.names[node]]

    def build(self) -> None:
        """Make the hosts; raises CalledProcessError."""
        _run("ip", "link", "add", self._bridge, "type", "bridge")
        _run("ip", "address", "add", f"{self.gateway}/24", "dev", self._bridge)
        _run("ip", "link", "set", self._bridge, "up")
        for node, name in self.names.items():
            cable = _cable(node)
            _run("ip", "netns", "add", name)
            _run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
            _run("ip", "link", "set", cable, "master", self._bridge, "up")
            _run("ip", "-n", name, "address", "add", f"{self.address(node)}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _run("ip", "-n", name, "link", "set", device, "up")

    def remove(self) -> None:
        """Take away whatever was made, also half of it."""
        for node, name in self.names.items():  # a namespace alone takes its cable with it later
            _try("ip", "link", "delete", _cable(node))
            _try("ip", "netns", "delete", name)
        _try("ip", "link", "delete", self._bridge)

    def cut(self, pairs: Set[Pair]) -> None:
        """Drop everything from a source to a target, for each pair."""
        self._cut |= pairs
        self._apply()

    def mend(self, pairs: Set[Pair]) -> None:
        """Undo a cut."""
        self._cut -= pairs
        self._apply()

    def lose(self, pairs: Set[Pair], percent: int) -> None:
        """Drop so many packets of a hundred, drawn by the kernel; 0 is none."""
        for pair in pairs:
            self._loss[pair] = percent
        self._apply()

    def slow(self, pairs: Set[Pair], seconds: float) -> None:
        """Delay is not drawn for hosts."""
        raise NotImplementedError(NO_DELAY)

    def break_links(self, low: int, high: int) -> None:
        """Reset every connection between two hosts."""
        _run(*self.prefix(low), "ss", "--kill", "dst", self.address(high))
        _run(*self.prefix(high), "ss", "--kill", "dst", self.address(low))

    def heal(self) -> None:
        """Let everything through."""
        self._cut.clear()
        self._loss.clear()
        self._apply()

    def _apply(self) -> None:
        """Replace the rules of every host, each in one transaction."""
        for node, name in self.names.items():
            rules = "".join(f"    {rule}\n" for rule in self._rules(node))
            text = "table ip chaos\ndelete table ip chaos\n" + TABLE % rules
            _run("ip", "netns", "exec", name, "nft", "--file", "-", text=text)

    def _rules(self, target: int) -> Iterator[str]:
        for source in sorted(self.names):
            percent = self._loss.get((source, target), 0)
            if (source, target) in self._cut:
                yield f"ip saddr {self.address(source)} drop"
            elif percent:
                yield f"ip saddr {self.address(source)} numgen random mod 100 < {percent} drop"


def why_no_hosts() -> str:
    """Say why no hosts can be made here; empty if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"network namespaces need {', '.join(missing)} (iproute2, nftables)"
    try:
        with hosts(1) as one:
            one.heal()
    except subprocess.CalledProcessError as error:
        command = " ".join(error.cmd)
        return f"no network namespaces here: {command}: {error.stderr.decode().strip()}"
    return ""


@contextmanager
def hosts(count: int) -> Iterator[Hosts]:
    """Make hosts, and take them away again."""
    made = Hosts(count)
    try:
        made.build()
        yield made
    finally:
        made.remove()


def left_over(pid: int) -> list[str]:
    """Name what a process has left behind."""
    names = [path.name for path in Path("/run/netns").glob(f"chaos{pid}-*")]
    return names + [path.name for path in Path("/sys/class/net").glob(f"chaos{pid}")]


def _cable(node: int) -> str:
    return f"v{os.getpid()}-{node}"


def _run(*command: str, text: str = "") -> None:
    subprocess.run(command, input=text.encode(), capture_output=True, check=True)


def _try(*command: str) -> None:
    subprocess.run(command, capture_output=True, check=False)
