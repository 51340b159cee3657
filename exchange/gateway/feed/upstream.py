"""The feed of one node, followed once for all subscribers of a gateway.

A connection of its own, so that a busy feed never delays an answer.  When it breaks it is
made again, and every public topic goes on from the last event seen: from the node's ring, or
with a snapshot.  Private ones are left to whoever knows the keys that open them.

A request names many topics and is refused for one.  So a refusal of a resume is looked into by
halves until it is that of one topic, which is asked for again, without its cursor, or given up
and told: no topic is silent because of another, and none without a word.
"""

from collections.abc import Callable, Iterable

import trio

from exchange.client.connection import NOT_NOW, Connection, Request, encode_request
from exchange.client.errors import LinkLost, Refused
from exchange.client.link import Link, Outcome
from exchange.gateway.feed.topics import Key
from exchange.wire.feeds import HEARTBEAT, ORDERS

ANSWER_S = 3.0
AT_ONCE = 500  # symbols in one request
PAUSE_S = 0.2
LOOK_S = 0.1  # between looks whether the first connection has failed
ASKED_AGAIN = NOT_NOW | {"rate_limited"}


class Upstream:
    """What one node is asked to tell."""

    def __init__(
        self,
        connection: Connection,
        *,
        cursor_of: Callable[[Key], str],
        on_lost: Callable[[], None] = lambda: None,
        on_refused: Callable[[Key, Refused], None] = lambda _key, _refused: None,
    ) -> None:
        self._connection = connection
        self._cursor_of = cursor_of
        self._on_lost = on_lost
        self._on_refused = on_refused  # a topic that was followed is no more
        self._wanted: dict[Key, str] = {}  # and the key that opens it, empty for public ones
        self._asking: dict[Key, trio.Event] = {}  # public topics whose first answer is due
        self._link: Link | None = None
        self._changed = trio.Event()  # set whenever there is another link, or none

    async def run(self) -> None:
        """Follow what is wanted, for ever."""
        while True:
            link = await self._connection.connect()
            self._set_link(link)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._resume, link)
                await link.ended.wait()
                nursery.cancel_scope.cancel()
            self._set_link(None)
            self._on_lost()
            await trio.sleep(PAUSE_S)

    async def follow(self, keys: Iterable[Key], auth: str) -> None:
        """Follow topics; raises Refused if the node does not allow it.

        A node that is away is asked when it is back.  Who wants a topic that another one asks
        for just now waits for that answer.
        """
        keys = list(keys)
        while asked := [self._asking[key] for key in keys if key in self._asking]:
            await asked[0].wait()
        new = [key for key in keys if key not in self._wanted or key.channel == ORDERS]
        if not new:
            return
        fresh = [key for key in new if key not in self._wanted]
        answered = trio.Event()
        public = [key for key in fresh if key.channel != ORDERS]
        self._asking |= dict.fromkeys(public, answered)
        self._wanted |= dict.fromkeys(new, auth)
        try:
            await self._ask(new, auth)
        except Refused:
            for key in fresh:
                self._wanted.pop(key, None)
            raise
        finally:
            for key in public:
                del self._asking[key]
            answered.set()

    def leave(self, keys: Iterable[Key]) -> None:
        """Follow topics no more."""
        gone = {key: self._wanted.pop(key) for key in keys if key in self._wanted}
        if self._link is not None and self._link.is_alive:
            for auth, some in _grouped(gone).items():
                for request in _requests("feed.unsubscribe", some, auth, self._cursor_of):
                    self._link.submit(*encode_request(request), _ignore)

    def _set_link(self, link: Link | None) -> None:
        self._link = link
        self._changed.set()
        self._changed = trio.Event()

    async def _ask(self, keys: list[Key], auth: str) -> None:
        is_private = any(key.channel == ORDERS for key in keys)
        link = await self._standing(is_private=is_private)
        if link is None:
            if is_private:
                raise Refused("unavailable", "the node of this account is not there just now")
            return  # it is asked when it is back
        for request in _requests("feed.subscribe", keys, auth, self._cursor_of):
            outcome = await _answered(link, request)
            if isinstance(outcome, Refused):
                raise outcome
            if outcome is None or (is_private and isinstance(outcome, LinkLost)):
                raise Refused("unavailable", "the node does not answer just now")

    async def _standing(self, *, is_private: bool) -> Link | None:
        """Return the link, waiting for the first one, and for one that opens a private topic."""
        with trio.move_on_after(ANSWER_S):
            while self._link is None or not self._link.is_alive:
                if self._connection.refusal and not is_private:
                    return None
                with trio.move_on_after(LOOK_S):
                    await self._changed.wait()
            return self._link
        return None

    async def _resume(self, link: Link) -> None:
        """Ask for all public topics again."""
        by_channel: dict[str, list[Key]] = {}
        for key in self._wanted:
            if key.channel != ORDERS and key not in self._asking:
                by_channel.setdefault(key.channel, []).append(key)
        for keys in by_channel.values():
            for start in range(0, len(keys), AT_ONCE):
                await self._resume_some(link, keys[start : start + AT_ONCE], self._cursor_of)

    async def _resume_some(
        self, link: Link, keys: list[Key], cursor_of: Callable[[Key], str]
    ) -> None:
        """Ask for topics of one channel, and find out which of them are refused."""
        keys = [key for key in keys if key in self._wanted]
        if not keys:
            return
        (request,) = _requests("feed.subscribe", keys, "", cursor_of)
        outcome = await _answered(link, request)
        while outcome is None or (isinstance(outcome, Refused) and outcome.code in ASKED_AGAIN):
            await trio.sleep(PAUSE_S)
            outcome = await _answered(link, request)
        if not isinstance(outcome, Refused):
            return
        if len(keys) > 1:
            middle = len(keys) // 2
            for some in (keys[:middle], keys[middle:]):
                await self._resume_some(link, some, cursor_of)
        elif cursor_of(keys[0]):
            await self._resume_some(link, keys, lambda _key: "")
        else:
            self._wanted.pop(keys[0], None)
            self._on_refused(keys[0], outcome)


async def _answered(link: Link, request: Request) -> Outcome | None:
    """Return what becomes of a request; None if it is not known in time."""
    done, outcomes = trio.Event(), list[Outcome]()

    def take(outcome: Outcome) -> None:
        outcomes.append(outcome)
        done.set()

    link.submit(*encode_request(request), take)
    with trio.move_on_after(ANSWER_S):
        await done.wait()
    return outcomes[0] if outcomes else None


def _grouped(wanted: dict[Key, str]) -> dict[str, list[Key]]:
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
