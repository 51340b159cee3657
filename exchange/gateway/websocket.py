"""The WebSocket `/v1/feed`: requests in, frames out past the protocol machinery.

Hypercorn speaks the handshake, pings and closing.  Frames with events are written here once
and pushed to each connection's outbox as they are: a server's frames are not masked, so the
same bytes are right for all.  Every frame is a JSON array of messages.
"""

import struct
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from litestar import WebSocket
from litestar.exceptions import WebSocketDisconnect
from litestar.handlers import WebsocketRouteHandler

from exchange.client.errors import ClientError, Refused
from exchange.gateway.problems import problem_of
from exchange.gateway.server import CONNECTION, HttpConnection
from exchange.wire.errors import title_of
from exchange.wire.feeds import FeedFilter

FINAL_TEXT = 0x81
LENGTH_16, LENGTH_64 = 126, 127
PATH = "/v1/feed"


class Sink(Protocol):
    """Where frames go without waiting."""

    @property
    def unsent(self) -> int:
        """Return how many bytes wait."""
        ...

    def push(self, data: bytes) -> None:
        """Send behind all that was sent before."""
        ...


class Follower(Protocol):
    """What a connection asks its feed."""

    async def subscribe(self, value: FeedFilter, api_key: str) -> None: ...
    async def unsubscribe(self, value: FeedFilter, api_key: str) -> None: ...
    def leave(self) -> None: ...


class FeedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request of a subscriber, in the form of the richer verbs."""

    type: str
    value: FeedFilter
    id: int | str | None = None
    auth: str = ""  # instead of an Authorization header, which browsers cannot send


_REQUEST = msgspec.json.Decoder(FeedRequest)
_ENCODE = msgspec.json.Encoder().encode
Socket = WebSocket[Any, Any, Any]


def text_frame(payload: bytes) -> bytes:
    """Return a whole text message as a server sends it (RFC 6455, 5.2)."""
    length = len(payload)
    if length < LENGTH_16:
        return bytes((FINAL_TEXT, length)) + payload
    if length < 1 << 16:
        return struct.pack("!BBH", FINAL_TEXT, LENGTH_16, length) + payload
    return struct.pack("!BBQ", FINAL_TEXT, LENGTH_64, length) + payload


def feed_route(
    open_follower: Callable[[Sink], Follower], key_of: Callable[[str], str]
) -> WebsocketRouteHandler:
    """Return the route of the feed."""

    async def feed(socket: Socket) -> None:
        api_key = key_of(socket.headers.get("authorization", ""))
        connection: HttpConnection = socket.scope["state"][CONNECTION]
        await socket.accept()
        follower = open_follower(connection.stream)
        try:
            while True:
                text = await socket.receive_data(mode="text")
                answer = await handle(follower, text, api_key)
                connection.stream.push(text_frame(b"[%b]" % answer))
        except (WebSocketDisconnect, msgspec.MsgspecError):
            pass
        finally:
            follower.leave()

    return WebsocketRouteHandler(PATH)(feed)


async def handle(follower: Follower, text: str | bytes, api_key: str) -> bytes:
    """Carry out one request, and return its answer."""
    try:
        request = _REQUEST.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        told = str(error) if isinstance(error, msgspec.MsgspecError) else "not a request"
        return _error(None, "malformed_request", told)
    change: dict[str, Callable[[FeedFilter, str], Awaitable[None]]] = {
        "feed.subscribe": follower.subscribe,
        "feed.unsubscribe": follower.unsubscribe,
    }
    if request.type not in change:
        return _error(request.id, "unknown_verb", "use feed.subscribe or feed.unsubscribe")
    try:
        await change[request.type](request.value, request.auth or api_key)
    except Refused as refused:
        return _error(request.id, refused.code, refused.detail)
    except ClientError as error:
        problem = problem_of(error)
        return _error(request.id, problem.code, problem.detail)
    return _ENCODE({"id": request.id, "type": "ok", "value": {}})


def _error(request_id: int | str | None, code: str, detail: str) -> bytes:
    value = {"code": code, "title": title_of(code), "detail": detail}
    return _ENCODE({"id": request_id, "type": "error", "value": value})
