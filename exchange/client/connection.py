"""A connection that comes back: requests with deadlines, retried where that is safe.

    outcome of one attempt          | safe to repeat      | otherwise
    --------------------------------+---------------------+-----------------
    answered                        | return it           | return it
    refused                         | raise it            | raise it
    refused: not now (`NOT_NOW`)   | again, after a pause| again, after a pause
    no connection, never sent       | again, for `reach`  | again, for `reach`
    connection lost after sending   | again               | OutcomeUnknown
    deadline while it is in flight  | OutcomeUnknown      | OutcomeUnknown
    deadline and never sent         | Unreachable         | Unreachable

A read that was in flight is repeated for ever by this table; at its deadline nothing is
unknown about it, so it ends as Unreachable.

A server that cannot be dialed for `reach` seconds is away: whoever asks it then hears so after
one more dial, instead of at his deadline.  Programs that outlast a restart have no such limit.
"""

import math
import os
import socket
from collections.abc import Awaitable, Callable
from enum import Enum
from itertools import count
from random import Random
from typing import Any

import msgspec
import trio

from exchange.client.errors import BadAnswer, LinkLost, OutcomeUnknown, Refused, Unreachable
from exchange.client.link import Answer, Link, OnEvent, OnOutcome, Outcome

CONNECT_SECONDS_MAX = 3.0  # loopback answers at once, a distant server within one retransmission
REQUEST_SECONDS = 10.0  # longer than a node needs to suspect a dead peer (B5: 3 s)
BACKOFF_SECONDS_MIN = 0.02
BACKOFF_SECONDS_MAX = 1.0
ANOTHER = "is that the TCP address of an exchange?"  # it listens, and talks of something else
NOT_NOW = frozenset(["not_ready", "draining", "unavailable"])  # nothing was done; it may work soon

Dial = Callable[[], Awaitable[trio.abc.Stream]]


class Repeat(Enum):
    """What it means to send a request twice."""

    READ = "read"  # changes nothing
    SAFE = "safe"  # the second time does nothing more
    NEVER = "never"  # it would happen twice


class Request(msgspec.Struct, frozen=True, gc=False):
    """A request without its id."""

    verb: str
    value: Any  # Encoded as JSON; decimals as strings.
    repeat: Repeat = Repeat.READ
    auth: str | None = None  # an API key of its own
    wait: str | None = None
    client_order_id: str | None = None  # named where the outcome stays unknown


_ENCODER = msgspec.json.Encoder()
_ids = count(1)


def encode_request(request: Request) -> tuple[bytes, bytes]:
    """Return a fresh id and the line."""
    number = next(_ids)
    line: dict[str, Any] = {"id": number, "type": request.verb, "value": request.value}
    if request.wait is not None:
        line["wait"] = request.wait
    if request.auth is not None:
        line["auth"] = request.auth
    encoded = _ENCODER.encode(line)
    assert b"\n" not in encoded, "a request is one line"  # or it would be two, of two senders
    return str(number).encode(), encoded + b"\n"


class Connection:
    """One server as one user; connects when it is first needed and again when it broke."""

    def __init__(
        self,
        nursery: trio.Nursery,
        dial: Dial,
        *,
        name: str,
        hello: bytes = b"",
        jitter: Random | None = None,
        on_event: OnEvent | None = None,
        reach: float = math.inf,
    ) -> None:
        self.reach = reach  # seconds
        self._away_since: float | None = None  # when a dial failed first, none having worked since
        self._on_event = on_event
        self.name = name  # what errors call the server
        self._nursery = nursery
        self._dial = dial
        self._hello = hello
        self._jitter = jitter or Random(name)
        self._link: Link | None = None
        self._dialing = trio.Lock()
        self._refusal = ""  # why the last dial failed, empty if it did not
        self._is_closed = False

    @property
    def is_connected(self) -> bool:
        """Tell whether the link is up as far as we know."""
        return self._link is not None and self._link.is_alive

    @property
    def is_away(self) -> bool:
        """Tell whether the server was lost, or could not be reached; not if nobody has asked."""
        return not self.is_connected and not (self._link is None and self._away_since is None)

    @property
    def in_flight(self) -> int:
        """Return the number of requests that are not answered yet."""
        return self._link.in_flight if self._link is not None else 0

    @property
    def refusal(self) -> str:
        """Return why the server could not be reached when it was last tried."""
        return self._refusal

    def close(self) -> None:
        """End the connection; what is in flight is told that it is lost."""
        self._is_closed = True
        if self._link is not None:
            self._link.close()

    async def call(self, request: Request, *, within: float = REQUEST_SECONDS) -> Answer:
        """Ask and wait for the answer, at most `within` seconds; see the table above."""
        attempt = _Attempt(self, request)
        with trio.move_on_after(within):
            return await attempt.until_answered()
        raise attempt.at_deadline(within)

    async def call_bare(self, value: object, *, within: float = REQUEST_SECONDS) -> Answer:
        """Ask a read of the reference protocol: a bare JSON value, a bare answer."""
        line = _ENCODER.encode(value) + b"\n"
        attempt = _Attempt(self, Request(repr(value), None), (b"", line))
        with trio.move_on_after(within):
            return await attempt.until_answered()
        raise attempt.at_deadline(within)

    def submit(self, request: Request, on_outcome: OnOutcome) -> None:
        """Send a request down the pipeline without waiting and without repeating it.

        For callers with hundreds of requests in flight; `connect` first.  Without a
        connection the outcome is LinkLost at once.
        """
        if self._link is None:
            on_outcome(LinkLost("not connected", is_sent=False))
            return
        request_id, line = encode_request(request)
        self._link.submit(request_id, line, on_outcome)

    async def connect(self, *, reach: float = math.inf) -> Link:
        """Return the link, dialing until it stands; bounded by the caller's deadline.

        Raises Unreachable once the server has been away for `reach` seconds.
        """
        pause = BACKOFF_SECONDS_MIN
        while True:
            async with self._dialing:
                if self._link is not None and self._link.is_alive:
                    return self._link
                if self._is_closed:
                    raise Unreachable(f"{self.name}: this client has closed the connection")
                link = await self._dialed()
            if link is not None:
                return link
            if self._away_for() >= reach:
                raise Unreachable(f"{self.name}: {self._refusal}; is it running?")
            await trio.sleep(pause * (0.5 + self._jitter.random()))
            pause = min(2 * pause, BACKOFF_SECONDS_MAX)

    async def connected(self, *, within: float) -> Link:
        """Return the link, dialing for at most `within` seconds; raises Unreachable."""
        with trio.move_on_after(within):
            return await self.connect()
        why = f" ({self._refusal})" if self._refusal else ""
        raise Unreachable(f"{self.name}: no connection within {within:g} s{why}; is it running?")

    async def _dialed(self) -> Link | None:
        if self._away_since is None:
            self._away_since = trio.current_time()  # noqa: TID251 - for how long, not when
        with trio.move_on_after(CONNECT_SECONDS_MAX):
            try:
                stream = await self._dial()
            except OSError as error:
                self._refusal = _reason(error)
                return None
            self._refusal, self._away_since = "", None
            self._link = Link(stream, on_event=self._on_event)
            if self._hello:
                self._link.hello(self._hello)
            self._nursery.start_soon(self._link.run)
            return self._link
        self._refusal = "it does not answer"
        return None

    def _away_for(self) -> float:
        """Return for how many seconds the server could not be dialed."""
        now = trio.current_time()  # noqa: TID251 - as above
        return now - (now if self._away_since is None else self._away_since)


class _Attempt:
    """A request on its way: what is known of it when its time is up."""

    def __init__(
        self, connection: Connection, request: Request, line: tuple[bytes, bytes] | None = None
    ) -> None:
        self._connection = connection
        self._request = request
        self._line = line
        self._outcome: Outcome | None = None
        self._done = trio.Event()
        self._is_in_flight = False
        self._is_open = False  # an earlier attempt was sent, and what came of it is unknown
        self._trouble = ""

    async def until_answered(self) -> Answer:
        """Repeat until there is an answer or a reason to stop."""
        pause = BACKOFF_SECONDS_MIN
        while True:
            reach = math.inf if self._is_open else self._connection.reach
            outcome = await self._once(await self._connection.connect(reach=reach))
            if isinstance(outcome, Answer):
                return outcome
            self._check(outcome)
            await trio.sleep(pause)
            pause = min(2 * pause, BACKOFF_SECONDS_MAX)

    def at_deadline(self, seconds: float) -> Unreachable | OutcomeUnknown | Refused:
        """Say what is known when no answer came in time."""
        why = self._connection.refusal or self._trouble
        ask = "is it running?" if self._connection.refusal or not why else ANOTHER
        what = f"{self._request.verb} at {self._connection.name}"
        told = f"no answer within {seconds:g} s{f' ({why})' if why else ''}"
        is_unknown = self._is_in_flight or self._is_open
        if is_unknown and self._request.repeat is not Repeat.READ:
            return self._unknown(f"{what}: {told}")
        if isinstance(self._outcome, Refused) and not is_unknown:
            return self._outcome
        return Unreachable(f"{what}: {told}; {ask}")

    async def _once(self, link: Link) -> Outcome:
        request_id, line = self._line or encode_request(self._request)
        self._done, self._is_in_flight = trio.Event(), True
        done = self._done

        def on_outcome(outcome: Outcome) -> None:
            self._outcome = outcome
            done.set()

        link.submit(request_id, line, on_outcome)
        await done.wait()
        self._is_in_flight = False
        assert self._outcome is not None, "woken without an outcome"
        return self._outcome

    def _check(self, outcome: Refused | BadAnswer | LinkLost) -> None:
        """Raise unless the request is to be sent again."""
        if isinstance(outcome, Refused):
            if outcome.code not in NOT_NOW:
                raise outcome
        elif isinstance(outcome, BadAnswer):
            raise outcome
        else:
            self._trouble = str(outcome)
            self._is_open = self._is_open or outcome.is_sent
            if outcome.is_sent and self._request.repeat is Repeat.NEVER:
                raise self._unknown(f"{self._request.verb} at {self._connection.name}: {outcome}")

    def _unknown(self, what: str) -> OutcomeUnknown:
        name = self._request.client_order_id
        advice = f"; ask for client order id {name} to find out" if name else ""
        return OutcomeUnknown(f"{what}: it may have happened or not{advice}", name)


def _reason(error: BaseException) -> str:
    """Return the reason inside what Trio wraps around a refused connection."""
    while True:
        if isinstance(error, ConnectionAbortedError) and error.errno is None:
            return str(error)  # of TLS, in our own words
        inside = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
        if inside is None:
            break
        error = inside
    if isinstance(error, socket.gaierror):
        return "there is no such host"
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if isinstance(number, int) else str(error)
