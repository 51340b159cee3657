"""One connection: requests one after the other, on h11 (RFC 9112), each within its bounds.

Theory of operation
===================
h11 keeps the states of both sides and turns bytes into events.  Here is read when h11 has need
of data and not before, so a client that pipelines is held back by its own socket.

    what a client does                       | what becomes of it
    -----------------------------------------+--------------------------------------------
    nothing for IDLE_S between requests      | closed
    no complete head within HEAD_S           | 408, closed
    no complete body within BODY_S           | 408, closed
    an ambiguous head or body (`heads`)      | 400, closed: what follows is never read
    a head too large, a body too large       | 431, 413, closed
    a refusal before its body has come       | closed: the rest of the body is no request
    more than RATE requests a second         | held up
    reads nothing for `outbox.STALL_S`       | closed

An answer is written in one piece.  `Expect: 100-continue` is answered when the body is wanted.
"""

import base64
import binascii
import hashlib
import traceback
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus

import h11
import msgspec
import trio

from exchange.gateway.http.heads import HEAD_SIZE, bearer, read_head
from exchange.gateway.http.limits import PENALTY_S, Bodies, Receipt, RequestGuard
from exchange.gateway.http.messages import JSON, Endpoint, Head, Reply, Request, Upgrade
from exchange.gateway.http.problems import ProblemError, internal_problem, problem_reply, refuse
from exchange.gateway.http.router import Router, Target
from exchange.gateway.http.streams import GatewayStream
from exchange.gateway.http.websocket import GUID, INTERNAL_ERROR, VERSION, WebSocket
from exchange.process.limits import Budget
from exchange.process.logs import Event

IDLE_S = 15.0  # between requests
HEAD_S = 15.0  # for a whole head, however slowly it drips
BODY_S = 10.0  # for a whole body
BODY_SIZE = 1 << 20  # bytes: a list of 1,000 orders, and room
RATE = 2_000  # requests a second of one connection: as many as a core answers
_ALWAYS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_UNREAD = {h11.IDLE, h11.SEND_BODY, h11.ERROR}  # states of a client whose request is not whole


class Site(msgspec.Struct, frozen=True):
    """What all connections of a server have in common."""

    router: Router
    guard: RequestGuard
    bodies: Bodies
    answered: Counter[int]  # by status
    clock_us: Callable[[], int]
    date: Callable[[], bytes]  # for the header
    tell: Callable[[Event], object]


class HttpConnection:
    """Serves the requests of one connection."""

    def __init__(self, site: Site, stream: GatewayStream, address: str) -> None:
        self._site = site
        self._stream = stream
        self._address = address
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_SIZE)
        self._rate = Budget(RATE, site.clock_us)
        self._method = b""  # of the request that is being answered
        self._held = 0  # bytes of its body

    async def run(self) -> None:
        """Serve until either side is done; raises trio's errors of a broken connection."""
        while True:
            try:
                head = await self._read_head()
            except ProblemError as error:
                await self._send(problem_reply(error.problem), is_last=True)
                return
            if head is None:
                return
            if not self._rate.take():
                await trio.sleep(PENALTY_S)
            try:
                reply = await self._answer(head)
            finally:
                self._site.bodies.give(self._address, self._held)
                self._held = 0
            if reply is None or not await self._send(reply):
                return
            self._http.start_next_cycle()

    # Reading.

    async def _read_head(self) -> Head | None:
        """Return the next head, None at the end; ProblemError if it is none, or late."""
        self._method = b""
        try:
            if self._http.trailing_data == (b"", False):
                with trio.move_on_after(IDLE_S) as idle:
                    self._http.receive_data(await self._stream.receive_some())
                if idle.cancelled_caught:
                    return None
            with trio.move_on_after(HEAD_S):
                event = await self._next_event()
                if not isinstance(event, h11.Request):
                    return None
                self._method = event.method
                return read_head(event, self._address)
        except h11.RemoteProtocolError as error:
            raise _malformed(error) from error
        raise refuse(408, "too_slow", f"send the head within {HEAD_S:g} s")

    async def _read_body(self, head: Head, target: Target) -> bytes:
        """Return the body, empty where none is wanted; ProblemError: 400, 408, 413, 415, 417."""
        is_wanted = isinstance(target, Endpoint) and target.takes_body
        if is_wanted:
            _check_type(head)
        if int(head.headers.get("content-length", "0")) > BODY_SIZE:
            raise _too_large()
        if head.headers.get("expect", "100-continue").lower() != "100-continue":
            raise refuse(417, "expectation_failed", "only `Expect: 100-continue` is known")
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
            await self._stream.send_all(self._http.send(go_on) or b"")
        parts: list[bytes] = []
        try:
            with trio.move_on_after(BODY_S):
                while isinstance(event := await self._next_event(), h11.Data):
                    self._hold(len(event.data))
                    parts.append(bytes(event.data))
                return b"".join(parts) if is_wanted else b""
        except h11.RemoteProtocolError as error:
            raise _malformed(error) from error
        raise refuse(408, "too_slow", f"send the body within {BODY_S:g} s")

    def _hold(self, size: int) -> None:
        """Make room for a part of a body."""
        if self._held + size > BODY_SIZE:
            raise _too_large()
        self._site.bodies.take(self._address, size)
        self._held += size

    async def _next_event(self) -> object:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._http.receive_data(await self._stream.receive_some())

    # Answering.

    async def _answer(self, head: Head) -> Reply | None:
        """Charge a request and carry it out; None if it was a WebSocket, which is over."""
        target: Target | None = None
        request: Request | None = None
        key = ""
        try:
            target, path = self._site.router.find(head.method, head.path)
            key = bearer(head.headers.get("authorization", ""))
            request = Request(head, path, key, await self._read_body(head, target))
            failure = None
        except ProblemError as error:
            failure = error
        price = 1 if target is None else target.price
        is_cancel = isinstance(target, Endpoint) and target.is_cancel
        receipt = self._site.guard.charge(key, self._address, price, is_cancel=is_cancel)
        if not receipt.is_paid:
            await trio.sleep(PENALTY_S)
            failure = refuse(429, "rate_limited", "too many requests; try again in a second")
        if failure is None:
            assert request is not None, "a request that is not refused is whole"
            if isinstance(target, Endpoint):
                return _with(await self._handled(target, request), receipt)
            assert target is not None, "a path that leads nowhere is refused"
            try:
                await self._upgraded(target, request)
                return None
            except ProblemError as error:
                failure = error
        return _with(problem_reply(failure.problem, failure.headers), receipt)

    async def _handled(self, endpoint: Endpoint, request: Request) -> Reply:
        try:
            reply = await endpoint.answer(request)
        except ProblemError as error:
            reply = problem_reply(error.problem, error.headers)
        except Exception as error:  # a bug: the trace is for the operator, never for the client
            text = f"a request failed: {error!r}"
            self._site.tell(Event("request_failed", text, traceback=_trace(error)))
            reply = problem_reply(internal_problem())
        is_good = endpoint.is_guarded and reply.status < HTTPStatus.BAD_REQUEST
        if is_good or reply.status == HTTPStatus.UNAUTHORIZED:
            self._site.guard.learn(request.key, self._address, is_good=is_good)
        return reply

    async def _send(self, reply: Reply, *, is_last: bool = False) -> bool:
        """Send an answer; tell whether another request may follow."""
        self._skip_body()
        is_last = is_last or self._http.their_state in _UNREAD
        data = self._http.send(self._response(reply, is_last=is_last)) or b""
        if reply.body and self._method != b"HEAD":
            data += self._http.send(h11.Data(data=reply.body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        self._site.answered[reply.status] += 1
        await self._stream.send_all(data)
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    def _response(self, reply: Reply, *, is_last: bool) -> h11.Response:
        headers = [(b"date", self._site.date()), *_ALWAYS]
        if reply.status != HTTPStatus.NO_CONTENT:
            headers.append((b"content-type", reply.content_type.encode()))
            headers.append((b"content-length", b"%d" % len(reply.body)))
        headers += [
            (name.lower().encode(), value.encode()) for name, value in reply.headers.items()
        ]
        if is_last:
            headers.append((b"connection", b"close"))
        reason = _REASONS.get(reply.status, b"")
        return h11.Response(status_code=reply.status, headers=headers, reason=reason)

    def _skip_body(self) -> None:
        """Read over the rest of a body as far as it is here already, so that one may go on."""
        if self._http.they_are_waiting_for_100_continue:
            return
        try:
            while self._http.their_state is h11.SEND_BODY:
                if self._http.next_event() is h11.NEED_DATA:
                    return
        except h11.RemoteProtocolError:
            return

    # WebSockets.

    async def _upgraded(self, target: Upgrade, request: Request) -> None:
        """Carry out a WebSocket to its end; ProblemError if it is not asked for well."""
        accept = _accept(request.head)
        switch = h11.InformationalResponse(
            status_code=101,
            headers=[("Upgrade", "websocket"), ("Connection", "Upgrade"), *accept],
            reason=b"Switching Protocols",
        )
        await self._stream.send_all(self._http.send(switch) or b"")
        self._site.answered[101] += 1
        early, _ = self._http.trailing_data
        socket = WebSocket(
            self._stream, early, self._site.guard, self._address, self._site.clock_us
        )
        try:
            await target.talk(request, socket)
        except Exception as error:  # a bug, unless the connection broke
            if isinstance(error, trio.BrokenResourceError | trio.ClosedResourceError):
                raise
            text = f"a WebSocket failed: {error!r}"
            self._site.tell(Event("connection_failed", text, traceback=_trace(error)))
            socket.end(INTERNAL_ERROR)
        socket.end()


def _accept(head: Head) -> list[tuple[str, str]]:
    """Return what accepts a WebSocket; ProblemError: 400, 426 (RFC 6455 4.2).  No extensions."""
    if not (head.has_token("upgrade", "websocket") and head.has_token("connection", "upgrade")):
        told = "this is a WebSocket: ask for an upgrade"
        raise refuse(426, "upgrade_required", told, headers={"Upgrade": "websocket"})
    if head.headers.get("sec-websocket-version") != VERSION:
        told = f"WebSocket version {VERSION} is spoken here"
        named = {"Upgrade": "websocket", "Sec-WebSocket-Version": VERSION}
        raise refuse(426, "upgrade_required", told, headers=named)
    key = head.headers.get("sec-websocket-key", "")
    try:
        is_key = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        is_key = False
    if not is_key:
        raise refuse(400, "malformed_request", "Sec-WebSocket-Key is 16 bytes in base 64")
    digest = hashlib.sha1(key.encode() + GUID, usedforsecurity=False).digest()
    return [("Sec-WebSocket-Accept", base64.b64encode(digest).decode())]


def _check_type(head: Head) -> None:
    kind = head.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if kind != JSON and not kind.endswith("+json"):
        raise refuse(415, "unsupported_media_type", "send application/json")
    if head.headers.get("content-encoding", "identity").lower() != "identity":
        raise refuse(415, "unsupported_media_type", "send the body without an encoding")


def _trace(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def _with(reply: Reply, receipt: Receipt) -> Reply:
    return msgspec.structs.replace(reply, headers=receipt.headers() | reply.headers)


def _too_large() -> ProblemError:
    return refuse(413, "body_too_large", f"a body is at most {BODY_SIZE} bytes")


def _malformed(error: h11.RemoteProtocolError) -> ProblemError:
    """Tell in our words what h11 found: its own may echo what was sent."""
    if error.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        return refuse(431, "malformed_request", f"a head is at most {HEAD_SIZE} bytes")
    return refuse(400, "malformed_request", "this is not a good request")
