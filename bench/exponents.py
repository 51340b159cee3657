"""How the cost of each verb grows with N: the exponent, from CPU time at N and 4 N.

1.0 is linear.  Two engines in this process talk to each other; no disk, no sockets, no clock.
An exponent is log(cost(4 N) / cost(N)) / log 4, of the least of some runs: other load on the
machine makes a run dearer, never cheaper.
"""

import gc
import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from bench.figures import Figure
from bench.growth import NOW
from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side, TimeInForce
from exchange.domain.units import (
    AccountId,
    Asset,
    Epoch,
    Lots,
    Lsn,
    Micros,
    NodeId,
    OrderId,
    Seq,
    Symbol,
    Ticks,
    Units,
    make_id,
)
from exchange.engine import inputs
from exchange.engine.apply import apply
from exchange.engine.effects import Answer, AnswerBody, Effect, OrdersAnswer, Send, WantMore
from exchange.engine.engine import Engine, EngineConfig
from exchange.engine.messages import Batch, PeerMessage, Proof, Session
from exchange.engine.records import Booted, Record
from exchange.engine.state import State

SYMBOL = Symbol("AAPL")
RUNS = 3
SMALL = 1_500  # N; the other is four times as many
MUST = 1.2


class Pair:
    """Nodes 1 and 2, each with one rich account, and what they say to each other."""

    def __init__(self) -> None:
        self.now_us = 0
        self.answer: AnswerBody | None = None
        self.log: list[Record] = []  # of node 1
        self._counter = 0
        self._wire: deque[tuple[int, inputs.Input]] = deque()
        self.engines = {number: self._engine(number) for number in (1, 2)}
        for number in self.engines:
            self.turn(number, inputs.KnowPeer(NodeId(3 - number), b"", ""))
            self.turn(number, inputs.ListInstrument(0, plain_ticker(SYMBOL)))
            self.turn(number, inputs.OpenAccount(0, account(number), b""))
            for asset in ("USD", SYMBOL):
                move = inputs.MoveFunds(0, account(number), Asset(asset), Units(10**13))
                self.turn(number, move)
        self.link()

    def _engine(self, number: int) -> Engine:
        state = State(node_id=NodeId(number), cluster="bench", nonce=bytes([number]) * 16)
        booted = Booted(Epoch(1), bytes([number]), Micros(0))
        apply(state, booted)
        state.lsn = Lsn(1)
        if number == 1:
            self.log.append(booted)
        return Engine(state, EngineConfig(suspect_us=10**12))

    def link(self) -> None:
        """Dial node 2 from node 1, anew if they are linked."""
        self._counter += 1
        self.turn(1, inputs.LinkOpened(NodeId(2), Session(Epoch(1), self._counter)))
        self.settle()
        for number in self.engines:
            self.turn(number, inputs.Tick())
        self.settle()

    def unlink(self) -> None:
        """Let both hear that the connection is gone."""
        session = Session(Epoch(1), self._counter)
        for number in self.engines:
            self.turn(number, inputs.LinkClosed(NodeId(3 - number), session))
        self._wire.clear()

    def turn(self, number: int, *items: inputs.Input) -> None:
        """Take turns until the inputs are done."""
        engine, left = self.engines[number], list(items)
        while True:
            self.now_us += 1
            engine.begin(wall_us=NOW + self.now_us, mono_us=self.now_us)
            rest = None
            while left and rest is None:
                rest = engine.handle(left.pop(0))
            if rest is not None:
                left.insert(0, rest)
            step = engine.drain()
            if number == 1:
                self.log += step.records
            engine.forced(Proof(step.last_lsn, b"p" * 16))
            self._release(number, step.effects)
            if not left and not engine.is_busy:
                return

    def _release(self, number: int, effects: Sequence[Effect]) -> None:
        engine, said = self.engines[number], dict[Session, list[PeerMessage]]()
        for effect in effects:
            if isinstance(effect, Send):
                said.setdefault(effect.session, []).append(effect.message)
            elif isinstance(effect, WantMore):
                self._wire.append((number, inputs.SnapshotMore(effect.peer, effect.session)))
            elif isinstance(effect, Answer):
                self.answer = effect.body
        for session, messages in said.items():
            batch = Batch(
                session, engine.clock, engine.proof, messages, NodeId(number), engine.wall
            )
            self._wire.append((3 - number, inputs.PeerBatch(batch)))

    def settle(self) -> None:
        """Deliver all that is said."""
        while self._wire:
            self.turn(*self._wire.popleft())

    def rest(self, number: int, side: Side, count: int, *, prices: int = 50) -> None:
        """Let an account place orders that rest, hundred a turn."""
        for first in range(0, count, 100):
            places = range(first, first + 100)
            self.turn(number, *(order(number, side, place, prices) for place in places))
            self.settle()


def account(number: int) -> AccountId:
    return AccountId(make_id(number, 1))


def order(number: int, side: Side, place: int, prices: int = 50) -> inputs.PlaceOrder:
    price = 1_000 + place % prices * (1 if side is Side.SELL else -1)
    return inputs.PlaceOrder(0, account(number), SYMBOL, side, Ticks(price), Lots(1))


def sweep(number: int, side: Side, count: int) -> inputs.PlaceOrder:
    price = Ticks(100_000 if side is Side.BUY else 1)
    terms = TimeInForce.IOC
    return inputs.PlaceOrder(0, account(number), SYMBOL, side, price, Lots(count), terms)


Work = Callable[[], object]


def _place(count: int) -> Work:
    pair = Pair()
    return lambda: pair.rest(1, Side.SELL, count)


def _amend(count: int) -> Work:
    pair, owner = resting(count), account(1)
    ids = sorted(pair.engines[1].state.orders)

    def work() -> None:
        for order_id in ids:
            pair.turn(1, inputs.AmendOrder(0, owner, order_id, Ticks(2_000), None))
            pair.settle()

    return work


def resting(count: int, number: int = 1, side: Side = Side.SELL) -> Pair:
    pair = Pair()
    pair.rest(number, side, count)
    return pair


def _cancel(count: int) -> Work:
    pair, owner = resting(count), account(1)
    ids: list[OrderId] = sorted(pair.engines[1].state.orders)

    def work() -> None:
        for order_id in ids:
            pair.turn(1, inputs.CancelOrder(0, owner, order_id))

    return work


def _cancel_all(count: int) -> Work:
    pair = resting(count)

    def work() -> None:
        pair.turn(1, inputs.CancelAll(0, account(1), None))
        pair.settle()

    return work


def _sweep(side: Side, owner: int) -> Callable[[int], Work]:
    def make(count: int) -> Work:
        pair = resting(count, owner, side.opposite)
        if owner == 1:
            pair.turn(1, inputs.OpenAccount(0, AccountId(make_id(1, 2)), b""))
            for asset in ("USD", SYMBOL):
                move = inputs.MoveFunds(0, AccountId(make_id(1, 2)), Asset(asset), Units(10**13))
                pair.turn(1, move)

        def work() -> None:
            taker = sweep(1, side, count)
            if owner == 1:
                taker = inputs.PlaceOrder(
                    0, AccountId(make_id(1, 2)), SYMBOL, side, taker.price, Lots(count + 1)
                )
            pair.turn(1, taker)
            pair.settle()
            assert not pair.engines[owner].state.open_by_account.get(account(owner))

        return work

    return make


def _list(count: int) -> Work:
    pair = resting(count)

    def work() -> None:
        cursor: Seq | None = Seq(1)
        while cursor is not None:
            pair.turn(1, inputs.Ask(0, inputs.OrdersQuery(account(1), True, None, cursor, 100)))
            page = pair.answer
            assert isinstance(page, OrdersAnswer)
            cursor = page.next_cursor

    return work


def _fills(count: int) -> Work:
    pair = resting(count, 2)
    pair.turn(1, sweep(1, Side.BUY, count))
    pair.settle()

    def work() -> None:
        for first in range(1, count + 1, 100):
            pair.turn(1, inputs.Ask(0, inputs.FillsQuery(account(1), Seq(first), 100)))

    return work


def _book(count: int) -> Work:
    pair = Pair()
    pair.rest(1, Side.SELL, count, prices=count)
    return lambda: pair.turn(1, *[inputs.Ask(0, inputs.BookQuery(SYMBOL, None))] * 9)


def _snapshot(count: int) -> Work:
    pair = resting(count)
    pair.unlink()
    pair.engines[2].soft.links[NodeId(1)].have = None
    return pair.link


def _redo(count: int) -> Work:
    pair = resting(count, 2)
    pair.turn(1, sweep(1, Side.BUY, count))
    pair.settle()

    def work() -> None:
        state = State(node_id=NodeId(1), cluster="bench", nonce=bytes([1]) * 16)
        for record in pair.log:
            apply(state, record)
        state.derive()

    return work


def _rematch(count: int) -> Work:
    """Let two books that grew apart come together: all of it crosses.

    All orders of node 1 are the younger ones.  Where both sides have younger ones they propose to
    each other at once, and decline: that contention is not measured here.
    """
    pair = Pair()
    pair.unlink()
    pair.rest(2, Side.SELL, count)
    pair.now_us += 1_000_000
    for first in range(0, count, 100):
        pair.turn(1, *[sweep_resting(place) for place in range(first, first + 100)])
    return pair.link


def sweep_resting(place: int) -> inputs.PlaceOrder:
    price = Ticks(2_000 + place % 50)
    return inputs.PlaceOrder(0, account(1), SYMBOL, Side.BUY, price, Lots(1))


def _suspicion(count: int) -> Work:
    """Lose a peer while N orders have offers out to it, and somebody waits for each."""
    pair = resting(count, 2)
    for first in range(0, count, 100):
        orders = [
            inputs.PlaceOrder(
                0,
                account(1),
                SYMBOL,
                Side.BUY,
                Ticks(2_000),
                Lots(1),
                wait_done=True,
            )
            for _ in range(first, first + 100)
        ]
        pair.turn(1, *orders)
    return pair.unlink


CASES: dict[str, Callable[[int], Work]] = {
    "place, with a replica": _place,
    "amend, with a replica": _amend,
    "cancel": _cancel,
    "cancel_all": _cancel_all,
    "buy that sweeps remote makers": _sweep(Side.BUY, 2),
    "sell that sweeps remote makers": _sweep(Side.SELL, 2),
    "buy that sweeps own node's makers": _sweep(Side.BUY, 1),
    "orders.list, all pages": _list,
    "fills.list, all pages": _fills,
    "book.get without depth": _book,
    "snapshot to a peer": _snapshot,
    "redo": _redo,
    "match when a peer comes back": _rematch,
    "suspicion with orders that wait": _suspicion,
}


def cost(make: Callable[[int], Work], count: int) -> float:
    """Return the least CPU seconds of some runs."""
    runs = []
    for _ in range(RUNS):
        work = make(count)
        gc.collect()
        gc.disable()
        begun = time.process_time()
        work()
        runs.append(time.process_time() - begun)
        gc.enable()
    return min(runs)


def measure(*, scale: float) -> list[Figure]:
    """Return the exponent of each."""
    count = max(200, int(SMALL * scale) // 100 * 100)
    figures = []
    for name, make in CASES.items():
        small, large = cost(make, count), cost(make, 4 * count)
        exponent = math.log(large / small) / math.log(4)
        note = f"{small * 1e3:.1f} ms at {count:,}, {large * 1e3:.1f} ms at {4 * count:,}"
        figures.append(Figure("G3", f"exponent: {name}", exponent, "", MUST, 1.05, note=note))
    return figures
