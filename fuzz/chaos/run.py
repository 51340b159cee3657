"""One chaos run: set up, trade and sabotage, heal, prove."""

import socket
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import msgspec
import trio

from exchange.client.cluster import Cluster
from exchange.client.cluster_process import LocalCluster
from exchange.client.flow_random import generate
from exchange.client.quiescence import wait_quiescent
from exchange.client.traders import Traders, open_traders
from fuzz.chaos.faults import Saboteur, mount_small_disk, unmount
from fuzz.chaos.hosts import secure, start_on_hosts
from fuzz.chaos.namespaces import NO_DELAY, hosts
from fuzz.chaos.network import Network
from fuzz.chaos.plan import faults
from fuzz.chaos.relay import Relays
from fuzz.chaos.verdict import judge, verify
from fuzz.chaos.workload import History, Trader

HEAL_SECONDS = 60.0  # for the cluster to come to rest once everything is healed


class Settings(msgspec.Struct, frozen=True):
    seed: int
    nodes: int = 3
    minutes: float = 10.0
    cycles: int | None = None  # faults at most
    traders: int = 9
    instruments: int = 2
    has_hosts: bool = False  # each node in a network namespace of its own; needs root
    is_shown: bool = False  # live progress on stderr


class Summary(msgspec.Struct):
    """What a run did and found."""

    seed: int
    command: str
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    requests: Counter[str] = msgspec.field(default_factory=Counter)
    orders: int = 0
    trades: int = 0
    seconds: float = 0.0
    skipped: list[str] = msgspec.field(default_factory=list)
    wrong: list[str] = msgspec.field(default_factory=list)


async def run(settings: Settings, directory: Path) -> Summary:
    """Run chaos in a directory; whatever it mounts, makes or starts ends with it."""
    summary = Summary(settings.seed, command_of(settings))
    begun = time.monotonic()
    disks = [directory / f"disk-{node}" for node in range(1, settings.nodes + 1)]
    with ExitStack() as stack:
        mounted = [mount_small_disk(disk) for disk in disks]
        for disk in disks:
            stack.callback(unmount, disk)
        if not all(mounted):
            summary.skipped.append("full disk: no small file system can be mounted here")
        made = stack.enter_context(hosts(settings.nodes)) if settings.has_hosts else None
        local = LocalCluster(directory, nodes=0, is_authenticated=made is not None)
        async with AsyncExitStack() as outer:
            if made is None:
                await outer.enter_async_context(local)
                nursery = await outer.enter_async_context(trio.open_nursery())
                outer.callback(nursery.cancel_scope.cancel)
                network: Network = await _start_on_one_host(local, disks, nursery)
            else:
                summary.skipped.append(NO_DELAY)
                secure(local, made)
                await outer.enter_async_context(local)
                await start_on_hosts(local, disks, made)
                network = made
            async with local.connect() as cluster:
                chaos = Chaos(settings, local, cluster, network, summary, directory)
                await chaos.run(has_small_disks=all(mounted))
    summary.seconds = round(time.monotonic() - begun, 1)
    return summary


def command_of(settings: Settings) -> str:
    """Return what runs this again."""
    command = f"python -m fuzz.chaos --nodes {settings.nodes} --seed {settings.seed}"
    network = " --network namespaces" if settings.has_hosts else ""
    limit = f" --cycles {settings.cycles}" if settings.cycles else ""
    return f"{command}{network} --minutes {settings.minutes:g}{limit}"


async def _start_on_one_host(
    local: LocalCluster, disks: list[Path], nursery: trio.Nursery
) -> Relays:
    """Start everything, each node behind its relay and on its own disk."""
    relays = Relays()
    for node, disk in enumerate(disks, 1):
        server = local.new_node()
        server.directory = disk / f"node-{node}"
        port = _free_port()
        address = await relays.stand_before(node, ("127.0.0.1", port), nursery)
        server.listen = f"127.0.0.1:{port}"
        server.arguments += ["--advertise", address]
        await server.start()
    return relays


class Chaos:
    """The run itself."""

    def __init__(
        self,
        settings: Settings,
        local: LocalCluster,
        cluster: Cluster,
        network: Network,
        summary: Summary,
        directory: Path,
    ) -> None:
        self.settings = settings
        self.local = local
        self.cluster = cluster
        self.network = network
        self.summary = summary
        self.directory = directory
        self.traders: list[Trader] = []

    async def run(self, *, has_small_disks: bool) -> None:
        """Trade and sabotage, then heal and judge."""
        flow = generate(
            seed=self.settings.seed,
            instruments=self.settings.instruments,
            accounts=self.settings.traders,
            orders=40 * self.settings.traders,
        )
        accounts = await open_traders(self.cluster, flow, lambda *_: None)
        symbols = [instrument.symbol for instrument in flow.instruments]
        self.traders = [
            Trader(client, f"t{number}", list(symbols), self.settings.seed)
            for number, client in enumerate(accounts.clients)
        ]
        history = History(self.directory / "history.jsonl")
        is_over = trio.Event()
        async with trio.open_nursery() as nursery:
            for trader in self.traders:
                nursery.start_soon(trader.run, is_over, history)
            await self._sabotage(has_small_disks)
            self.network.heal()
            is_over.set()
        history.close()
        await self._judge(accounts)

    async def _sabotage(self, has_small_disks: bool) -> None:
        saboteur = Saboteur(self.local, self.network)
        plan = faults(
            self.settings.seed,
            self.settings.nodes,
            has_small_disks=has_small_disks,
            has_hosts=self.settings.has_hosts,
        )
        with trio.move_on_after(60 * self.settings.minutes):
            done = 0
            while self.settings.cycles is None or done < self.settings.cycles:
                quiet, fault = next(plan)
                await trio.sleep(quiet)
                with trio.CancelScope(shield=True):  # a fault that is begun is undone
                    await saboteur.do(fault)
                done += 1
                self.summary.faults[type(fault).__name__] += 1
                self._show(f"{done} faults, the last {fault}")

    async def _judge(self, accounts: Traders) -> None:
        ids = list(range(1, self.settings.nodes + 1))
        statuses = await wait_quiescent(self.cluster, ids, within=HEAL_SECONDS)
        self.summary.wrong += await judge(self.traders, accounts, statuses)
        self.summary.trades = sum(status.trades for status in statuses)
        for trader in self.traders:
            self.summary.requests.update(trader.counts)
            self.summary.orders += len(trader.asked)
        codes = await self.local.stop()
        if any(codes):
            self.summary.wrong.append(f"processes ended with {codes}")
        self.summary.wrong += await verify(self.local.directories)

    def _show(self, text: str) -> None:
        if self.settings.is_shown:
            counts: Counter[str] = Counter()
            for trader in self.traders:
                counts.update(trader.counts)
            told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
            print(f"{text}; {told}", file=sys.stderr, flush=True)


def _free_port() -> int:
    """Return a port that was free a moment ago: a restarted node must be where it was."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
