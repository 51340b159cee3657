"""A WebSocket client for tests and benchmarks: wsproto over Trio."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Message,
    Ping,
    RejectConnection,
    Request,
)


class Rejected(Exception):  # noqa: N818 - named by fault
    """The server did not accept the handshake."""


class FeedSocket:
    """One connection to `/v1/feed`."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._messages: list[Any] = []
        self._text = ""
        self.frames = 0

    async def open(self, host: str, key: str = "") -> None:
        headers = [(b"Authorization", f"Bearer {key}".encode())] if key else []
        request = Request(host=host, target="/v1/feed", extra_headers=headers)
        await self.stream.send_all(self._ws.send(request))
        while True:
            self._ws.receive_data(bytes(await self.stream.receive_some(65_536)) or None)
            for event in self._ws.events():
                if isinstance(event, AcceptConnection):
                    return
                if isinstance(event, RejectConnection | CloseConnection):
                    raise Rejected(str(event))

    async def send(self, text: str | bytes) -> None:
        data = text.decode() if isinstance(text, bytes) else text
        await self.stream.send_all(self._ws.send(Message(data)))

    async def ask(self, verb: str, **value: object) -> Any:  # noqa: ANN401
        """Send a request and return its answer; events before it are kept."""
        await self.send(msgspec.json.encode({"id": 1, "type": verb, "value": value}))
        return await self.answer()

    async def answer(self) -> Any:  # noqa: ANN401
        """Return the next message that is no event."""
        kept: list[Any] = []
        while True:
            message = await self.message()
            if message["type"] != "feed":
                self._messages = kept + self._messages
                return message
            kept.append(message)

    async def event(self, channel: str = "") -> Any:  # noqa: ANN401
        """Return the next event, of one channel if it is named."""
        while True:
            message = await self.message()
            if message["type"] == "feed" and channel in ("", message["channel"]):
                return message

    async def message(self) -> Any:  # noqa: ANN401
        """Return the next message."""
        while not self._messages:
            self._messages += await self.frame()
        return self._messages.pop(0)

    async def frame(self) -> Any:  # noqa: ANN401
        """Return the next frame: an array of messages."""
        while True:
            for event in self._ws.events():
                if isinstance(event, Message):
                    self._text += str(event.data)
                    if event.message_finished:
                        text, self._text = self._text, ""
                        self.frames += 1
                        return msgspec.json.decode(text)
                elif isinstance(event, Ping):
                    await self.stream.send_all(self._ws.send(event.response()))
                elif isinstance(event, CloseConnection):
                    raise trio.EndOfChannel
            data = await self.stream.receive_some(65_536)
            if not data:
                raise trio.EndOfChannel
            self._ws.receive_data(bytes(data))


@asynccontextmanager
async def a_socket(
    address: str, context: ssl.SSLContext | None, key: str = ""
) -> AsyncIterator[FeedSocket]:
    """Open a connection to the feed of a gateway."""
    host, port = address.rsplit(":", 1)
    stream: trio.abc.Stream = await trio.open_tcp_stream(host, int(port))
    if context is not None:
        stream = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    socket = FeedSocket(stream)
    try:
        await socket.open(address, key)
        yield socket
    finally:
        await trio.aclose_forcefully(stream)
