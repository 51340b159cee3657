"""The listener: who is let in, TLS within its deadline, and one task for each connection.

    what a client does                         | what becomes of its connection
    -------------------------------------------+----------------------------------------
    too many connections, here or of a host    | the newest is closed at once
    too many handshakes of a host              | each waits its turn, or is closed
    no TLS handshake within HANDSHAKE_S        | closed

What a connection may do after that is said in `connection` and `websocket`.  HTTP/2 is not
offered: every feature is a surface, and none of it is needed here.
"""

import ssl
import traceback
from collections.abc import Callable
from email.utils import formatdate

import trio

from exchange.gateway.http.connection import HttpConnection, Site
from exchange.gateway.http.limits import Handshakes, address_of
from exchange.gateway.http.streams import GatewayStream
from exchange.process.limits import Guard
from exchange.process.logs import Event
from exchange.process.sockets import BROKEN, accept, tune

HANDSHAKE_S = 10.0


class HttpServer:
    """Serves one site on one listener."""

    def __init__(
        self,
        site: Site,
        *,
        context: Callable[[], ssl.SSLContext | None],  # of the next connection; None without TLS
        guard: Guard,
    ) -> None:
        self._site = site
        self._context = context
        self._guard = guard
        self._handshakes = Handshakes(guard.limits.handshake_rate, site.clock_us)

    async def run(self, listener: trio.SocketListener) -> None:
        """Accept until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                nursery.start_soon(self._serve, await accept(listener))

    async def _serve(self, socket: trio.SocketStream) -> None:
        """Serve one connection; whatever goes wrong with it is its own affair."""
        stream: GatewayStream | None = None
        address = ""
        try:
            address = address_of(socket.socket.getpeername()[0])
            if not self._guard.enter(address):
                return
            tune(socket)
            stream = GatewayStream(socket, self._context())
            await self._talk(stream, address)
        except Exception as error:
            if not isinstance(error, OSError):
                told = "".join(traceback.format_exception(error))
                text = f"a connection failed: {error!r}"
                self._site.tell(Event("connection_failed", text, traceback=told))
        finally:
            if stream is not None:
                stream.close()
                self._guard.leave(address)
            socket.socket.close()

    async def _talk(self, stream: GatewayStream, address: str) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.run, nursery.cancel_scope)
            try:
                if await self._is_secured(stream, address):
                    await HttpConnection(self._site, stream, address).run()
                    await stream.finish()
            except BROKEN:
                pass  # it went away
            nursery.cancel_scope.cancel()

    async def _is_secured(self, stream: GatewayStream, address: str) -> bool:
        """Agree on TLS, in its turn and in time."""
        if not stream.is_tls:
            return True
        wait_s = self._handshakes.wait_s(address)
        if wait_s is None:
            self._guard.refused += 1
            return False
        if wait_s:
            await trio.sleep(wait_s)
        try:
            with trio.fail_after(HANDSHAKE_S):
                await stream.handshake()
        except (ssl.SSLError, trio.TooSlowError):
            return False
        return True


class DateHeader:
    """The `Date` of answers, written once a second."""

    def __init__(self, wall_us: Callable[[], int]) -> None:
        self._wall_us = wall_us
        self._second = -1
        self._text = b""

    def __call__(self) -> bytes:
        """Return the date (RFC 9110 5.6.7)."""
        second = self._wall_us() // 1_000_000
        if second != self._second:
            self._second = second
            self._text = formatdate(second, usegmt=True).encode()
        return self._text
