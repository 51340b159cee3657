"""Connections of the gateway: TLS over one outbox, so that a send never needs a task.

Theory of operation
===================
TLS runs over two memory buffers.  What is sent is encrypted at once and pushed into the
outbox of the socket, which tries the socket at once and leaves the rest to one writer task
(as in a node): a frame for a thousand subscribers costs an encryption and a write each, and
no wake-up.  With TLS 1.3 there is no renegotiation: a write never waits for a read.

A client that reads nothing for `outbox.STALL_S` is given up; what waits for it is bounded,
because whoever sends looks at `unsent`, or waits in `send_all` (faults 3).
"""

import ssl
from contextlib import suppress

import trio

from exchange.node.errors import Stalled
from exchange.node.outbox import Outbox
from exchange.process.sockets import BROKEN, LINGER_S, linger

READ_SIZE = 1 << 16
UNSENT_MAX = 1 << 18  # bytes that `send_all` leaves behind before it waits


class GatewayStream:
    """One accepted connection, with TLS if there is a context."""

    def __init__(self, socket: trio.SocketStream, context: ssl.SSLContext | None) -> None:
        self.socket = socket
        self.is_tls = context is not None
        self._outbox = Outbox(socket, file=socket.socket.fileno())
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        if context is not None:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_closed = False

    @property
    def unsent(self) -> int:
        """Return how many bytes the kernel has not taken yet."""
        return self._outbox.unsent

    async def run(self, scope: trio.CancelScope) -> None:
        """Write what the socket does not take at once; cancels `scope` when it is of no use."""
        try:
            await self._outbox.run()
        except (*BROKEN, Stalled):
            scope.cancel()

    async def handshake(self) -> None:
        """Agree on TLS; raises ssl.SSLError or trio.BrokenResourceError."""
        if self._tls is None:
            return
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not await self._feed():
                    raise trio.BrokenResourceError("gone within the handshake") from None
                continue
            finally:
                self._flush()  # an alert, if it failed
            return

    async def receive_some(self) -> bytes:
        """Return what has come, empty at the end of input; raises trio's errors if it broke."""
        if self._tls is None:
            return bytes(await self.socket.receive_some(READ_SIZE))
        while True:
            try:
                data = self._tls.read(READ_SIZE)
            except ssl.SSLWantReadError:
                self._flush()
                await self._outbox.wait_below(UNSENT_MAX)
                await self._feed()
                continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                raise trio.BrokenResourceError(str(error)) from error
            return data

    def push(self, data: bytes) -> None:
        """Send without waiting; look at `unsent` before sending more.  Nothing once closed."""
        if self._is_closed or not data:
            return
        if self._tls is None:
            self._outbox.push(data)
            return
        with suppress(ssl.SSLError):
            self._tls.write(data)
        self._flush()

    async def send_all(self, data: bytes) -> None:
        """Send, and wait while much is unsent; trio.ClosedResourceError once it is closed."""
        if self._is_closed:
            raise trio.ClosedResourceError
        self.push(data)
        await self._outbox.wait_below(UNSENT_MAX)

    async def drained(self, limit: int) -> None:
        """Wait until at most so many bytes are unsent."""
        await self._outbox.wait_below(limit)

    async def finish(self) -> None:
        """Say goodbye after all that was sent, and give the client the time to read it."""
        if self._is_closed:
            return
        if self._tls is not None:
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
        self._is_closed = True
        with trio.move_on_after(LINGER_S), suppress(*BROKEN):
            await self._outbox.wait_below(0)
        await linger(self.socket)

    def close(self) -> None:
        """End the connection now."""
        self._is_closed = True
        self._outbox.close()
        self.socket.socket.close()

    async def _feed(self) -> bool:
        """Take what the socket brings; tell whether it brought anything."""
        data = await self.socket.receive_some(READ_SIZE)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return bool(data)

    def _flush(self) -> None:
        if self._outgoing.pending and not self._is_closed:
            self._outbox.push(self._outgoing.read())
