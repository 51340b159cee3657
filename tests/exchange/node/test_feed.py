"""The feed reads behind the log; who follows hears of it in order, while its key is good (C8)."""

import trio

from exchange.domain.units import Lsn
from exchange.engine.messages import Proof
from exchange.node.feed import KEYS_US, UNSENT_MAX, Feed, Publication
from exchange.store.store import Write
from exchange.wire.feeds import FeedFilter
from tests.exchange.node.shop import ALICE, ALICE_KEY, Shop, event, order, rich, subscribed


async def test_own_orders_and_fills_are_private() -> None:
    """Interfaces section 3: the channel `orders` is the key's own."""
    shop = Shop(is_authenticated=True)
    async with shop.open() as nursery:
        client = shop.connect(nursery)
        follow = {"channels": ["orders"]}
        await client.send(rich(1, "feed.subscribe", **follow))
        assert await client.code() == "no_account"
        await client.send({**rich(2, "feed.subscribe", **follow), "auth": "1-1.wrong"})
        assert await client.code() == "unauthorized"
        await client.send({**rich(3, "feed.subscribe", **follow), "auth": f"1-1.{ALICE_KEY}"})
        await client.answer()
        snapshot = await event(client)
        bob = shop.connect(nursery)
        await bob.send({"user_id": "1-2", "api_key": ALICE_KEY}, order("sell", 10, 1))
        await bob.answer()
        alice = shop.connect(nursery)
        await alice.send({"user_id": "1-1", "api_key": ALICE_KEY}, order("buy", 10, 3))
        await alice.answer()
        update = await event(client)

    assert (snapshot["kind"], snapshot["orders"]) == ("snapshot", [])
    assert (update["kind"], update["seq"], update["user_id"]) == ("update", 1, "1-1")
    assert [each["filled_quantity"] for each in update["orders"]] == ["1"]
    assert [(fill["seq"], fill["role"]) for fill in update["fills"]] == [(1, "taker")]


async def test_nothing_is_told_before_it_is_durable() -> None:
    """E3, S8: market data waits for the log as answers do."""
    shop = Shop()
    written: list[Write] = []

    class Never:
        kind = "never"
        is_busy = False

        def submit(self, write: Write) -> None:
            written.append(write)
            self.is_busy = True

        def finished(self) -> tuple[Write, Proof] | None:
            return None

        def close(self) -> None: ...

    released: list[Publication] = []
    shop.feed.release = released.append  # type: ignore[assignment,method-assign]
    never = Never()
    shop.hub.turn(never)
    shop.feed.subscribe(1, FeedFilter(["book"], ["AAPL"]), ALICE)
    shop.hub.turn(never)

    assert written
    assert shop.hub.durable_lsn == Lsn(1)
    assert not released


async def test_unknown_symbol_and_channel_are_refused() -> None:
    """Faults 3."""
    shop = Shop()
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        for value, code in (
            ({"channels": ["book"], "symbols": ["NONE"]}, "unknown_instrument"),
            ({"channels": ["book"]}, "missing_field"),
            ({"channels": ["gossip"]}, "invalid_value"),
            ({"channels": []}, "invalid_value"),
            ({"channels": ["trades"], "symbols": ["AAPL"], "cursor": "%%%"}, "invalid_value"),
        ):
            await client.send(rich(1, "feed.subscribe", **value))
            assert await client.code() == code
    assert not shop.feed.is_followed


async def test_reader_that_has_left_is_forgotten() -> None:
    """Faults 3: nothing is gathered for those who are gone."""
    shop = Shop()
    async with shop.open() as nursery:
        reader = await subscribed(shop, nursery, "trades", "heartbeat")
        leaver = await subscribed(shop, nursery, "trades")
        unfollow = rich(2, "feed.unsubscribe", channels=["trades"], symbols=["AAPL"])
        await leaver.send(unfollow)
        await reader.stream.aclose()
        while shop.feed.is_followed:
            await trio.lowlevel.checkpoint()


class Readers:
    """Connections that take lines, and how far behind each is."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, bytes]] = []
        self.behind: dict[int, int] = {}

    def send_lines(self, connection: int, lines: bytes) -> None:
        self.lines.append((connection, lines))

    def unsent(self, connection: int) -> int:
        return self.behind.get(connection, 0)


def a_feed() -> tuple[Feed, Readers]:
    shop = Shop()
    shop.hub._decide()
    readers = Readers()
    feed = Feed(shop.engine.soft, wall_us=shop.clocks.wall_us)
    feed.connect(readers)
    return feed, readers


def beat(feed: Feed, now_us: int) -> None:
    publication = feed.collect([], [], now_us)
    if publication is not None:
        feed.release(publication)


def test_pass_starts_with_another_reader_each_time() -> None:
    """Issue: nobody is always first."""
    feed, readers = a_feed()
    for connection in (1, 2, 3):
        feed.subscribe(connection, FeedFilter(["heartbeat"]), ALICE)
    firsts = set()
    for second in range(1, 7):
        readers.lines.clear()
        beat(feed, second * 1_000_000)
        if second > 1:
            firsts.add(readers.lines[0][0])
            assert {connection for connection, _ in readers.lines} == {1, 2, 3}

    assert firsts == {1, 2, 3}


def test_slow_reader_gets_nothing_until_it_has_caught_up_and_then_a_snapshot() -> None:
    """Faults 3: a reader that never reads costs a bounded amount; the others notice nothing."""
    feed, readers = a_feed()
    for connection in (1, 2):
        feed.subscribe(connection, FeedFilter(["heartbeat", "book"], ["AAPL"]), ALICE)
    beat(feed, 1)
    readers.behind[1] = UNSENT_MAX + 1
    for second in range(1, 4):
        beat(feed, second * 1_000_000)
    assert len([line for to, line in readers.lines if to == 1]) == 1
    readers.behind[1] = 0
    readers.lines.clear()
    beat(feed, 5_000_000)

    told = b"".join(line for to, line in readers.lines if to == 1)
    assert b'"kind":"resync"' in told
    assert b'"kind":"snapshot"' in told


async def test_revoked_key_closes_the_own_orders_at_once() -> None:
    """Issue: a key that is revoked hears of nothing that is done after it; others go on."""
    shop = Shop(is_authenticated=True)
    async with shop.open() as nursery:
        owner = shop.connect(nursery)
        await owner.send({"user_id": "1-1", "api_key": ALICE_KEY})
        [made] = await owner.ask(rich(1, "key.create", scopes=["read"]))
        key = made["value"]  # type: ignore[index]
        spy, friend = shop.connect(nursery), shop.connect(nursery)
        for client, api_key in ((spy, key["api_key"]), (friend, f"1-1.{ALICE_KEY}")):
            follow = rich(2, "feed.subscribe", channels=["orders"])
            await client.send({**follow, "auth": api_key})
            await client.answer()
            assert (await event(client))["kind"] == "snapshot"
        await owner.ask(rich(3, "key.revoke", key_id=key["key_id"]), order("buy", 9, 1))
        told = await event(spy)
        update = await event(friend)
        [refused] = await spy.ask({**rich(4, "feed.subscribe", channels=["orders"]), **auth(key)})

    assert (told["kind"], told["user_id"]) == ("closed", "1-1")
    assert update["kind"] == "update"
    assert refused["value"]["code"] == "unauthorized"  # type: ignore[index]


def auth(key: dict[str, str]) -> dict[str, str]:
    return {"auth": key["api_key"]}


def test_key_that_expires_closes_the_own_orders() -> None:
    """Issue: within a second, though nothing happens."""
    shop = Shop()
    shop.hub._decide()
    good = {b"main": True, b"other": True}
    readers = Readers()
    feed = Feed(shop.engine.soft, wall_us=shop.clocks.wall_us, may_read=lambda _a, key: good[key])
    feed.connect(readers)
    for connection, key in ((1, b"main"), (2, b"other")):
        assert feed.subscribe(connection, FeedFilter(["orders"]), ALICE, key) is None
    beat(feed, KEYS_US)
    good[b"other"] = False
    readers.lines.clear()
    assert feed.is_due
    beat(feed, 2 * KEYS_US)
    refused = feed.subscribe(2, FeedFilter(["orders"]), ALICE, b"other")

    assert [(to, b'"kind":"closed"' in line) for to, line in readers.lines] == [(2, True)]
    assert refused is not None
