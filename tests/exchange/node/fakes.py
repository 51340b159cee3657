"""What the tests of the shell share: an engine that does as it is told, a log in memory."""

from collections.abc import Callable

import msgspec

from exchange.domain.units import AccountId, Epoch, Lsn, Micros, NodeId, make_id
from exchange.engine.effects import Alarm, Answer, AnswerBody, CloseLink, Effect, Send, WantMore
from exchange.engine.engine import Step
from exchange.engine.inputs import Input
from exchange.engine.messages import Applied, Heartbeat, Proof, Session
from exchange.engine.records import AccountClosed, OfferId, Record
from exchange.node.committer import Committer
from exchange.node.hub import TICKET_SHIFT, Hub
from exchange.store.store import Write

CLIENT = 7  # a connection number
SESSION = Session(Epoch(1), 1)
PEER = NodeId(2)
SILENCE_US = 3_000_000
ACCOUNT = AccountId(make_id(1, 1))


class Clocks:
    """Time that stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now_us = 1_790_000_000_000_000

    def wall_us(self) -> int:
        return self.now_us

    def mono_us(self) -> int:
        return self.now_us


class Do(msgspec.Struct):
    """An input to the fake engine: what it logs, and what it wants done."""

    records: int = 0
    effects: tuple[Effect, ...] = ()
    rest: "Do | None" = None  # what is left of it for another turn


class FakeEngine:
    """Logs and emits what its inputs say; anything else it notes and ignores."""

    def __init__(self) -> None:
        self.lsn = 0
        self.handled: list[object] = []
        self.proofs: list[Proof] = []
        self.begun: list[int] = []
        self.is_mute = False
        self.is_busy = False
        self._records: list[Record] = []
        self._effects: list[Effect] = []

    def begin(self, *, wall_us: int, mono_us: int) -> None:
        assert wall_us == mono_us, "the fake clocks agree"
        self.begun.append(mono_us)

    def was_silent(self, mono_us: int) -> bool:
        return bool(self.begun) and mono_us - self.begun[-1] > SILENCE_US

    @property
    def pending(self) -> list[Record]:
        return self._records

    def handle(self, item: Input) -> Input | None:
        self.handled.append(item)
        if not isinstance(item, Do):
            return None
        self.lsn += item.records
        self._records += [AccountClosed(ACCOUNT, Micros(0))] * item.records
        self._effects += item.effects
        return item.rest  # type: ignore[return-value]  # the hub hands it back, as any input

    def drain(self) -> Step:
        step = Step(self._records, self._effects, Lsn(self.lsn), {})
        self._records, self._effects = [], []
        return step

    def forced(self, proof: Proof) -> None:
        self.proofs.append(proof)


class FakeLog:
    """Frames as lists of records, in the order of their making."""

    def __init__(self) -> None:
        self.frames: list[int] = []  # records in each
        self.committed_lsns: list[Lsn] = []
        self._lsn = 0

    def prepare(self, step: Step, *, ts: Micros) -> Write:
        assert ts, "a frame says when"
        self.frames.append(len(step.records))
        before, self._lsn = self._lsn, step.last_lsn
        return Write([("log", b"key", b"value")], Lsn(before), Proof(step.last_lsn, b"digest"))

    def committed(self, write: Write) -> None:
        self.committed_lsns.append(write.proof.lsn)


class HeldCommitter:
    """Is forcing until a test says that it is done."""

    kind = "held"

    def __init__(self) -> None:
        self.write: Write | None = None
        self.error: Exception | None = None
        self.is_done = False

    @property
    def is_busy(self) -> bool:
        return self.write is not None

    def submit(self, write: Write) -> None:
        assert self.write is None, "one write at a time"
        self.write, self.is_done = write, False

    def finished(self) -> tuple[Write, Proof] | None:
        if self.error is not None:
            raise self.error
        if self.write is None or not self.is_done:
            return None
        write, self.write = self.write, None
        return write, write.proof

    def close(self) -> None:
        pass


class Sink:
    """Notes what is released, in order; `sent` holds what a flush let go, one list each."""

    def __init__(self) -> None:
        self.released: list[object] = []
        self.sent: list[list[object]] = []

    def answer(self, connection: int, place: int, body: AnswerBody) -> None:
        self.released.append((connection, place, body))

    def send(self, effect: Send) -> None:
        self.released.append(effect.message)

    def close_link(self, effect: CloseLink) -> None:
        self.released.append(effect)

    def want_more(self, effect: WantMore) -> None:
        self.released.append(effect)

    def flush(self) -> None:
        if self.released:
            self.sent.append(self.released)
            self.released = []


class Scene:
    """A hub with everything around it faked."""

    def __init__(self, committer: Committer | None = None) -> None:
        self.engine = FakeEngine()
        self.log = FakeLog()
        self.held = HeldCommitter()
        self.committer: Committer = committer or self.held
        self.sink = Sink()
        self.alarms: list[Alarm] = []
        self.clocks = Clocks()
        self.hub = Hub(
            self.engine, self.log, self.clocks, durable_lsn=Lsn(0), alarm=self.alarms.append
        )
        self.hub.connect(answers=self.sink, peers=self.sink)

    def turn(self, *items: object) -> None:
        self.hub.feed(items)  # type: ignore[arg-type]  # `Do` is an input of the fake engine
        self.hub.turn(self.committer)

    def force(self) -> None:
        """Let the write under way become durable, and the hub notice."""
        self.held.is_done = True
        self.turn()

    @property
    def told(self) -> list[object]:
        """Return all that has left, in order."""
        return [item for sent in self.sink.sent for item in sent]


def ticket(place: int, connection: int = CLIENT) -> int:
    return connection << TICKET_SHIFT | place


def answer(place: int, body: AnswerBody) -> Answer:
    return Answer(ticket(place), body)


def applied(seq: int) -> Send:
    return Send(PEER, SESSION, Applied(Epoch(1), seq))  # type: ignore[arg-type]  # a Seq


def heartbeat(seq: int) -> Send:
    beat = Heartbeat(Epoch(1), seq, 0, "", OfferId(Epoch(0), 0))  # type: ignore[arg-type]
    return Send(PEER, SESSION, beat)


Question = Callable[[int], Input]
