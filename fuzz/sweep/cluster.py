"""A cluster whose nodes are killed at their k-th write or force while the others go on.

A coordinator and three nodes are prepared once: an account on each, funded, at rest.  Every
point starts from a copy of that, plays one script of orders that cross between the nodes, kills
where the point says, starts the dead again (and, in a double crash, kills again while it recovers,
or has killed another node as well), plays on, and judges from outside what chaos judges too.
"""

import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from random import Random

import msgspec
import trio

from exchange.client.account import AccountClient
from exchange.client.cluster import Cluster
from exchange.client.cluster_process import LocalCluster, Server, StartError
from exchange.client.errors import ClientError
from exchange.client.flow_random import generate
from exchange.client.quiescence import wait_quiescent
from exchange.client.traders import Traders, open_traders
from exchange.domain.instruments import Instrument
from exchange.domain.units import Asset, Symbol
from fuzz.chaos.verdict import judge, verify
from fuzz.chaos.workload import Asked, Trader
from fuzz.sweep.points import Calls, calls_in, counted, kill_at, traced

ROUNDS = 6  # of orders, one of each node, into the kill
MORE_ROUNDS = 1  # after each start
CANCELED_EVERY = 3
HEAL_SECONDS = 30.0
LOOK_SECONDS = 0.005  # between two looks at a process that may die


class ClusterPoint(msgspec.Struct, frozen=True):
    """Which nodes are killed at which call, and which then once more while they recover."""

    name: str
    kills: dict[int, str]  # node: injection
    again: dict[int, str] = {}


class Base(msgspec.Struct, frozen=True):
    """A prepared cluster at rest, and who trades on it."""

    directory: Path
    nodes: int
    users: list[str]
    instruments: dict[Symbol, Instrument]
    deposited: Counter[Asset]


class ClusterOutcome(msgspec.Struct):
    """How a point ended."""

    point: ClusterPoint
    met: int = 0  # nodes that died at their call; the others lived past the script
    trades: int = 0
    wrong: list[str] = []


def cluster_kills(calls: Mapping[int, Calls], step: int = 1) -> Iterator[ClusterPoint]:
    """Yield a kill of each node at every k-th of its calls."""
    for node, call, number in _every(calls, step):
        name = f"node {node} killed at {call} {number}"
        yield ClusterPoint(name, {node: kill_at(call, number)})


def double_kills(
    calls: Mapping[int, Calls], recovery: Mapping[int, Calls], seed: int, step: int = 1
) -> Iterator[ClusterPoint]:
    """Yield the same kills, each with a second one: drawn, while it recovers or of another node."""
    source = Random(seed)
    for turn, (node, call, number) in enumerate(_every(calls, step)):
        name, first = f"node {node} killed at {call} {number}", kill_at(call, number)
        if turn % 2:
            other = source.choice([one for one in calls if one != node])
            its, when = _draw(source, calls[other])
            both = {node: first, other: kill_at(its, when)}
            yield ClusterPoint(f"{name}, node {other} at {its} {when}", both)
        else:
            its, when = _draw(source, recovery[node])
            again = {node: kill_at(its, when)}
            name = f"{name}, again at {its} {when} of its recovery"
            yield ClusterPoint(name, {node: first}, again)


def _every(calls: Mapping[int, Calls], step: int) -> Iterator[tuple[int, str, int]]:
    for node, its in calls.items():
        for call, count in its.items():
            for number in range(1, count + 1, step):
                yield node, call, number


def _draw(source: Random, calls: Calls) -> tuple[str, int]:
    (call,) = source.choices(list(calls), list(calls.values()))
    return call, source.randint(1, calls[call])


async def prepare_cluster(directory: Path, nodes: int) -> Base:
    """Make a cluster with a funded account on every node, stopped gracefully."""
    flow = generate(seed=1, instruments=1, accounts=max(nodes, 2), orders=40 * nodes)
    async with LocalCluster(directory / "base", nodes=nodes) as local:
        async with local.connect() as cluster:
            accounts = await open_traders(cluster, flow, lambda *_: None)
            await wait_quiescent(cluster, range(1, nodes + 1), within=HEAL_SECONDS)
        assert accounts.node_ids == list(range(1, nodes + 1)), "an account on every node"
        codes = await local.stop()
        assert not any(codes), codes
    users = [client.credentials.user_id for client in accounts.clients]
    return Base(directory / "base", nodes, users, accounts.instruments, accounts.deposited)


async def count_calls(base: Base, work: Path) -> tuple[dict[int, Calls], dict[int, Calls]]:
    """Count the calls of each node in an undisturbed run, and in the recovery from its kill."""
    found: list[dict[int, Calls]] = []
    async with _copy_of(base, work) as local, local.connect() as cluster:
        run = Run(base, local, cluster)
        for life, rounds in (("first", ROUNDS), ("second", MORE_ROUNDS)):
            logs = {node: work / f"{life}-{node}.calls" for node in range(1, base.nodes + 1)}
            await run.start({node: counted(log) for node, log in logs.items()})
            await run.play(life, rounds)
            for server in local.nodes:
                server.kill()
            found.append({node: calls_in(log) for node, log in logs.items()})
    return found[0], found[1]


async def run_cluster_point(base: Base, work: Path, point: ClusterPoint) -> ClusterOutcome:
    """Play the script into the kills of a point, start again, play on, and look."""
    outcome = ClusterOutcome(point)
    async with _copy_of(base, work) as local:
        try:
            async with local.connect() as cluster:
                await _play_into(point, Run(base, local, cluster), outcome)
            codes = await local.stop()
            if any(codes):
                outcome.wrong.append(f"processes ended with {codes}")
            outcome.wrong += await verify(local.directories)
        except (ClientError, trio.TooSlowError) as error:
            outcome.wrong.append(f"{type(error).__name__}: {error}")
            servers = [local.coordinator, *local.nodes]
            outcome.wrong += [f"{one.name} said: {one.last_words()}" for one in servers]
    return outcome


async def _play_into(point: ClusterPoint, run: "Run", outcome: ClusterOutcome) -> None:
    await run.start({node: traced(inject) for node, inject in point.kills.items()})
    await run.play("first", ROUNDS)
    outcome.met += run.bury(point.kills)
    if point.again:
        await run.start({node: traced(inject) for node, inject in point.again.items()})
        await run.play("again", MORE_ROUNDS)
        outcome.met += run.bury(point.again)
    await run.start({})
    await run.play("after", MORE_ROUNDS)
    statuses = await wait_quiescent(run.cluster, run.ids, within=HEAL_SECONDS)
    outcome.trades = sum(status.trades for status in statuses)
    outcome.wrong += await judge(list(run.traders), run.accounts, statuses)


def _copy_of(base: Base, work: Path) -> LocalCluster:
    directory = work / "cluster"
    if directory.exists():
        shutil.rmtree(directory)
    shutil.copytree(base.directory, directory)
    return Copy(directory, base.nodes)


class Copy(LocalCluster):
    """A cluster that is there already: only its coordinator is started at once."""

    def __init__(self, directory: Path, nodes: int) -> None:
        super().__init__(directory, nodes=0)
        self._there = nodes

    async def start(self) -> None:
        """Start the coordinator; the nodes wait for `Run.start`."""
        await super().start()
        for _ in range(self._there):
            self.new_node()


class Run:
    """One play of the script."""

    def __init__(self, base: Base, local: LocalCluster, cluster: Cluster) -> None:
        self.local = local
        self.cluster = cluster
        self.ids = list(range(1, base.nodes + 1))
        clients = [cluster.account(user) for user in base.users]
        self.accounts = Traders(cluster, base.instruments, clients, base.deposited)
        symbol = next(iter(base.instruments))
        self.traders = [
            Scripted(client, client.credentials.user_id, [symbol]) for client in clients
        ]

    async def start(self, prefixes: Mapping[int, list[str]]) -> None:
        """Start whoever does not live; a node with a prefix may die of it."""
        dead = [node for node in self.ids if not self._server(node).is_running]
        for node in dead:
            self._server(node).prefix = prefixes.get(node, [])
            self._server(node).launch()
        for node in dead:
            try:
                await self._server(node).wait_ready()
            except StartError:
                if node not in prefixes or self._server(node).is_running:
                    raise

    async def play(self, name: str, rounds: int) -> None:
        """Let everybody place orders in turn; who asks a node that dies gets no answer."""
        for number in range(rounds):
            for trader in self.traders:
                server = self._server(trader.client.credentials.node_id)
                if server.is_running:
                    await self._unless_it_dies(server, trader, f"{name}-{number}", number)

    async def _unless_it_dies(
        self, server: Server, trader: "Scripted", name: str, number: int
    ) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_at_its_end, server, nursery.cancel_scope)
            await trader.turn(name, number)
            nursery.cancel_scope.cancel()

    def bury(self, nodes: Collection[int]) -> int:
        """Return how many of these have met their call; who has not is killed now."""
        met = sum(not self._server(node).is_running for node in nodes)
        for node in nodes:
            self._server(node).kill()
        return met

    def _server(self, node: int) -> Server:
        return self.local.nodes[node - 1]


async def _at_its_end(server: Server, scope: trio.CancelScope) -> None:
    while server.is_running:  # noqa: ASYNC110 - another process tells no event
        await trio.sleep(LOOK_SECONDS)
    scope.cancel()


class Scripted(Trader):
    """A trader of chaos who follows a script: orders that cross, some canceled."""

    def __init__(self, client: AccountClient, name: str, symbols: list[str]) -> None:
        super().__init__(client, name, symbols, seed=0)

    async def turn(self, name: str, number: int) -> None:
        """Buy and sell by turns, against the neighbours; cancel what is left of some."""
        node = self.client.credentials.node_id
        terms = {
            "symbol": self.symbols[0],
            "side": "buy" if (number + node) % 2 else "sell",
            "price": "10.00",
            "quantity": str(1 + (number + node) % 3),
            "time_in_force": "gtc",
        }
        one = Asked(self.name, f"{name}-{node}", terms)
        self.asked.append(one)
        one.outcome, answer = await self._ask_place(one)
        if answer is None:
            return
        one.first = one.last = answer.order
        if (number + node) % CANCELED_EVERY == 0:
            await self._cancel(one)
