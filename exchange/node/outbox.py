"""What waits to be sent on one connection: joined into one send, written by one task (E6).

A push tries the socket at once when nothing waits before it, which saves waking the writer;
what the kernel does not take is left to the writer task.  A peer that does not read for
`STALL_S` is given up: memory is bounded by whoever pushes looking at `unsent`.
"""

import os
from collections.abc import Callable

import trio

from exchange.node.errors import Stalled

STALL_S = 10.0  # a peer that takes nothing for so long is gone or hostile (faults.md 3)
SEND_SIZE = 1 << 18  # bytes in one send: progress is seen at least this often


class Outbox:
    """Bytes to send on a stream, in order."""

    def __init__(self, stream: trio.abc.SendStream, *, file: int | None = None) -> None:
        self._stream = stream
        self._file = file  # of the socket, to write without a task; None for other streams
        self._chunks: list[bytes] = []
        self._wake = trio.Event()
        self._moved = trio.Event()  # set whenever something has left
        self._is_sending = False
        self._is_ended = False
        self.pushes = 0
        self.unsent = 0  # bytes pushed and not taken by the kernel
        self.on_empty: Callable[[], None] | None = None  # called when the last byte has left

    def push(self, data: bytes) -> None:
        """Send `data` behind all that was pushed before."""
        self.pushes += 1
        if self._file is not None and not self.unsent:
            data = self._write_now(data)
            if not data:
                return
        self._chunks.append(data)
        self.unsent += len(data)
        if not self._is_sending:
            self._wake.set()

    def end(self) -> None:
        """Let `run` return once everything pushed has left."""
        self._is_ended = True
        self._file = None
        self._wake.set()

    def close(self) -> None:
        """Never touch the socket's number again: it may belong to another by then."""
        self._file = None

    async def run(self) -> None:
        """Write until `end`; raises Stalled, or trio's errors of a broken stream."""
        try:
            while True:
                if self._chunks:
                    await self._send_all()
                elif self._is_ended:
                    return
                else:
                    await self._wake.wait()
                    self._wake = trio.Event()
        finally:
            self.close()

    async def wait_below(self, limit: int) -> None:
        """Wait until at most `limit` bytes are unsent."""
        while self.unsent > limit:
            await self._moved.wait()

    async def _send_all(self) -> None:
        data = memoryview(b"".join(self._chunks))
        self._chunks.clear()
        self._is_sending = True
        for start in range(0, len(data), SEND_SIZE):
            part = data[start : start + SEND_SIZE]
            with trio.move_on_after(STALL_S) as deadline:
                await self._stream.send_all(part)
            if deadline.cancelled_caught:
                raise Stalled
            self.unsent -= len(part)
            self._moved.set()
            self._moved = trio.Event()
        self._is_sending = False
        if not self.unsent and self.on_empty is not None:
            self.on_empty()

    def _write_now(self, data: bytes) -> bytes:
        """Give the kernel what it takes without waiting; return the rest."""
        assert self._file is not None, "only for sockets"
        try:
            written = os.write(self._file, data)
        except BlockingIOError:
            return data
        except OSError:  # broken: the writer finds out, and says so
            self._file = None
            return data
        return b"" if written == len(data) else data[written:]
