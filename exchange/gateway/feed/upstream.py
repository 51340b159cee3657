"""The feed of one node, followed once for all subscribers of a gateway.

A connection of its own, so that a busy feed never delays an answer.  When it breaks it is
made again, and every public topic goes on from the last event seen: from the node's ring, or
with a snapshot.  Private ones are left to whoever knows the keys that open them.
"""

from collections.abc import Callable, Iterable

import trio

from exchange.client.connection import Connection, Request, encode_request
from exchange.client.errors import Refused
from exchange.client.link import Link, Outcome
from exchange.gateway.feed.topics import Key
from exchange.wire.feeds import HEARTBEAT, ORDERS

ANSWER_S = 3.0
AT_ONCE = 500  # symbols in one request
PAUSE_S = 0.2


class Upstream:
    """What one node is asked to tell."""

    def __init__(
        self,
        connection: Connection,
        *,
        cursor_of: Callable[[Key], str],
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._cursor_of = cursor_of
        self._on_lost = on_lost
        self._wanted: dict[Key, str] = {}  # and the key that opens it, empty for public ones
        self._link: Link | None = None

    async def run(self) -> None:
        """Follow what is wanted, for ever."""
        while True:
            link = await self._connection.connect()
            self._link = link
            public = {key: auth for key, auth in self._wanted.items() if key.channel != ORDERS}
            for auth, keys in self._grouped(public).items():
                self._send(link, "feed.subscribe", keys, auth, lambda _outcome: None)
            await link.ended.wait()
            self._link = None
            self._on_lost()
            await trio.sleep(PAUSE_S)

    async def follow(self, keys: Iterable[Key], auth: str) -> None:
        """Follow topics; raises Refused if the node does not allow it.

        A node that is away is asked when it is back.
        """
        new = [key for key in keys if key not in self._wanted or key.channel == ORDERS]
        if not new:
            return
        fresh = {key: auth for key in new if key not in self._wanted}
        self._wanted |= dict.fromkeys(new, auth)
        try:
            await self._ask("feed.subscribe", new, auth)
        except Refused:
            for key in fresh:
                self._wanted.pop(key, None)
            raise

    def leave(self, keys: Iterable[Key]) -> None:
        """Follow topics no more."""
        gone = {key: self._wanted.pop(key) for key in keys if key in self._wanted}
        if self._link is not None and self._link.is_alive:
            for auth, some in self._grouped(gone).items():
                self._send(self._link, "feed.unsubscribe", some, auth, lambda _outcome: None)

    async def _ask(self, verb: str, keys: list[Key], auth: str) -> None:
        link = self._link
        if link is None or not link.is_alive:
            if any(key.channel == ORDERS for key in keys):
                raise Refused("unavailable", "the node of this account is not there just now")
            return
        done, outcomes = trio.Event(), list[Outcome]()

        def take(outcome: Outcome) -> None:
            outcomes.append(outcome)
            done.set()

        self._send(link, verb, keys, auth, take)
        with trio.move_on_after(ANSWER_S):
            await done.wait()
            outcome = outcomes[0]
            if isinstance(outcome, Refused):
                raise outcome
            return
        raise Refused("unavailable", "the node does not answer just now")

    def _send(
        self,
        link: Link,
        verb: str,
        keys: list[Key],
        auth: str,
        take: Callable[[Outcome], None],
    ) -> None:
        """Send as few requests as it takes; `take` gets the last one's outcome, or a refusal."""
        requests = list(_requests(verb, keys, auth, self._cursor_of))
        for place, request in enumerate(requests):
            is_last = place == len(requests) - 1
            link.submit(*encode_request(request), take if is_last else _ignore)

    def _grouped(self, wanted: dict[Key, str]) -> dict[str, list[Key]]:
        grouped: dict[str, list[Key]] = {}
        for key, auth in wanted.items():
            grouped.setdefault(auth, []).append(key)
        return grouped


def _requests(
    verb: str, keys: list[Key], auth: str, cursor_of: Callable[[Key], str]
) -> Iterable[Request]:
    by_channel: dict[str, list[Key]] = {}
    for key in keys:
        by_channel.setdefault(key.channel, []).append(key)
    for channel, some in by_channel.items():
        for start in range(0, len(some), AT_ONCE):
            part = some[start : start + AT_ONCE]
            value: dict[str, object] = {"channels": [channel]}
            if channel not in (ORDERS, HEARTBEAT):
                value["symbols"] = [key.name for key in part]
            if verb == "feed.subscribe" and channel != ORDERS:  # begins with a snapshot
                value["cursor"] = [cursor for key in part if (cursor := cursor_of(key))]
            yield Request(verb, value, auth=auth or None)


def _ignore(_outcome: Outcome) -> None:
    """Answers to requests that nobody waits for."""
