"""The door: accepts connections, and tells clients from nodes by their first line."""

import traceback
from collections.abc import Callable

import trio

from exchange.coordinator.secret import NO_SECRET, UNPROVEN, Challenge, ClusterSecret
from exchange.node.clients import Clients
from exchange.node.connection import say_last
from exchange.node.links import Links
from exchange.node.sockets import Wire, prepare, secure
from exchange.process.errors import first_of
from exchange.process.logs import Event
from exchange.process.sockets import BROKEN, accept
from exchange.process.tls import Trust
from exchange.store.errors import StoreError
from exchange.wire.answers import error_line, line_of_error
from exchange.wire.errors import FramingError, RemoteProtocolError, RequestError, WireError
from exchange.wire.handshake import NodeHello, first_line
from exchange.wire.lines import REQUEST_BYTES_MAX, LineSplitter
from exchange.wire.peers import BATCH_BYTES_MAX
from exchange.wire.proving import Prove, read_prove

FIRST_LINE_S = 10.0
READ_SIZE = 1 << 16
WAITING_MAX = 16_384  # connections that have not said who they are; more are closed


class Door:
    """Lets clients and nodes in."""

    def __init__(
        self,
        clients: Clients,
        links: Links,
        *,
        tell: Callable[[str], None],
        trust: Trust | None = None,
        secret: ClusterSecret | None = None,
    ) -> None:
        self._trust = trust  # None without TLS
        self._secret = secret  # None with TLS, and where anybody is taken at his word
        self._clients = clients
        self._links = links
        self._tell = tell
        self._ready = trio.Event()
        self.refused = 0  # connections that broke TLS or the framing
        self._waiting = 0  # connections that have not said who they are; <= WAITING_MAX
        self._nursery: trio.Nursery | None = None  # while connections are served

    def open_to_clients(self) -> None:
        """Serve clients from now on; nodes are served from the start (C6)."""
        self._ready.set()

    async def run(self, listener: trio.SocketListener) -> None:
        """Accept until cancelled.  The listener stays open: it outlives a crash of the log."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                while True:
                    nursery.start_soon(self._serve, await accept(listener))
            finally:
                self._nursery = None

    def let_in(self, stream: trio.SocketStream) -> None:
        """Serve a connection from within this process (C7); OSError while nobody is served."""
        if self._nursery is None:
            raise ConnectionRefusedError("this node serves nobody now")
        self._nursery.start_soon(self._serve, stream, Wire(stream, stream.socket.fileno()))

    async def _serve(self, stream: trio.SocketStream, wire: Wire | None = None) -> None:
        """Serve one connection; whatever goes wrong with it is its own affair."""
        try:
            async with stream:
                if wire is None:
                    wire = prepare(stream)
                    if self._trust is not None:
                        wire = await self._secured(wire, self._trust)
                await self.serve(wire)
        except Exception as error:
            if first_of(error, StoreError) is not None:
                raise
            if first_of(error, OSError) is None:
                told = "".join(traceback.format_exception(error))
                self._tell(
                    Event("connection_failed", f"a connection failed: {error!r}", traceback=told)
                )

    async def _secured(self, wire: Wire, trust: Trust) -> Wire:
        """Speak TLS from here on; OSError if the other side does not, or asks too often."""
        if not self._clients.pays_handshake(wire.address):
            raise ConnectionRefusedError("too many TLS handshakes of this address")
        try:
            return await secure(wire, trust.server, is_server=True)
        except OSError as error:
            self._refuse(wire, f"no TLS: {error}")
            raise

    def _refuse(self, wire: Wire, why: str) -> None:
        """Count a connection that broke the rules, and tell of it."""
        self.refused += 1
        text = f"a connection from {wire.address or 'inside'} was refused: {why}"
        self._tell(Event("handshake_refused", text, address=wire.address))

    async def serve(self, wire: Wire) -> None:
        """Serve one connection, whoever it is."""
        splitter = LineSplitter(REQUEST_BYTES_MAX)
        try:
            if self._waiting >= WAITING_MAX:
                return
            self._waiting += 1
            try:
                lines, broken = await _first_lines(wire, splitter)
            finally:
                self._waiting -= 1
            asked = read_prove(lines[0]) if lines else None
            if asked is not None:
                lines, broken = await self._proven(wire, splitter, asked, lines[1:])
            if not lines:
                return
            first = first_line(lines[0])
            if not isinstance(first, NodeHello):
                await self._ready.wait()
                await self._clients.serve(wire, first, splitter, lines[1:], broken)
                return
            if broken is not None:
                raise broken
            if self._secret is not None and asked is None:
                raise RemoteProtocolError("join_secret", UNPROVEN)
            splitter.widen(BATCH_BYTES_MAX)
            await self._links.accept(wire, first, splitter, lines[1:])
        except RequestError as error:
            await say_last(wire, line_of_error(error))
        except WireError as error:
            if isinstance(error, RemoteProtocolError):
                text = f"a link was refused: {error.detail}"
                self._tell(Event("link_refused", text, address=wire.address))
            else:
                self._refuse(wire, error.code)
            await say_last(wire, error_line(error.code, error.detail))
        except BROKEN:
            pass

    async def _proven(
        self, wire: Wire, splitter: LineSplitter, asked: Prove, lines: list[bytes]
    ) -> tuple[list[bytes], FramingError | None]:
        """Prove that this node is of the cluster, and see that the caller is; read on."""
        if self._secret is None or not self._secret.value:
            raise RequestError("no_secret", NO_SECRET)
        challenge = Challenge(self._secret, asked)
        await wire.stream.send_all(challenge.line)
        broken = None
        if not lines:
            lines, broken = await _first_lines(wire, splitter)
        if lines:
            challenge.check(lines[0])
        if lines[1:] or broken is not None or not lines:
            return lines[1:], broken
        return await _first_lines(wire, splitter)


async def _first_lines(
    wire: Wire, splitter: LineSplitter
) -> tuple[list[bytes], FramingError | None]:
    """Read until a line is complete; none if the other side goes away before."""
    with trio.move_on_after(FIRST_LINE_S):
        while True:
            data = await wire.receive(READ_SIZE)
            if not data:
                return [], None
            try:
                lines = splitter.feed(data)
            except FramingError as error:
                if not error.lines:
                    raise
                return error.lines, error
            if lines:
                return lines, None
    raise RequestError("too_slow", f"say who you are within {FIRST_LINE_S:g} s")
