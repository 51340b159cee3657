"""The kill matrix: a node of a trading cluster dies at a named point, and comes back.

Theory of operation
===================
A case names a crash point and what the node is doing when it gets there.  The node is started
with `EXCHANGE_CRASH_POINT`, so it kills itself with SIGKILL; meanwhile the others trade on, and
clients ask again until they are answered.  Many a case goes on with a second point: the
restart is killed as well, during redo or while the epoch is forced.  At last the node starts
without a point, and `Market.check` has everything looked at.

    trade    all nodes trade with all; this one proposes, decides, declines and cancels
    start    it was killed at some moment of that, and gets no further than the point
    stop     it was asked to stop
    greet    another node comes back with a new epoch
    account  an account is opened at it
    flood    orders come so fast that a checkpoint is due

Starting Python is most of the work, so cases run in several clusters at once, in a thread of
their own; each test waits for its case.  A cluster in which a case failed is thrown away.
"""

import contextlib
import signal
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar, Self

import msgspec
import trio

from exchange.client.account import AccountClient
from tests.trading.market import PATIENCE_S, Market, open_market, trade_round

LANES = 3  # clusters at once: two cores, and most of the time something waits
VICTIMS = (2, 1, 3)  # by lane: dials and is dialed; dials everybody; is dialed
LOW = "5.00"  # a price at which nobody sells
FLOOD = 600  # orders in flight
SAMPLE = 97  # every how many orders of a flood are asked about again


class Case(msgspec.Struct, frozen=True):
    """A crash point, and what the node is doing; then the points that kill its restarts."""

    point: str
    doing: str = "trade"
    passage: int = 1
    then: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return a name for people."""
        again = "".join(f", {point}" for point in self.then)
        return f"{self.doing} {self.point}:{self.passage}{again}"


CASES = [
    # Decided, and in memory alone.
    Case("order_decided_unforced", passage=3),
    Case("offer_decided_unforced", then=("log_redone_epoch_unforced",)),
    Case("acceptance_decided_unforced", passage=2),
    Case("settlement_decided_unforced", then=("frame_redone:2",)),
    # Forced, and nobody told.
    Case("order_forced_answer_unsent", passage=4),
    Case("cancel_forced_answer_unsent"),
    Case("offer_forced_unsent", then=("frame_redone:2", "epoch_forced_nobody_told")),
    Case("acceptance_forced_reply_unsent", then=("log_redone_epoch_unforced",)),
    Case("decline_forced_reply_unsent", then=("epoch_forced_nobody_told",)),
    Case("settlement_forced_ack_unsent", passage=2),
    Case("peer_forced_hello_unsent", doing="greet"),
    Case("account_forced_coordinator_untold", doing="account"),
    # Sent.
    Case("offer_sent", then=("epoch_forced_nobody_told", "frame_redone")),
    Case("reply_sent", passage=2, then=("hello_sent",)),
    Case("ack_sent", then=("frame_redone",)),
    Case("events_sent", passage=5),
    Case("answer_sent", passage=6),
    # The life of a frame.
    Case("frame_encoded_unforced", passage=9),
    Case("write_begun_uncommitted", passage=12, then=("tables_loaded_log_not_redone",)),
    Case("frame_forced_effects_held", passage=10, then=("snapshot_sent",)),
    Case("checkpoint_encoded_unforced", doing="flood", then=("frame_redone:5",)),
    Case("checkpoint_forced_effects_held", doing="flood"),
    # Starts: the lock, redo, the epoch bump, the first words to others.
    Case("directory_locked_store_absent", doing="start"),
    Case("tables_loaded_log_not_redone", doing="start"),
    Case("frame_redone", doing="start", passage=2),
    Case("log_redone_epoch_unforced", doing="start"),
    Case("frame_encoded_unforced", doing="start"),
    Case("write_begun_uncommitted", doing="start"),
    Case("frame_forced_effects_held", doing="start"),
    Case("epoch_forced_nobody_told", doing="start"),
    Case("hello_sent", doing="start"),
    Case("snapshot_sent", doing="start"),
    # Stops.
    Case("drained_checkpoint_absent", doing="stop"),
    Case("checkpoint_encoded_unforced", doing="stop"),
    Case("checkpoint_forced_effects_held", doing="stop"),
    Case("checkpoint_forced_entries_kept", doing="stop"),
]


class Lane:
    """One cluster, in which the same node dies again and again."""

    def __init__(self, market: Market, victim: int) -> None:
        self.market = market
        self.victim = victim
        self.server = market.local.nodes[victim - 1]

    async def run(self, case: Case) -> None:
        """Kill the node as the case says, bring it back, and check everything."""
        async with trio.open_nursery() as nursery:
            await self._doing[case.doing](self, case, nursery)
            for point in case.then:
                await self._die(point)
            await self.server.start()
        await self.market.check()

    async def check_all(self) -> None:
        """At the end: every answer ever given still stands, also after a graceful stop."""
        assert await self.market.local.nodes[self.victim - 1].stop() == 0
        await self.server.start()
        await self.market.check_answers(self.market.history)
        assert await self.market.local.stop() == [0] * (len(self.market.local.nodes) + 1)
        self.market.check_directories()

    # What the node is doing.  Each returns when it is dead; what is asked goes on in `nursery`.

    async def _trade(self, case: Case, nursery: trio.Nursery) -> None:
        await self._arm(case)
        nursery.start_soon(self._trade_until_dead)
        await self._wait_dead()

    async def _start(self, case: Case, nursery: trio.Nursery) -> None:
        nursery.start_soon(trade_round, self.market, self.victim)
        await self.market.take(self._client, "buy", LOW, 1)  # by now the round is under way
        self.server.kill()
        await self._die(f"{case.point}:{case.passage}")

    async def _stop(self, case: Case, _nursery: trio.Nursery) -> None:
        await self._arm(case)
        await trade_round(self.market, self.victim)
        self.server.send_signal(signal.SIGTERM)
        await self._wait_dead()

    async def _greet(self, case: Case, nursery: trio.Nursery) -> None:
        await self._arm(case)
        nursery.start_soon(trade_round, self.market, self.victim)
        other = next(node for node in self.market.local.nodes if node is not self.server)
        other.kill()
        other.launch()
        await self._wait_dead()
        nursery.start_soon(other.wait_ready)

    async def _account(self, case: Case, _nursery: trio.Nursery) -> None:
        await self._arm(case)
        while self.server.is_running:  # the third at the latest is opened there
            await self.market.cluster.open_account(within=PATIENCE_S)
        await self._wait_dead()

    async def _flood(self, case: Case, nursery: trio.Nursery) -> None:
        await self._arm(case)
        nursery.start_soon(self._flood_until_dead)
        await self._wait_dead()

    _doing: ClassVar[dict[str, Callable[["Lane", Case, trio.Nursery], Awaitable[None]]]] = {
        "trade": _trade,
        "start": _start,
        "stop": _stop,
        "greet": _greet,
        "account": _account,
        "flood": _flood,
    }

    @property
    def _client(self) -> AccountClient:
        return self.market.clients[self.victim][0]

    async def _arm(self, case: Case) -> None:
        self.server.kill()
        await self.server.start(environment=armed(f"{case.point}:{case.passage}"))

    async def _die(self, point: str) -> None:
        self.server.launch(environment=armed(point))
        await self._wait_dead()

    async def _wait_dead(self) -> None:
        assert await self.server.wait_ended(PATIENCE_S) == -signal.SIGKILL

    async def _trade_until_dead(self) -> None:
        life = self.server.pid
        while life is not None and self.server.pid == life:
            await trade_round(self.market, self.victim)

    async def _flood_until_dead(self) -> None:
        """Send orders that find nobody, as many as the node takes."""
        life = self.server.pid
        while life is not None and self.server.pid == life:
            batch = [self.market.order("buy", LOW, 1, time_in_force="ioc") for _ in range(FLOOD)]
            await self.market.place_many(self._client, batch, kept=SAMPLE)


class Matrix:
    """Runs cases in the background, in several clusters at once."""

    def __init__(self, directory: Path, cases: Sequence[Case]) -> None:
        self.results: dict[str, Future[None]] = {case.name: Future() for case in cases}
        self.finales: list[Future[None]] = [Future() for _ in range(LANES)]
        self._directory = directory
        self._waiting = deque(cases)
        self._scope = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None
        self._thread = threading.Thread(target=trio.run, args=(self._run,), name="kill matrix")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._token is not None:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._scope.cancel)
        self._thread.join()

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with trio.open_nursery() as nursery:
                for number in range(LANES):
                    nursery.start_soon(self._run_lane, number)
        for result in self.results.values():
            if not result.done():  # no cluster could be started: the finales say why
                result.set_exception(RuntimeError("no cluster is left for this case"))

    async def _run_lane(self, number: int) -> None:
        """Take case after case; a cluster serves until a case fails in it."""
        finale = self.finales[number]
        life = 0
        try:
            while self._waiting:
                life += 1
                directory = self._directory / f"lane-{number}-{life}"
                async with open_market(directory) as market:
                    lane = Lane(market, VICTIMS[number])
                    if await self._run_cases(lane):
                        await lane.check_all()
            finale.set_result(None)
        except BaseException as error:
            finale.set_exception(error)
            if not isinstance(error, Exception):
                raise

    async def _run_cases(self, lane: Lane) -> bool:
        """Run cases until none is left, or one fails; tell which."""
        while self._waiting:
            case = self._waiting.popleft()
            result = self.results[case.name]
            try:
                await lane.run(case)
            except BaseException as error:
                result.set_exception(error)
                if not isinstance(error, Exception):
                    raise
                return False
            result.set_result(None)
        return True


def armed(point: str) -> dict[str, str]:
    """Return the environment in which a node dies at a point."""
    return {"EXCHANGE_CRASH_POINT": point}
