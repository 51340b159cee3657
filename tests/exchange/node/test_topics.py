"""What is told of a topic: a snapshot, deltas without a gap, and no ghost trades (C8, S8)."""

from exchange.domain.units import Symbol
from exchange.node.topics import RING
from exchange.wire.feeds import TRADES, Topic, checksum, write_cursor
from tests.exchange.node.shop import Shop, event, next_window, order, subscribed


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
