"""`exchange demo`: trade, kill a node in the middle, bring it back, prove that all is there.

What is claimed at the end is checked from outside: through client connections, through
`node.status` of every node, and with `exchange-recover verify` on the data directories.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import perf_counter

import trio

from exchange.client.account import AccountClient
from exchange.client.cluster import Cluster
from exchange.client.cluster_process import LocalCluster, Server
from exchange.client.drive import Tally, drive_max
from exchange.client.errors import ClientError
from exchange.client.flow import Flow
from exchange.client.oracle import rehearse
from exchange.client.output import counted
from exchange.client.quiescence import unequal_books, wait_quiescent
from exchange.client.replay import fills_of
from exchange.client.results import NodeStatus
from exchange.client.traders import Traders, balances, lost_or_made, open_traders
from exchange.process.errors import leaves

Say = Callable[[str], None]
KILL_AT = 0.3  # of all actions answered
RESTART_AT = 0.55  # two nodes of three can get to 0.3 + 0.7 x 2/3 without the third
DOWN_SECONDS_MAX = 5.0  # far below the patience of those who wait for the dead node
SECONDS_MAX = 300.0  # far above what it takes: nobody waits for ever
VERIFY_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.02
WINDOW = 16  # requests in flight per account: the crowd of a market, not a benchmark


async def run_demo(flow: Flow, nodes: int, is_kept: bool, say: Say) -> int:
    """Run the demonstration and return the exit code: 0 if everything was as it must be."""
    directory = Path(tempfile.mkdtemp(prefix="exchange-demo-"))
    demo = Demo(flow, LocalCluster(directory, nodes=nodes, is_authenticated=True), say)
    begun = perf_counter()
    try:
        with trio.fail_after(SECONDS_MAX):
            await _until_ended(demo.run)
    except* ClientError as group:
        demo.wrong.extend(str(error) for error in leaves(group))
    except* trio.TooSlowError:
        demo.wrong.append("somebody waited for longer than anything here may take")
    finally:
        if not is_kept:
            shutil.rmtree(directory, ignore_errors=True)
    if is_kept:
        say(f"\nThe data directories are kept in {directory}. To look into them:")
        say(f"  exchange-recover inspect {_words(demo.local.directories)}")
    for wrong in demo.wrong:
        say(f"WRONG: {wrong}")
    verdict = "FAILED" if demo.wrong else "Nothing was lost, doubled or left half done"
    say(f"\n{verdict}. It took {perf_counter() - begun:.0f} s.")
    return 1 if demo.wrong else 0


async def _until_ended(work: Callable[[], Awaitable[None]]) -> None:
    """Run to the end, or until somebody asks us to stop: what we started ends with us."""
    is_asked = False
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                nonlocal is_asked
                async for _ in signals:
                    is_asked = True
                    nursery.cancel_scope.cancel()

            nursery.start_soon(listen)
            await work()
            nursery.cancel_scope.cancel()
    if is_asked:
        raise KeyboardInterrupt


class Demo:
    """The story, step by step; `wrong` is empty if it ended well."""

    def __init__(self, flow: Flow, local: LocalCluster, say: Say) -> None:
        self.flow = flow
        self.local = local
        self.wrong: list[str] = []
        self._say = say
        self._done = 0
        self._moved = trio.Event()
        self._moved_at = perf_counter()
        self._pause = 0.0  # seconds, the longest in which nothing was answered

    async def run(self) -> None:
        """Tell the story."""
        begun = perf_counter()
        self._step("Starting a coordinator and the nodes, each a process with its own log")
        async with self.local:
            for node in self.local.nodes:
                assert node.endpoints is not None, "a node that is ready has said where it is"
                self._tell(f"{node.name} listens on {node.endpoints.tcp}, process {node.pid}")
            self._tell(f"up after {perf_counter() - begun:.1f} s, data in {self.local.directory}")
            async with self.local.connect() as cluster:
                await self._trade(cluster)
            self._step("Stopping everything gracefully, and verifying every data directory")
            codes = await self.local.stop()
            self._check(f"all {len(codes)} processes ended with exit code 0", not any(codes))
        await self._verify()

    async def _trade(self, cluster: Cluster) -> None:
        flow = self.flow
        self._step(f"Opening and funding {flow.accounts} accounts, spread over the nodes")
        traders = await open_traders(cluster, flow, self._progress)
        symbols = ", ".join(instrument.symbol for instrument in flow.instruments[:5])
        self._tell(f"traded is {symbols}{', ...' if len(flow.instruments) > 5 else ''}")
        self._step(f"Trading: {len(flow.actions)} orders, amendments and cancels")
        tallies: list[Tally] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._drive, traders, tallies)
            await self._kill_and_restart(cluster, self.local.nodes[1])
        (tally,) = tallies
        await self._check_everything(cluster, traders, tally)

    async def _drive(self, traders: Traders, tallies: list[Tally]) -> None:
        self._done = 0
        steps = rehearse(self.flow).steps
        tallies.append(await drive_max(traders, steps, window=WINDOW, progress=self._progress))

    async def _kill_and_restart(self, cluster: Cluster, victim: Server) -> None:
        total = len(self.flow.actions)
        await self._reached(KILL_AT * total)
        at_kill = self._done
        self._step(f"kill -9 {victim.pid}: {victim.name} dies in the middle of trading")
        victim.kill()
        killed, self._pause = perf_counter(), 0.0
        self._tell(f"{at_kill} requests were answered until then")
        with trio.move_on_after(DOWN_SECONDS_MAX):  # what is left may all be its own
            await self._reached(RESTART_AT * total)
        self._tell(
            f"the others trade on: {self._done - at_kill} more answered within "
            f"{perf_counter() - killed:.1f} s, {self._pause:.1f} s of which they waited for it"
        )
        assert victim.endpoints is not None, "it was ready before"
        self._step(f"Starting {victim.name} again on the data it left behind")
        begun, epoch = perf_counter(), victim.endpoints.epoch
        endpoints = await victim.start()
        self._check(f"{victim.name} has a new epoch", endpoints.epoch > epoch)
        self._tell(
            f"it has redone its log and serves again after {perf_counter() - begun:.1f} s, "
            f"in epoch {endpoints.epoch}"
        )
        while not self._is_synced(  # noqa: ASYNC110 - other processes tell no event
            await self._statuses(cluster), endpoints.node_id
        ):
            await trio.sleep(LOOK_SECONDS)
        self._tell(f"all nodes see its orders again after {perf_counter() - begun:.1f} s")

    async def _check_everything(self, cluster: Cluster, traders: Traders, tally: Tally) -> None:
        self._tell(
            f"all {len(self.flow.actions)} requests are answered; {tally.repeated} that were "
            f"under way at the kill were asked again"
        )
        self._step("Waiting until nothing is under way any more, then checking from outside")
        begun = perf_counter()
        statuses = await wait_quiescent(cluster, await cluster.node_ids())
        self._tell(f"at rest after {perf_counter() - begun:.2f} s, no trade is in doubt")
        self.wrong.extend(tally.problems)
        placed = await self._check_orders(traders, tally)
        trades, broken = await fills_of(traders)
        unequal = unequal_books(statuses)
        wrong = lost_or_made(traders, await balances(traders))
        for problem in (*broken, *unequal, *wrong):
            self.wrong.append(problem)
        orders = sum(status.open_orders for status in statuses)
        self._check(f"each of the {tally.orders} orders exists exactly once", placed)
        self._check(f"each of the {len(trades)} trades is on both sides", not broken)
        self._check(
            f"the books of all nodes are equal: {counted(orders, 'open order')}", not unequal
        )
        self._check(f"the {len(traders.deposited)} assets add up to the last unit", not wrong)

    async def _check_orders(self, traders: Traders, tally: Tally) -> bool:
        """Tell whether the orders that are there are those that were answered."""
        found: list[str] = []
        for client in traders.clients:
            found.extend(await _order_ids(client))
        return sorted(found) == sorted(tally.order_ids.values())

    async def _verify(self) -> None:
        command = [sys.executable, "-m", "recovery.command", "verify"]
        paths = [str(path) for path in self.local.directories]
        with trio.fail_after(VERIFY_SECONDS_MAX):
            done = await trio.run_process(
                [*command, *paths],
                capture_stdout=True,
                stderr=subprocess.STDOUT,
                check=False,
            )
        self._check(f"exchange-recover verify finds {len(paths)} clean logs", not done.returncode)
        if done.returncode:
            self.wrong.append(done.stdout.decode(errors="replace").strip())

    async def _statuses(self, cluster: Cluster) -> list[NodeStatus]:
        return [await cluster.status(node_id) for node_id in await cluster.node_ids()]

    def _is_synced(self, statuses: Sequence[NodeStatus], node_id: int) -> bool:
        others = [status for status in statuses if status.node_id != node_id]
        return all(
            peer.state == "synced"
            for status in others
            for peer in status.peers
            if peer.node_id == node_id
        )

    async def _reached(self, done: float) -> None:
        while self._done < done:
            self._moved = trio.Event()
            await self._moved.wait()

    def _progress(self, what: str, done: int, _total: int) -> None:
        if what == "trading":
            now = perf_counter()
            self._pause = max(self._pause, now - self._moved_at)
            self._done, self._moved_at = done, now
            self._moved.set()

    def _step(self, text: str) -> None:
        self._say(f"\n{text}")

    def _tell(self, text: str) -> None:
        self._say(f"  {text}")

    def _check(self, claim: str, is_true: bool) -> None:
        self._say(f"  {'ok' if is_true else 'NO'}  {claim}")
        if not is_true:
            self.wrong.append(f"not so: {claim}")


async def _order_ids(client: AccountClient) -> list[str]:
    """Return the ids of all orders an account has ever had."""
    found: list[str] = []
    cursor: int | str | None = None
    while True:
        page = await client.orders(status="all", cursor=cursor, limit=1000)
        found.extend(order.order_id for order in page.orders)
        cursor = page.next_cursor
        if cursor is None:
            return found


def _words(paths: Sequence[Path]) -> str:
    return " ".join(map(str, paths))
