"""What a subscriber asks on the WebSocket `/v1/feed`, and the answers.

A request has the form of the richer verbs; every frame of the server is a JSON array of
messages.  Requests of a connection are carried out one after the other, and each is paid as a
request over HTTP is.
"""

from collections.abc import Callable
from typing import Annotated, Protocol

import msgspec

from exchange.client.errors import ClientError, Refused
from exchange.gateway.http.messages import Request, Socket, Upgrade
from exchange.gateway.resources.refusals import problem_of
from exchange.gateway.resources.schema import CURSOR_MAX
from exchange.wire.errors import title_of
from exchange.wire.feeds import CURSORS_MAX, FeedFilter

PATH = "/v1/feed"
ID_SIZE = 256  # bytes of an id as it is echoed


class Follower(Protocol):
    """What a connection asks its feed."""

    async def subscribe(self, value: FeedFilter, api_key: str) -> list[str]: ...
    async def unsubscribe(self, value: FeedFilter, api_key: str) -> None: ...
    def leave(self) -> None: ...


CursorText = Annotated[str, msgspec.Meta(max_length=CURSOR_MAX)]


class Topics(FeedFilter, frozen=True, forbid_unknown_fields=True):
    """Which topics; a cursor has a place for each of some hundred nodes."""

    cursor: (
        CursorText | Annotated[list[CursorText], msgspec.Meta(max_length=CURSORS_MAX)] | None
    ) = None


class FeedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request of a subscriber, in the form of the richer verbs."""

    type: str
    value: Topics
    id: str | int | float | bool | None = None
    auth: str = ""  # instead of an Authorization header, which browsers cannot send


class _Named(msgspec.Struct, frozen=True):
    """As much of a bad request as its answer needs."""

    id: str | int | float | bool | None = None


_REQUEST = msgspec.json.Decoder(FeedRequest)
_NAMED = msgspec.json.Decoder(_Named)
_ENCODE = msgspec.json.Encoder().encode
_UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeError)
Id = str | int | float | bool | None


def feed_upgrade(open_follower: Callable[[Socket], Follower]) -> Upgrade:
    """Return where the path of the feed leads."""

    async def talk(request: Request, socket: Socket) -> None:
        follower = open_follower(socket)
        try:
            while (text := await socket.receive()) is not None:
                answer = await handle(follower, text, request.key, socket)
                socket.push(b"[%b]" % answer)
        finally:
            follower.leave()

    return Upgrade(talk)


async def handle(follower: Follower, text: str, api_key: str, socket: Socket) -> bytes:
    """Carry out one request, and return its answer."""
    try:
        request = _REQUEST.decode(text)
    except _UNREADABLE as error:
        await socket.charge(api_key, 1)  # late if there is nothing left, and answered all the same
        why = str(error) if isinstance(error, msgspec.MsgspecError) else "not a request"
        return _error(_id_of(text), "malformed_request", why)
    request_id = _bounded(request.id)
    key = request.auth or api_key
    if not await socket.charge(key, 1):
        return _error(request_id, "rate_limited", "too many requests; try again in a second")
    told: dict[str, list[str]] = {}
    try:
        if request.type == "feed.subscribe":
            cursors = await follower.subscribe(request.value, key)
            told = {"cursors": cursors} if cursors else {}
        elif request.type == "feed.unsubscribe":
            await follower.unsubscribe(request.value, key)
        else:
            return _error(request_id, "unknown_verb", "use feed.subscribe or feed.unsubscribe")
    except Refused as refused:
        if refused.code == "unauthorized":
            socket.learn(key, is_good=False)
        return _error(request_id, refused.code, refused.detail)
    except ClientError as error:
        problem = problem_of(error)
        return _error(request_id, problem.code, problem.detail)
    return _ENCODE({"id": request_id, "type": "ok", "value": told})


def _id_of(text: str) -> Id:
    """Return the id of a bad request, None if even that cannot be read."""
    try:
        return _bounded(_NAMED.decode(text).id)
    except _UNREADABLE:
        return None


def _bounded(request_id: Id) -> Id:
    """Return an id that is echoed; one that is too long is none."""
    return request_id if len(_ENCODE(request_id)) <= ID_SIZE else None


def _error(request_id: Id, code: str, detail: str) -> bytes:
    value = {"code": code, "title": title_of(code), "detail": detail}
    return _ENCODE({"id": request_id, "type": "error", "value": value})
