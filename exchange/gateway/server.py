"""HTTP/1.1 and WebSocket over the gateway's own connections, spoken by Hypercorn.

Theory of operation
===================
Hypercorn's protocol objects turn bytes into ASGI calls; this module is the Trio worker around
them, as `hypercorn.trio` is, with what a server on the open net needs besides:

    what a client does                         | what becomes of its connection
    -------------------------------------------+----------------------------------------
    no TLS handshake within HANDSHAKE_S        | closed
    no complete request head within HEAD_S     | closed; also between requests
    no complete body within the app's deadline | 408, closed
    reads nothing for `outbox.STALL_S`         | closed
    too many connections, here or of a host    | the newest is closed at once
    `Upgrade: h2c`, `PRI *`, CL and TE at once | 400, closed: shapes of request smuggling

HTTP/2 is not offered: every feature is a surface, and none of it is needed here.
"""

import ssl
import traceback
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Any

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import wrap_app

from exchange.gateway.problems import Problem, encode_problem
from exchange.gateway.streams import GatewayStream
from exchange.process import logs
from exchange.process.limits import Guard
from exchange.process.sockets import BROKEN, accept, tune

HANDSHAKE_S = 10.0
HEAD_S = 15.0  # for a request head, and how long a connection may idle between requests
HEAD_SIZE = 1 << 14  # bytes: the head of a request
HEADERS_MAX = 64
MESSAGE_SIZE = 1 << 16  # bytes of one WebSocket message: as a line to a node
CONNECTION = "gateway_connection"  # where an ASGI scope's state keeps its connection


class HttpServer:
    """Serves one ASGI application on one listener."""

    def __init__(
        self,
        app: Any,  # noqa: ANN401 - an ASGI application
        *,
        context: ssl.SSLContext | None,
        guard: Guard,
        tell: Callable[[str], None],
    ) -> None:
        self._app = wrap_app(app, 0, "asgi")
        self._context = context
        self._guard = guard
        self._tell = tell
        self._config = _config()

    async def run(self, listener: trio.SocketListener) -> None:
        """Accept until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                nursery.start_soon(self._serve, await accept(listener))

    async def _serve(self, socket: trio.SocketStream) -> None:
        """Serve one connection; whatever goes wrong with it is its own affair."""
        stream: GatewayStream | None = None
        host = ""
        try:
            host = socket.socket.getpeername()[0]
            if not self._guard.enter(host):
                return
            tune(socket)
            stream = GatewayStream(socket, self._context)
            await self._talk(stream)
        except Exception as error:
            if not isinstance(error, OSError):
                told = "".join(traceback.format_exception(error))
                text = f"a connection failed: {error!r}"
                self._tell(logs.Event("connection_failed", text, traceback=told))
        finally:
            if stream is not None:
                stream.close()
                self._guard.leave(host)
            socket.socket.close()

    async def _talk(self, stream: GatewayStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.run, nursery.cancel_scope)
            try:
                with trio.fail_after(HANDSHAKE_S):
                    await stream.handshake()
            except (ssl.SSLError, trio.TooSlowError, *BROKEN):
                nursery.cancel_scope.cancel()
                await trio.lowlevel.checkpoint_if_cancelled()
            await HttpConnection(self._app, self._config, stream).run()
            await stream.finish()
            nursery.cancel_scope.cancel()


class HttpConnection:
    """One connection: bytes to protocol, protocol to bytes."""

    def __init__(self, app: AppWrapper, config: Config, stream: GatewayStream) -> None:
        self.stream = stream
        self._app = app
        self._config = config
        self._reading = trio.CancelScope()
        self._protocol: _Protocol

    async def run(self) -> None:
        """Serve requests until either side is done."""
        client, server = self._names()
        async with TaskGroup() as group:
            self._protocol = _Protocol(
                self._app,
                self._config,
                WorkerContext(None),
                group,
                ConnectionState({CONNECTION: self}),
                self.stream.is_tls,
                client,
                server,
                self._send,
            )
            with self._reading:
                self._wait_for_head()
                await self._read()
            with trio.CancelScope(shield=False):
                await self._protocol.handle(Closed())

    def end(self) -> None:
        """Stop reading: the connection ends once what was sent has left."""
        self._reading.cancel()

    def _names(self) -> tuple[tuple[str, int] | None, tuple[str, int] | None]:
        socket = self.stream.socket.socket
        return socket.getpeername()[:2], socket.getsockname()[:2]

    def _wait_for_head(self) -> None:
        self._reading.deadline = trio.current_time() + HEAD_S  # noqa: TID251 - of Trio itself

    async def _read(self) -> None:
        while True:
            try:
                data = await self.stream.receive_some()
            except BROKEN:
                return
            if not data:
                return
            await self._protocol.handle(RawData(data))

    async def _send(self, event: Event) -> None:
        if isinstance(event, RawData):
            with suppress(*BROKEN):
                await self.stream.send_all(event.data)
        elif isinstance(event, Closed):
            self.end()
        elif isinstance(event, Updated):
            if event.idle:
                self._wait_for_head()
            else:
                self._reading.deadline = float("inf")


class _Protocol(H11Protocol):
    """Hypercorn's HTTP/1.1, without ways to another protocol, and with problems as answers."""

    async def _check_protocol(self, event: h11.Request) -> None:
        names = {name for name, _ in event.headers}
        is_other = event.http_version not in (b"1.1", b"1.0") or event.method == b"PRI"
        is_ambiguous = b"content-length" in names and b"transfer-encoding" in names
        upgrades = [value.lower() for name, value in event.headers if name == b"upgrade"]
        is_h2c = any(b"h2c" in value for value in upgrades)
        if is_other or is_ambiguous or is_h2c:
            raise h11.RemoteProtocolError("a request is HTTP/1.1 with one length")
        size = sum(len(name) + len(value) + 4 for name, value in event.headers)
        if size + len(event.target) > HEAD_SIZE or len(event.headers) > HEADERS_MAX:
            raise h11.RemoteProtocolError("the head is too large", error_status_hint=431)

    async def _send_error_response(self, status_code: int) -> None:
        if status_code >= 500:  # h11 has 501 for codings that it does not know
            status_code = 400
        problem = Problem.of(status_code, "malformed_request", "this is not a good request")
        body = encode_problem(problem)
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        everything = list(chain(headers, self.config.response_headers("h11")))
        await self._send_h11_event(h11.Response(status_code=status_code, headers=everything))
        with suppress(h11.LocalProtocolError):  # a HEAD request is answered without a body
            await self._send_h11_event(h11.Data(data=body))
            await self._send_h11_event(h11.EndOfMessage())

    async def _handle_events(self) -> None:
        try:
            await super()._handle_events()
        except h11.RemoteProtocolError as error:
            if self.connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                await self._send_error_response(error.error_status_hint)
            await self.send(Closed())


def _config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = HEAD_SIZE
    config.websocket_max_message_size = MESSAGE_SIZE
    config.keep_alive_max_requests = 1 << 62
    return config
