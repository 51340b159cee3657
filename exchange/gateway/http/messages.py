"""A request and its answer, as the two sides of the HTTP floor hand them to each other."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

JSON = "application/json"


class Head(msgspec.Struct, frozen=True):
    """A request but for its body."""

    method: str
    path: bytes  # as it came, percent-encoded, without the query
    query: bytes
    headers: dict[str, str]  # by name in lower case
    address: str  # of the client; empty inside this process

    def has_token(self, name: str, token: str) -> bool:
        """Tell whether a header that is a list of words has a word."""
        words = self.headers.get(name, "").lower().split(",")
        return token in [word.strip() for word in words]


class Request(msgspec.Struct, frozen=True):
    """A request as its handler sees it."""

    head: Head
    path: dict[str, str]  # the parameters in it, decoded
    key: str  # of the Authorization header, empty without one
    body: bytes = b""


class Reply(msgspec.Struct, frozen=True):
    """An answer; the body is JSON unless the type says otherwise."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = {}
    content_type: str = JSON


class Socket(Protocol):
    """One WebSocket, as its handler sees it."""

    @property
    def unsent(self) -> int:
        """Return how many bytes wait to be sent."""
        ...

    def push(self, messages: bytes) -> None:
        """Send a text message without waiting; look at `unsent` before sending more."""
        ...

    def push_frame(self, frame: bytes) -> None:
        """Send bytes that are a frame already."""
        ...

    async def drained(self, limit: int) -> None:
        """Wait until at most so many bytes are unsent."""
        ...

    async def receive(self) -> str | None:
        """Return the next message, None at the end."""
        ...

    async def charge(self, key: str, price: int) -> bool:
        """Charge a message to a key, or to the address; False, and late, if it is not paid."""
        ...

    def learn(self, key: str, *, is_good: bool) -> None:
        """Note what a node has said of a key."""
        ...


class Endpoint(msgspec.Struct, frozen=True):
    """Where a method of a path leads."""

    answer: Callable[[Request], Awaitable[Reply]]
    takes_body: bool = False
    price: int = 1  # see `limits`
    is_cancel: bool = False  # it has a budget of its own
    is_guarded: bool = False  # an answer without a refusal proves the key good


class Upgrade(msgspec.Struct, frozen=True):
    """A path that is a WebSocket."""

    talk: Callable[[Request, Socket], Awaitable[None]]
    price: int = 1
