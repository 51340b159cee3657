"""The feed reads behind the log: snapshot, deltas without a gap, and no ghost trades (C8, S8)."""

from typing import Any

import trio

from exchange.domain.units import Lsn, Symbol
from exchange.engine.messages import Proof
from exchange.node import feed as feed_module
from exchange.node.feed import RING, UNSENT_MAX, Feed, Publication
from exchange.store.store import Write
from exchange.wire.feeds import TRADES, FeedFilter, Topic, checksum, write_cursor
from tests.exchange.node.shop import ALICE, ALICE_KEY, Client, Shop, order, rich

WINDOW_US = feed_module.BOOK_US


async def subscribed(shop: Shop, nursery: trio.Nursery, *channels: str, **more: object) -> Client:
    """Return a client that follows channels of AAPL, its acknowledgement read."""
    client = await shop.enter(nursery)
    value = {"channels": channels, "symbols": ["AAPL"], **more}
    assert await client.ask(rich(1, "feed.subscribe", **value)) == [
        {"id": 1, "type": "ok", "value": {}}
    ]
    return client


async def event(client: Client) -> dict[str, Any]:
    """Return the next event."""
    answer = await client.answer()
    assert isinstance(answer, dict), "an event is an object"
    assert answer["type"] == "feed", answer
    return answer


def next_window(shop: Shop) -> None:
    shop.clocks.now_us += WINDOW_US
    shop.hub.wake()


async def test_trade_is_told_once_by_its_decider() -> None:
    """S8, C8: with the seq of the tape."""
    shop = Shop()
    async with shop.open() as nursery:
        reader = await subscribed(shop, nursery, "trades")
        alice, bob = await shop.enter(nursery), await shop.enter(nursery, "1-2")
        await alice.ask(order("sell", 10, 5))
        await bob.ask(order("buy", 10, 2), order("buy", 10, 1))
        events = [await event(reader) for _ in range(2)]

    assert [(e["seq"], e["quantity"], e["aggressor"]) for e in events] == [
        (1, "2", "buy"),
        (2, "1", "buy"),
    ]
    assert {e["node"] for e in events} == {1}


async def test_book_is_a_snapshot_then_deltas_without_a_gap() -> None:
    """C8: what the reader builds is the book, as the checksum says."""
    shop = Shop()
    async with shop.open() as nursery:
        alice = await shop.enter(nursery)
        await alice.ask(order("buy", 10, 5))
        reader = await subscribed(shop, nursery, "book")
        events = [await event(reader)]
        for price, quantity in ((11, 3), (9, 1), (11, 2)):
            await alice.ask(order("buy", price, quantity))
            next_window(shop)
            events.append(await event(reader))
        await alice.ask({"type": "D order", "value": order("buy", 10, 5)["value"]})
        next_window(shop)
        events.append(await event(reader))

    book: dict[str, str] = {}
    for one in events:
        book |= {price: quantity for price, quantity, _ in one["bids"]}
    best = sorted(((p, q) for p, q in book.items() if q != "0"), key=lambda row: -float(row[0]))
    assert [one["kind"] for one in events] == ["snapshot", *["delta"] * 4]
    assert [one["seq"] for one in events] == [0, 1, 2, 3, 4]
    assert best == [("11", "5"), ("9", "1")]
    assert events[-1]["crc32"] == checksum(best, [])


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


async def test_reader_resumes_where_it_was() -> None:
    """C8: by the cursor of the last event seen, trades from the tape, a book from the ring."""
    shop = Shop()
    async with shop.open() as nursery:
        alice, bob = await shop.enter(nursery), await shop.enter(nursery, "1-2")
        first = await subscribed(shop, nursery, "trades", "book")
        stays = await subscribed(shop, nursery, "book")
        await event(stays)
        seen = [await event(first)]
        await first.stream.aclose()
        await alice.ask(order("sell", 10, 5))
        next_window(shop)
        await event(stays)
        await bob.ask(order("buy", 10, 1))
        again = await subscribed(shop, nursery, "book", cursor=[seen[0]["cursor"]])
        delta = await event(again)
        tape = write_tape_cursor(0)
        later = await subscribed(shop, nursery, "trades", cursor=tape)
        trade = await event(later)

    assert (delta["kind"], delta["seq"]) == ("delta", 1)
    assert (trade["channel"], trade["seq"]) == ("trades", 1)


def write_tape_cursor(seq: int) -> str:
    return write_cursor(1, 0, 0, Topic(TRADES, Symbol("AAPL")), seq)


async def test_cursor_that_is_too_old_gets_a_snapshot() -> None:
    """C8: the ring is bounded."""
    shop = Shop()
    async with shop.open() as nursery:
        alice = await shop.enter(nursery)
        stays = await subscribed(shop, nursery, "book")
        cursor = (await event(stays))["cursor"]
        for _ in range(RING + 2):
            await alice.ask(order("buy", 10, 1))
            next_window(shop)
            await event(stays)
        again = await subscribed(shop, nursery, "book", cursor=cursor)
        told = await event(again)

    assert (told["kind"], told["seq"]) == ("snapshot", RING + 2)


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
