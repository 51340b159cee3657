"""One connection of the coordinator, at either end: lines in, lines out, bounded.

incoming | a line is at most `line_bytes_max`; what came before a bad line is still read
outgoing | a peer that does not read for 30 s is dropped
dead     | TCP keepalive: `process.sockets`
"""

import contextlib

import trio

from exchange.process.sockets import BROKEN, tune
from exchange.wire.errors import FramingError
from exchange.wire.lines import LineSplitter

READ_BYTES = 1 << 16
SEND_S_MAX = 30.0


class ConnectionLost(Exception):  # noqa: N818 - errors are named by fault
    """The other side went away, or does not read."""


class Connection:
    """Reads lines from a stream and writes bytes to it."""

    def __init__(self, stream: trio.abc.Stream, *, line_bytes_max: int) -> None:
        self._stream = stream
        self._splitter = LineSplitter(line_bytes_max)
        self._broken: FramingError | None = None  # to be raised by the next read
        if isinstance(stream, trio.SocketStream):
            with contextlib.suppress(OSError):  # it is gone already; the first read says so
                tune(stream)

    async def read(self) -> list[bytes]:
        """Return the lines that have come; none at all at the end of input.

        Raises FramingError once everything before it is returned, ConnectionLost.
        """
        while self._broken is None:
            try:
                data = await self._stream.receive_some(READ_BYTES)
            except BROKEN as error:
                raise ConnectionLost from error
            if not data:
                return []
            lines = self._split(bytes(data))
            if lines:
                return lines
        raise self._broken

    async def send(self, data: bytes) -> None:
        """Write bytes; ConnectionLost if the other side is gone or does not read."""
        with trio.move_on_after(SEND_S_MAX) as deadline:
            try:
                await self._stream.send_all(data)
            except BROKEN as error:
                raise ConnectionLost from error
        if deadline.cancelled_caught:
            raise ConnectionLost

    async def close(self) -> None:
        """Close at once; what was sent is delivered."""
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._stream)

    def _split(self, data: bytes) -> list[bytes]:
        try:
            return self._splitter.feed(data)
        except FramingError as error:
            self._broken = error
            return error.lines
