"""One WebSocket, on wsproto (RFC 6455), each message and frame within its bounds.

    what a client does                       | what becomes of it
    -----------------------------------------+--------------------------------------------
    asks for permessage-deflate              | not offered: nothing is ever inflated
    a compressed, unmasked or broken frame   | closed, 1002
    a binary message                         | closed, 1003
    text that is not UTF-8                   | closed, 1007
    a message over MESSAGE_SIZE bytes, or in | closed, 1009, before more of it is read
    more than FRAGMENTS_MAX pieces           |
    more than RATE frames a second, pings    | held up: its own socket is not read meanwhile
    among them                               |
    says nothing for PING_S, and then has no | closed
    answer to a ping for as long             |
    reads too little                         | not read either; closed after `outbox.STALL_S`

Frames with events are written once for all who get them and pushed as they are: a server's
frames are not masked, so the same bytes are right for everybody.
"""

import struct
from collections.abc import Callable

import trio
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

from exchange.gateway.http.limits import PENALTY_S, RequestGuard
from exchange.gateway.http.streams import UNSENT_MAX, GatewayStream
from exchange.process.limits import Budget

VERSION = "13"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
MESSAGE_SIZE = 1 << 16  # bytes of one message: as a line to a node
FRAGMENTS_MAX = 64
RATE = 100  # frames a second
PING_S = 20.0
NORMAL, AWAY, UNSUPPORTED, TOO_BIG, INTERNAL_ERROR = 1000, 1001, 1003, 1009, 1011
FINAL_TEXT = 0x81
LENGTH_16, LENGTH_64 = 126, 127


def text_frame(payload: bytes) -> bytes:
    """Return a whole text message as a server sends it (RFC 6455, 5.2)."""
    length = len(payload)
    if length < LENGTH_16:
        return bytes((FINAL_TEXT, length)) + payload
    if length < 1 << 16:
        return struct.pack("!BBH", FINAL_TEXT, LENGTH_16, length) + payload
    return struct.pack("!BBQ", FINAL_TEXT, LENGTH_64, length) + payload


class WebSocket:
    """The server's side of one."""

    def __init__(
        self,
        stream: GatewayStream,
        early: bytes,
        guard: RequestGuard,
        address: str,
        clock_us: Callable[[], int],
    ) -> None:
        self._stream = stream
        self._guard = guard
        self._address = address
        self._rate = Budget(RATE, clock_us)
        self._wire = Connection(ConnectionType.SERVER, [], early)

    @property
    def unsent(self) -> int:
        """Return how many bytes wait to be sent."""
        return self._stream.unsent

    def push(self, messages: bytes) -> None:
        """Send a text message without waiting."""
        self.push_frame(text_frame(messages))

    def push_frame(self, frame: bytes) -> None:
        """Send bytes that are a frame already; nothing once it is closed."""
        if self._wire.state is ConnectionState.OPEN:
            self._stream.push(frame)

    async def drained(self, limit: int) -> None:
        """Wait until at most so many bytes are unsent."""
        await self._stream.drained(limit)

    async def charge(self, key: str, price: int) -> bool:
        """Charge a message as a request is; False, and late, if it is not paid."""
        is_paid = self._guard.charge(key, self._address, price).is_paid
        if not is_paid:
            await trio.sleep(PENALTY_S)
        return is_paid

    def learn(self, key: str, *, is_good: bool) -> None:
        """Note what a node has said of a key."""
        self._guard.learn(key, self._address, is_good=is_good)

    async def receive(self) -> str | None:
        """Return the next message, None at the end."""
        parts: list[str] = []
        size = fragments = 0
        while (event := await self._event()) is not None:
            if isinstance(event, CloseConnection):
                self.end(event.code)
                return None
            if isinstance(event, Ping):
                self._stream.push(self._wire.send(event.response()))
            elif isinstance(event, BytesMessage):
                self.end(UNSUPPORTED)
                return None
            elif isinstance(event, TextMessage):
                parts.append(event.data)
                size += len(event.data.encode())
                fragments += event.frame_finished
                if size > MESSAGE_SIZE or fragments > FRAGMENTS_MAX:
                    self.end(TOO_BIG)
                    return None
                if event.message_finished:
                    return "".join(parts)
        return None

    def end(self, code: int = NORMAL) -> None:
        """Say goodbye, unless it is said."""
        if self._wire.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            is_code = code in range(1000, 5000) and code not in (1005, 1006, 1015)
            goodbye = CloseConnection(code=code if is_code else NORMAL)
            self._stream.push(self._wire.send(goodbye))

    async def _event(self) -> Event | None:
        """Return what comes next, None if nothing does any more.

        One at a time: the state of the connection is that behind the last event that was taken.
        """
        while (event := next(self._wire.events(), None)) is None:
            if not await self._read():
                return None
        is_counted = getattr(event, "frame_finished", True)
        if is_counted and not self._rate.take():
            await trio.sleep(PENALTY_S)
        return event

    async def _read(self) -> bool:
        """Read some more, behind what is unsent; False at the end, or if nobody is there."""
        await self._stream.drained(UNSENT_MAX)
        for is_last in (False, True):
            with trio.move_on_after(PING_S):
                data = await self._stream.receive_some()
                if data:
                    self._wire.receive_data(data)
                return bool(data)
            if is_last:
                self.end(AWAY)
            else:
                self._stream.push(self._wire.send(Ping()))
        return False
