"""One connection, alive until it breaks: lines out, answers back in the same order.

Theory of operation
===================
`submit` never waits: it puts a request into the next send and an entry into a queue.  One
task sends all that has gathered in one piece, one task reads; an answer belongs to the
oldest entry of the queue, because requests on a connection are answered in order.  The id
of an answer is compared all the same: if the two ever disagree nothing later can be trusted
and the link ends.

An answer is handed to a function, so that a caller with hundreds of requests in flight needs
no task for each (E6).
"""

from collections import deque
from collections.abc import Callable

import msgspec
import trio

from exchange.client.errors import BadAnswer, LinkLost, Refused
from exchange.client.sockets import is_secured
from exchange.wire.errors import FramingError
from exchange.wire.lines import ANSWER_BYTES_MAX, LineSplitter

READ_BYTES_MAX = 1 << 16
SEND_SECONDS_MAX = 30.0  # a server that does not read for so long is as good as gone
ERROR = "error"
TLS_ALERT = b"\x15"  # RFC 8446 5.1: how a server says that it expected TLS
FEED = b'{"type":"feed"'  # how each line of the feed begins


class Answer(msgspec.Struct, frozen=True, gc=False):
    """An answer as it came.  The type is empty for the bare values of the reference protocol."""

    type: str
    value: msgspec.Raw
    lsn: int = 0  # of an order: it is durable at its node through here
    visible: int = -1  # of an order: peers that show it; -1 where it was not waited for
    is_replayed: bool = False  # of an order: a repeated client order id, nothing was done


Outcome = Answer | Refused | BadAnswer | LinkLost
OnOutcome = Callable[[Outcome], None]
OnEvent = Callable[[bytes], None]


class _Envelope(msgspec.Struct, frozen=True, gc=False):
    type: str
    value: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()
    lsn: int = 0
    visible: int = -1
    replayed: bool = False


class _ErrorValue(msgspec.Struct, frozen=True):
    code: str
    title: str = ""
    detail: str = ""


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ERROR_VALUE = msgspec.json.Decoder(_ErrorValue)


class Link:
    """Pipelines requests over one stream; see the theory of operation above."""

    def __init__(self, stream: trio.abc.Stream, *, on_event: OnEvent | None = None) -> None:
        self.ended = trio.Event()
        self._on_event = on_event  # takes lines of the feed; without it they are a fault
        self._stream = stream
        self._out: list[bytes] = []
        self._wake = trio.Event()
        self._waiting: deque[tuple[bytes, OnOutcome]] = deque()  # (id, function), oldest first
        self._unsent = 0  # entries at the end of `_waiting` that are not in a send yet
        self._scope = trio.CancelScope()
        self._ended: BadAnswer | LinkLost | None = None
        self._is_heard = False  # the server has said something

    @property
    def is_alive(self) -> bool:
        """Tell whether requests can still be submitted."""
        return self._ended is None

    @property
    def in_flight(self) -> int:
        """Return the number of requests that are not answered yet."""
        return len(self._waiting)

    def hello(self, line: bytes) -> None:
        """Send a line that is not answered: who speaks on this connection."""
        self._out.append(line)
        self._wake.set()

    def submit(self, request_id: bytes, line: bytes, on_outcome: OnOutcome) -> None:
        """Send a request; `on_outcome` is called once, perhaps at once, and must not raise.

        `request_id` is the JSON of its id, empty for a request of the reference protocol.
        """
        if self._ended is not None:
            on_outcome(LinkLost(str(self._ended), is_sent=False))
            return
        self._waiting.append((request_id, on_outcome))
        self._unsent += 1
        self._out.append(line)
        self._wake.set()

    def close(self) -> None:
        """End the link; what waits is told that it is lost."""
        self._scope.cancel()

    async def run(self) -> None:
        """Carry lines until the link breaks or is closed.  Never raises for a broken link."""
        reason: BadAnswer | LinkLost = LinkLost("closed", is_sent=True)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, nursery.cancel_scope)
                    try:
                        await self._read()
                    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
                        reason = LinkLost(
                            f"the connection broke: {error}{self._hint}", is_sent=True
                        )
                    except BadAnswer as error:
                        reason = error
                    else:
                        told = f"the server closed the connection{self._hint}"
                        reason = LinkLost(told, is_sent=True)
                    nursery.cancel_scope.cancel()
        finally:
            self._end(reason)
            await trio.aclose_forcefully(self._stream)

    @property
    def _hint(self) -> str:
        """Say what to do about a server that never said a word."""
        if self._is_heard or is_secured():
            return ""
        return " without a word; if it speaks TLS, say tls:// instead of tcp://"

    def _end(self, reason: BadAnswer | LinkLost) -> None:
        self._ended = reason
        self.ended.set()
        self._out.clear()
        sent = len(self._waiting) - self._unsent
        waiting, self._waiting = list(self._waiting), deque()
        for place, (_, on_outcome) in enumerate(waiting):
            if isinstance(reason, BadAnswer):
                on_outcome(reason)
            else:
                on_outcome(LinkLost(str(reason), is_sent=place < sent))

    async def _write(self, reading: trio.CancelScope) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            data = b"".join(self._out)
            self._out.clear()
            self._unsent = 0
            with trio.move_on_after(SEND_SECONDS_MAX) as scope:
                try:
                    await self._stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                    return  # the reader learns of it as well, after the answers that still came
            if scope.cancelled_caught:
                reading.cancel()
                return

    async def _read(self) -> None:
        splitter = LineSplitter(ANSWER_BYTES_MAX)
        while data := await self._stream.receive_some(READ_BYTES_MAX):
            if not self._is_heard and data[:1] == TLS_ALERT:
                return
            self._is_heard = True
            try:
                lines = splitter.feed(bytes(data))
            except FramingError as error:
                for line in error.lines:
                    self._take(line)
                raise BadAnswer(f"the server sent no lines of JSON: {error.detail}") from error
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        """Give an answer to whoever waits longest; the feed speaks unasked."""
        if self._on_event is not None and line.startswith(FEED):
            self._on_event(line)
            return
        if not self._waiting:
            error = _unasked(line)
            raise BadAnswer(f"the server spoke unasked: {error}")
        request_id, on_outcome = self._waiting[0]
        if line[:1] != b"{" or not request_id:
            self._waiting.popleft()
            on_outcome(_bare(line))
            return
        envelope = _envelope(line)
        answered = bytes(envelope.id)
        if answered == request_id:
            self._waiting.popleft()
            on_outcome(_outcome(envelope))
            return
        if envelope.type == ERROR and not answered:  # about the hello, or the connection
            self._refuse_all(_refused(envelope))
            self._scope.cancel()
            return
        raise BadAnswer(f"answer {answered[:40]!r} came where {request_id!r} was due")

    def _refuse_all(self, refused: Refused) -> None:
        self._ended = LinkLost(str(refused), is_sent=False)
        waiting, self._waiting, self._unsent = list(self._waiting), deque(), 0
        for _, on_outcome in waiting:
            on_outcome(refused)


def _envelope(line: bytes) -> _Envelope:
    try:
        return _ENVELOPE.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadAnswer(f"not an answer: {line[:80]!r}: {error}") from error


def _outcome(envelope: _Envelope) -> Outcome:
    if envelope.type == ERROR:
        return _refused(envelope)
    return Answer(envelope.type, envelope.value, envelope.lsn, envelope.visible, envelope.replayed)


def _refused(envelope: _Envelope) -> Refused:
    try:
        error = _ERROR_VALUE.decode(envelope.value)
    except msgspec.MsgspecError as failure:
        raise BadAnswer(f"not an error: {bytes(envelope.value)[:80]!r}") from failure
    return Refused(error.code, error.detail or error.title)


def _bare(line: bytes) -> Outcome:
    """Read an answer of the reference protocol: any JSON value, or an error object."""
    if line[:1] == b"{" and b'"error"' in line:
        envelope = _envelope(line)
        if envelope.type == ERROR:
            return _refused(envelope)
    return Answer("", msgspec.Raw(line))


def _unasked(line: bytes) -> str:
    try:
        outcome = _bare(line)
    except BadAnswer:
        return repr(line[:80])
    return str(outcome) if isinstance(outcome, Refused) else repr(line[:80])
