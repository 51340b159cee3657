"""The hub: the one task that owns the engine (E1).

Theory of operation
===================
Readers put whatever a socket read held into one inbox, and wake the hub once (E6).  A turn:

    begin(now) -> handle every input -> drain -> prepare one frame -> force it
               -> forced(proof) -> release the effects whose gate is durable, in order
               -> one send per peer and per connection

While a frame is being forced on the committer's thread, turns go on deciding; what they
decide gathers, and goes whole into the next frame.  The state runs ahead of the disk, what
others see does not (E4): every effect waits in one queue for the LSN it was decided at (E3).
Only `Applied` messages leave before it.

A node that stood still (stopped, suspended, a long turn) tells clients nothing, not even what
was decided and forced before, until a peer or the coordinator has let it in again, for as long
as a start would wait for them (B5): another process may have taken its place.

A force that fails ends the hub: memory is ahead of the disk and the outcome is unknown.
Whoever runs it closes everything, reopens, redoes and goes on (E4).
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, assert_never

import msgspec
import trio

from exchange.domain.units import Lsn, Micros, NodeId
from exchange.engine.effects import (
    Alarm,
    Answer,
    AnswerBody,
    CloseLink,
    Effect,
    Send,
    Stop,
    WantMore,
    is_exempt,
)
from exchange.engine.engine import Step
from exchange.engine.inputs import Input, Ticket
from exchange.engine.messages import Proof, SealedProof
from exchange.engine.records import Record
from exchange.node import crashes
from exchange.node.committer import Committer
from exchange.node.errors import OldCopy
from exchange.node.feed import Publication
from exchange.node.inbox import Inbox
from exchange.process.clocks import Clocks
from exchange.store.store import Write

TURN_MAX = 128  # inputs decided in one turn: bounds how long one batch holds up the next
TURN_RECORDS = 512  # records of a turn after which no other input is begun: about 10 ms
INBOX_MAX = 65_536  # inputs that wait; above it readers stop reading
INSIDE = 0  # the connection number of tickets that the node itself waits for
TICKET_SHIFT = 40  # ticket = connection << 40 | place on the connection
PLACE_MASK = (1 << TICKET_SHIFT) - 1


class EngineLike(Protocol):
    """What the hub needs of the engine."""

    def begin(self, *, wall_us: int, mono_us: int) -> None: ...
    def was_silent(self, mono_us: int) -> bool: ...
    @property
    def is_mute(self) -> bool: ...
    def handle(self, item: Input) -> Input | None: ...
    @property
    def pending(self) -> list[Record]: ...
    @property
    def is_busy(self) -> bool: ...
    def drain(self) -> Step: ...
    def forced(self, proof: Proof) -> None: ...


class Log(Protocol):
    """What the hub needs of the store, beside what the committer calls."""

    def prepare(self, step: Step, *, ts: Micros) -> Write: ...
    def committed(self, write: Write) -> None: ...


class Answers(Protocol):
    """Takes answers for client connections, and sends them at `flush`."""

    def answer(self, connection: int, place: int, body: AnswerBody) -> None: ...
    def flush(self) -> None: ...


class Peers(Protocol):
    """Takes messages for peers, and sends them at `flush`."""

    def send(self, effect: Send) -> None: ...
    def close_link(self, effect: CloseLink) -> None: ...
    def want_more(self, effect: WantMore) -> None: ...
    def flush(self) -> None: ...


class FeedLike(Protocol):
    """Writes what a turn has to tell when it is decided, and tells it when it is durable (C8)."""

    def collect(
        self, items: Sequence[object], records: Sequence[Record], now_us: int
    ) -> Publication | None: ...
    def release(self, publication: Publication) -> None: ...


class Tell(msgspec.Struct, frozen=True):
    """An answer that the shell itself made from the state; held back like any other (E3)."""

    ticket: Ticket
    body: AnswerBody


class Later(msgspec.Struct, frozen=True):
    """What can be translated only right before it is handled: it names orders as they are then."""

    resolve: Callable[[], Input | Tell]


Item = Input | Tell | Later
Gated = Effect | Publication  # what waits for the log to be durable
TOLD = (Answer, Publication)  # what clients and followers of the feed are told


class Hub:
    """Runs the engine; see the theory of operation above."""

    def __init__(
        self,
        engine: EngineLike,
        log: Log,
        clocks: Clocks,
        *,
        durable_lsn: Lsn,
        alarm: Callable[[Alarm], None],
    ) -> None:
        self._engine = engine
        self._log = log
        self._clocks = clocks
        self._answers: Answers
        self._peers: Peers
        self._feed: FeedLike | None = None
        self._alarm = alarm
        self._inbox: Inbox[Item] = Inbox()
        self._wake = trio.Event()
        self._room = trio.Event()
        self._turned = trio.Event()
        self._records: list[Record] = []  # decided, and in no frame yet
        self._seen: dict[NodeId, SealedProof] = {}  # proofs of peers, to be stored with them (C3)
        self._forcing: list[Record] = []  # in the frame under way
        self._gated: deque[tuple[Lsn, list[Gated]]] = deque()  # the gates only rise
        self._kept: list[Gated] = []  # durable, but this node stood still and is mute (B5)
        self._calls: dict[int, _Call] = {}
        self._call_number = 0
        self.durable_lsn = durable_lsn
        self.applied_lsn = durable_lsn  # durable_lsn <= applied_lsn
        self.turns = 0
        self.forces = 0
        self.log_bytes = 0  # of keys and values handed to the store

    def connect(self, *, answers: Answers, peers: Peers, feed: FeedLike | None = None) -> None:
        """Say where answers and messages go; they put their inputs here, so they come second."""
        self._answers = answers
        self._peers = peers
        self._feed = feed

    def feed(self, items: Sequence[Item], source: int = INSIDE) -> None:
        """Hand over inputs of a connection, or of peers and the node itself; never waits."""
        self._inbox.put(source, items)
        self._wake.set()

    def wake(self) -> None:
        """Make the hub look at its committer."""
        self._wake.set()

    async def wait_room(self) -> None:
        """Wait while too much waits to be decided."""
        while len(self._inbox) > INBOX_MAX:
            await self._room.wait()

    async def wait_turn(self) -> None:
        """Wait for the end of a turn."""
        await self._turned.wait()

    async def call(self, question: Callable[[Ticket], Item], source: int = INSIDE) -> AnswerBody:
        """Have an input handled behind those of its source; return its answer when it may leave."""
        self._call_number += 1
        number = self._call_number
        call = self._calls[number] = _Call()
        try:
            self.feed([question(INSIDE << TICKET_SHIFT | number)], source)
            await call.answered.wait()
        finally:
            del self._calls[number]
        assert call.body is not None, "the answer came before the event"
        return call.body

    @property
    def inputs_waiting(self) -> int:
        """Return how many inputs wait to be decided."""
        return len(self._inbox)

    @property
    def turns_held(self) -> int:
        """Return how many turns' effects wait for the log."""
        return len(self._gated)

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing waits: no input, no record, no effect."""
        waits = self._inbox or self._records or self._forcing or self._gated or self._kept
        return not (waits or self._engine.is_busy)

    async def run(self, committer: Committer) -> None:
        """Take turns until cancelled; raises StoreFailed, OldCopy, or what is our bug."""
        while True:
            await self._wake.wait()
            await trio.lowlevel.checkpoint()  # who has something to read is in this turn
            self._wake = trio.Event()
            self.turn(committer)
            if self._inbox or self._engine.is_busy:
                self._wake.set()

    def turn(self, committer: Committer) -> None:
        """Decide what waits, have it forced, release what is durable."""
        wall_us = self._clocks.wall_us()
        self._engine.begin(wall_us=wall_us, mono_us=self._clocks.mono_us())
        self._collect(committer)
        self._decide()
        if self._records and not committer.is_busy:
            self._submit(committer, Micros(wall_us))
            self._collect(committer)
        self._release()
        self.turns += 1
        self._turned.set()
        self._turned = trio.Event()

    def finish(self, committer: Committer, inline: Committer) -> None:
        """Force all that was decided, after `run` has ended and `committer` is closed."""
        self._collect(committer)
        while self._inbox or self._records:
            self.turn(inline)

    def _decide(self) -> None:
        taken = self._inbox.take(TURN_MAX)
        if len(self._inbox) <= INBOX_MAX:
            self._room.set()
            self._room = trio.Event()
        told: list[Gated] = []
        batch = self._handle(taken, told)
        step = self._engine.drain()
        for effect in step.effects:
            if type(effect) is Stop:  # at once: nothing that waits may leave an old copy (C3)
                raise OldCopy(effect.reason)
        self._records += step.records
        self._seen.update(step.seen)
        self.applied_lsn = step.last_lsn
        if self._feed is not None:
            news = self._feed.collect(batch, step.records, self._clocks.mono_us())
            if news is not None:
                told.append(news)
        effects: list[Gated] = [*step.effects, *told]
        if effects and step.last_lsn > self.durable_lsn:
            effects = self._let_go_ahead(effects)
        if effects:
            self._gated.append((step.last_lsn, effects))

    def _handle(self, taken: list[tuple[int, list[Item]]], told: list[Gated]) -> list[Item]:
        """Handle inputs until the turn is full of work; return those that were handled.

        What is left of one waits before all else of its source, and others are served meanwhile.
        """
        handle, pending = self._engine.handle, self._engine.pending
        handled: list[Item] = []
        left: list[tuple[int, list[Item]]] = []
        halted: dict[int, list[Item]] = {}  # by an input that goes on in the next turn
        for source, items in taken:
            if source in halted:
                halted[source] += items
                continue
            if len(pending) > TURN_RECORDS:
                left.append((source, items))
                continue
            for place, item in enumerate(items, 1):
                if type(item) is Later:
                    item = item.resolve()
                handled.append(item)
                if type(item) is Tell:
                    told.append(Answer(item.ticket, item.body))
                    continue
                rest = handle(item)  # type: ignore[arg-type]  # mypy does not narrow by `type() is`
                if rest is not None:
                    halted[source] = [rest, *items[place:]]
                    break
                if len(pending) > TURN_RECORDS and place < len(items):
                    left.append((source, items[place:]))
                    break
        for source, items in reversed(left):
            self._inbox.put_back(source, items, is_next=True)
        for source, items in halted.items():
            self._inbox.put_back(source, items, is_next=False)
        return handled

    def _let_go_ahead(self, effects: list[Gated]) -> list[Gated]:
        """Send what need not wait for the force; return the rest (E3)."""
        ahead = [effect for effect in effects if type(effect) is Send and is_exempt(effect)]
        if not ahead:
            return effects
        for effect in ahead:
            self._peers.send(effect)
        self._peers.flush()
        return [effect for effect in effects if type(effect) is not Send or not is_exempt(effect)]

    def _submit(self, committer: Committer, ts: Micros) -> None:
        step = Step(self._records, [], self.applied_lsn, self._seen)
        self._forcing, self._records, self._seen = self._records, [], {}
        write = self._log.prepare(step, ts=ts)
        crashes.decided(self._forcing)
        self.log_bytes += sum(len(key) + len(value or b"") for _, key, value in write.changes)
        committer.submit(write)

    def _collect(self, committer: Committer) -> None:
        """Take over the write that became durable, if there is one."""
        done = committer.finished()
        if done is None:
            return
        write, proof = done
        self.forces += 1
        self.durable_lsn = proof.lsn
        crashes.forced(self._forcing)
        self._forcing = []
        self._log.committed(write)
        self._engine.forced(proof)

    def _release(self) -> None:
        """Let effects go whose gate is durable: first in, first out (E3).

        But after a silence of this node only what goes to peers: they are the ones to judge
        whether it still is who it was; clients would believe it (B5).
        """
        gated = self._gated
        if not self._kept and not (gated and gated[0][0] <= self.durable_lsn):
            return
        if self._engine.was_silent(self._clocks.mono_us()):
            self._wake.set()  # it stood still in the middle of this turn: the next begins anew
            return
        released, self._kept = self._kept, []
        while gated and gated[0][0] <= self.durable_lsn:
            released += gated.popleft()[1]
        if self._engine.is_mute:
            self._kept = [effect for effect in released if isinstance(effect, TOLD)]
            released = [effect for effect in released if not isinstance(effect, TOLD)]
        if not released:
            return
        for effect in released:
            self._dispatch(effect)
        self._peers.flush()
        self._answers.flush()
        crashes.sent(released)

    def _dispatch(self, effect: Gated) -> None:
        if isinstance(effect, Answer):
            connection = effect.ticket >> TICKET_SHIFT
            if connection != INSIDE:
                self._answers.answer(connection, effect.ticket & PLACE_MASK, effect.body)
            else:
                self._answer_call(effect)
        elif isinstance(effect, Send):
            self._peers.send(effect)
        elif isinstance(effect, Publication):
            assert self._feed is not None, "it wrote this"
            self._feed.release(effect)
        elif isinstance(effect, CloseLink):
            self._peers.close_link(effect)
        elif isinstance(effect, WantMore):
            self._peers.want_more(effect)
        elif isinstance(effect, Alarm):
            self._alarm(effect)
        elif isinstance(effect, Stop):
            raise AssertionError("a stop waits for nothing")
        else:
            assert_never(effect)

    def _answer_call(self, effect: Answer) -> None:
        call = self._calls.get(effect.ticket & PLACE_MASK)
        if call is not None:  # its caller may have given up
            call.body = effect.body
            call.answered.set()


class _Call:
    """One answer that the node itself waits for."""

    def __init__(self) -> None:
        self.answered = trio.Event()
        self.body: AnswerBody | None = None
