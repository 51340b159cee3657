"""Drives order flow into a running cluster, one order at a time or as fast as it goes.

sequential  each action is answered before the next is sent; aggressors, and whatever the
            naive book says will trade, until nothing of them is in doubt.  Then a cluster
            must do on every line what one naive book does (B3).
max         one lane per account, each with many requests in flight.  Lanes overtake each
            other, so fills differ from run to run; books and sums must still agree.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from time import perf_counter

import msgspec
import trio

from exchange.client import results
from exchange.client.account import AccountClient
from exchange.client.connection import Repeat, Request
from exchange.client.errors import ClientError, LinkLost, Refused
from exchange.client.flow import Action, Aggress, Amend, Place
from exchange.client.link import Answer, Outcome
from exchange.client.oracle import Step
from exchange.client.traders import Progress, Traders
from exchange.domain.instruments import Instrument
from exchange.domain.orders import SIDE_NAMES
from exchange.domain.units import Symbol

WINDOW = 64  # requests in flight per lane: twelve lanes fill the batches of three nodes
ACTION_SECONDS_MAX = 30.0  # longer than a node needs to come back from a kill
DOUBT_SECONDS_MAX = 10.0
LOOK_SECONDS = 0.002
PROGRESS_EVERY = 64  # actions at full speed
# Of an order that has traded meanwhile: no error, the source only restates it.
_RESTATED = {"order_done", "quantity_below_filled", "unknown_order"}


class Clock:
    """Where the time of a measurement comes from; tests bring their own."""

    def now(self) -> float:
        """Return seconds since some fixed moment."""
        return perf_counter()


class Tally(msgspec.Struct):
    """What came of the actions."""

    orders: int = 0  # order.create sent
    seconds: float = 0.0
    acknowledged: list[float] = msgspec.field(default_factory=list)  # seconds until answered
    settled: list[float] = msgspec.field(default_factory=list)  # ... and nothing in doubt
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    problems: list[str] = msgspec.field(default_factory=list)
    order_ids: dict[str, str] = msgspec.field(default_factory=dict)  # key -> order id
    repeated: int = 0  # requests sent again after a connection was lost


class Texts:
    """Prices and quantities as servers read them, per instrument."""

    def __init__(self, instruments: dict[Symbol, Instrument]) -> None:
        self._rules = {symbol: instrument.rule for symbol, instrument in instruments.items()}

    def price(self, symbol: Symbol, ticks: int) -> str:
        """Write a price."""
        return self._rules[symbol].tick.text(ticks)

    def quantity(self, symbol: Symbol, lots: int) -> str:
        """Write a quantity."""
        return self._rules[symbol].lot.text(lots)

    def lots(self, symbol: Symbol, text: str) -> int:
        """Read a quantity."""
        return self._rules[symbol].lot.count(text, "quantity")


class Writer:
    """Turns a step of the plan into the request that does it."""

    def __init__(self, instruments: dict[Symbol, Instrument]) -> None:
        self.texts = Texts(instruments)

    def request(self, step: Step) -> Request:
        """Return the request; orders are named by their keys, so no answer is waited for."""
        action, texts = step.action, self.texts
        if isinstance(action, Place | Aggress):
            return self._create(step, action)
        name = {"client_order_id": action.key}
        if step.total is None:
            return Request("order.cancel", name, Repeat.SAFE)
        value = {**name, "quantity": texts.quantity(action.symbol, step.total)}
        if isinstance(action, Amend):
            value["price"] = texts.price(action.symbol, action.price)
        return Request("order.amend", value, Repeat.SAFE)

    def _create(self, step: Step, action: Place | Aggress) -> Request:
        is_aggress = isinstance(action, Aggress)
        value = {
            "symbol": action.symbol,
            "side": SIDE_NAMES[action.side],
            "time_in_force": "ioc" if is_aggress else "gtc",
            "price": self.texts.price(action.symbol, action.price),
            "quantity": self.texts.quantity(action.symbol, action.quantity),
            "client_order_id": action.key,
        }
        wait = "done" if is_aggress or step.hits else None
        return Request("order.create", value, Repeat.SAFE, None, wait, action.key)


class Owners:
    """Which account an action belongs to: that of the order it names."""

    def __init__(self) -> None:
        self._by_key: dict[str, int] = {}

    def of(self, action: Action) -> int:
        """Return the account; an order is remembered when it is placed."""
        if isinstance(action, Place | Aggress):
            self._by_key[action.key] = action.account
            return action.account
        return self._by_key[action.key]


async def drive_sequential(
    traders: Traders,
    steps: Sequence[Step],
    *,
    clock: Clock | None = None,
    progress: Progress,
) -> Tally:
    """Do one action at a time, and compare what is filled with the naive book at once."""
    clock = clock or Clock()
    tally, owners, writer = Tally(), Owners(), Writer(traders.instruments)
    begun = clock.now()
    for number, step in enumerate(steps):
        client = traders.clients[owners.of(step.action)]
        await _one(client, step, writer, tally, clock)
        progress("trading", number + 1, len(steps))
    tally.seconds = clock.now() - begun
    return tally


async def _one(
    client: AccountClient, step: Step, writer: Writer, tally: Tally, clock: Clock
) -> None:
    request, begun = writer.request(step), clock.now()
    try:
        answer = await client.connection.call(request, within=ACTION_SECONDS_MAX)
    except Refused as refused:
        _refused(step, refused, tally)
        return
    order = results.decode(answer, results.Order)
    if request.verb == "order.create":
        _created(step, order, clock.now() - begun, request, tally)
    elif step.hits:
        order = await _undoubted(client, order)
    _compare(step, order, writer.texts, tally)


def _created(
    step: Step, order: results.Order, seconds: float, request: Request, tally: Tally
) -> None:
    tally.orders += 1
    tally.order_ids[step.action.key] = order.order_id
    (tally.settled if request.wait else tally.acknowledged).append(seconds)
    if order.is_rejected:
        tally.refused[order.reason or "rejected"] += 1
        tally.problems.append(f"line {step.action.line}: rejected: {order.reason}")


def _refused(step: Step, refused: Refused, tally: Tally) -> None:
    tally.refused[refused.code] += 1
    if isinstance(step.action, Place | Aggress) or not step.is_done:
        tally.problems.append(f"line {step.action.line}: {refused}")


def _compare(step: Step, order: results.Order, texts: Texts, tally: Tally) -> None:
    """Compare what an order has filled so far: its owner knows, once takers are done (S3)."""
    filled = texts.lots(step.action.symbol, order.filled_quantity)
    if filled != step.filled:
        tally.problems.append(
            f"line {step.action.line}: {filled} lots filled, the naive book fills {step.filled}"
        )


async def _undoubted(client: AccountClient, order: results.Order) -> results.Order:
    """Wait until nothing of an amended order is in doubt: `wait` belongs to order.create."""
    with trio.move_on_after(DOUBT_SECONDS_MAX):
        while order.in_doubt_quantity != "0":
            await trio.sleep(LOOK_SECONDS)
            order = (await client.order(order.order_id)).order
    return order


async def drive_max(
    traders: Traders,
    steps: Sequence[Step],
    *,
    clock: Clock | None = None,
    window: int = WINDOW,
    progress: Progress,
) -> Tally:
    """Do all actions as fast as the cluster takes them."""
    clock = clock or Clock()
    tally, owners = Tally(), Owners()
    lanes: dict[int, list[Step]] = {}
    for step in steps:
        lanes.setdefault(owners.of(step.action), []).append(step)
    done = 0

    def on_done() -> None:
        nonlocal done
        done += 1
        if not done % PROGRESS_EVERY or done == len(steps):
            progress("trading", done, len(steps))

    writer = Writer(traders.instruments)
    begun = clock.now()
    async with trio.open_nursery() as nursery:
        for account, lane in lanes.items():
            runner = _Lane(traders.clients[account], writer, tally, clock, on_done)
            nursery.start_soon(runner.run, lane, window)
    tally.seconds = clock.now() - begun
    return tally


class _Lane:
    """One account's actions, many in flight, answered in order."""

    def __init__(
        self,
        client: AccountClient,
        writer: Writer,
        tally: Tally,
        clock: Clock,
        on_done: Callable[[], None],
    ) -> None:
        self._client = client
        self._writer = writer
        self._tally = tally
        self._clock = clock
        self._on_done = on_done
        self._in_flight = 0
        self._lost: list[tuple[Step, Request]] = []
        self._room = trio.Event()

    async def run(self, steps: Sequence[Step], window: int) -> None:
        """Send everything and wait for every answer; what a broken link lost is sent again."""
        connection = self._client.connection
        await connection.connect()
        for step in steps:
            while self._in_flight >= window:
                await self._wait_room()
            if self._lost:
                await self._repeat()
            self._submit(step, self._writer.request(step))
        while self._in_flight or self._lost:
            if self._in_flight:
                await self._wait_room()
            else:
                await self._repeat()

    def _submit(self, step: Step, request: Request) -> None:
        self._in_flight += 1
        begun = self._clock.now()

        def on_outcome(outcome: Outcome) -> None:
            self._in_flight -= 1
            self._take(step, request, outcome, self._clock.now() - begun)
            self._room.set()

        self._client.connection.submit(request, on_outcome)

    def _take(self, step: Step, request: Request, outcome: Outcome, seconds: float) -> None:
        if isinstance(outcome, LinkLost):
            self._lost.append((step, request))
            return
        self._on_done()
        if isinstance(outcome, Answer):
            if request.verb == "order.create":
                self._placed(step, request, outcome, seconds)
        elif isinstance(outcome, Refused) and outcome.code in _RESTATED:
            self._tally.refused[outcome.code] += 1
        else:
            code = outcome.code if isinstance(outcome, Refused) else "bad_answer"
            self._tally.refused[code] += 1
            self._tally.problems.append(f"line {step.action.line}: {outcome}")

    def _placed(self, step: Step, request: Request, answer: Answer, seconds: float) -> None:
        try:
            order = results.decode(answer, results.Order)
        except ClientError as error:
            self._tally.problems.append(f"line {step.action.line}: {error}")
        else:
            _created(step, order, seconds, request, self._tally)

    async def _wait_room(self) -> None:
        self._room = trio.Event()
        await self._room.wait()

    async def _repeat(self) -> None:
        """Ask again, one by one, for what was in flight when the link broke."""
        while self._in_flight:
            await self._wait_room()
        lost, self._lost = self._lost, []
        for step, request in lost:
            self._tally.repeated += 1
            begun = self._clock.now()
            outcome: Outcome
            try:
                outcome = await self._client.connection.call(request, within=ACTION_SECONDS_MAX)
            except Refused as refused:
                outcome = refused
            except ClientError as error:
                self._tally.problems.append(f"line {step.action.line}: {error}")
                self._on_done()
                continue
            self._take(step, request, outcome, self._clock.now() - begun)
