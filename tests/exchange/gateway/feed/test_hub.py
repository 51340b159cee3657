"""Events reach all subscribers of a gateway: gathered, encoded once, without a gap (C8)."""

import socket
from typing import Any

import msgspec
import trio

from tests.exchange.gateway.house import House, Person
from tests.exchange.gateway.sockets import FeedSocket, a_socket

SECONDS = 20.0  # a bound for a broken test, not a wait


async def ok(socket: FeedSocket, **value: object) -> None:
    assert (await socket.ask("feed.subscribe", **value))["type"] == "ok"


async def in_thread(call: Any, *arguments: object, **terms: object) -> Any:  # noqa: ANN401
    return await trio.to_thread.run_sync(lambda: call(*arguments, **terms))


async def traded(house: House, seller: Person, buyer: Person, symbol: str, price: str) -> None:
    await in_thread(seller.order, "sell", symbol=symbol, price=price)
    await in_thread(buyer.order, "buy", symbol=symbol, price=price)


async def test_trades_and_book_arrive(house: House, alice: Person) -> None:
    """C8: the book as a snapshot and deltas, trades with the tape's seq."""
    house.list_symbol("WSAA")
    house.deposit(alice, "WSAA", "100")
    bob = house.open_account(USD="10000")
    with trio.fail_after(SECONDS):
        async with a_socket(house.address, house.context) as socket:
            await ok(socket, channels=["trades", "book"], symbols=["WSAA"])
            snapshot = await socket.event("book")
            await traded(house, alice, bob, "WSAA", "20")
            trade = await socket.event("trades")

    assert (snapshot["kind"], snapshot["seq"]) == ("snapshot", 0)
    assert (trade["seq"], trade["price"], trade["node"]) == (1, "20", 1)


async def test_second_subscriber_is_brought_level_by_the_gateway(
    house: House, alice: Person
) -> None:
    """C8: one upstream for all; the snapshot is the gateway's own."""
    house.list_symbol("WSBB")
    with trio.fail_after(SECONDS):
        async with a_socket(house.address, house.context) as first:
            await ok(first, channels=["book"], symbols=["WSBB"])
            await first.event()
            await in_thread(alice.order, symbol="WSBB", price="9")
            delta = await first.event()
            async with a_socket(house.address, house.context) as second:
                await ok(second, channels=["book"], symbols=["WSBB"])
                snapshot = await second.event()
                await in_thread(alice.order, symbol="WSBB", price="8")
                pair = await first.event(), await second.event()

    assert (snapshot["kind"], snapshot["seq"]) == ("snapshot", delta["seq"])
    assert snapshot["bids"] == [["9", "1", 1]]
    assert snapshot["crc32"] == delta["crc32"]
    assert pair[0] == pair[1]


async def test_reader_resumes_by_cursor(house: House, alice: Person) -> None:
    """C8: events missed while it was away come first, from the ring or from the tape."""
    house.list_symbol("WSCC")
    house.deposit(alice, "WSCC", "100")
    bob = house.open_account(USD="10000")
    with trio.fail_after(SECONDS):
        async with a_socket(house.address, house.context) as first:
            await ok(first, channels=["trades"], symbols=["WSCC"])
            await traded(house, alice, bob, "WSCC", "20")
            seen = await first.event()
        await traded(house, alice, bob, "WSCC", "21")
        await traded(house, alice, bob, "WSCC", "22")
        async with a_socket(house.address, house.context) as again:
            await ok(again, channels=["trades"], symbols=["WSCC"], cursor=seen["cursor"])
            missed = [await again.event(), await again.event()]

    assert [event["seq"] for event in missed] == [2, 3]
    assert [event["price"] for event in missed] == ["21", "22"]


async def test_own_orders_need_the_own_key(house: House, alice: Person) -> None:
    """Interfaces section 3: private, whatever the subscriber says."""
    mallory = await in_thread(house.open_account)
    forged = f"{alice.user_id}.{mallory.key.partition('.')[2]}"
    with trio.fail_after(SECONDS):
        async with a_socket(house.address, house.context) as nobody:
            refused = await nobody.ask("feed.subscribe", channels=["orders"])
        async with a_socket(house.address, house.context, forged) as thief:
            stolen = await thief.ask("feed.subscribe", channels=["orders"])
        async with a_socket(house.address, house.context, alice.key) as own:
            await ok(own, channels=["orders"])
            snapshot = await own.event()
            await in_thread(alice.order)
            update = await own.event()

    assert refused["value"]["code"] == "unauthorized"
    assert stolen["value"]["code"] == "unauthorized"
    assert (snapshot["kind"], snapshot["user_id"]) == ("snapshot", alice.user_id)
    assert update["orders"][0]["status"] == "open"


async def test_heartbeat_comes_each_second(house: House) -> None:
    """C8."""
    with trio.fail_after(SECONDS):
        async with a_socket(house.address, house.context) as socket:
            await ok(socket, channels=["heartbeat"])
            beats = [await socket.event(), await socket.event()]

    assert beats[1]["seq"] == beats[0]["seq"] + 1


async def test_unknown_symbol_is_refused_and_the_connection_goes_on(house: House) -> None:
    """Faults 3."""
    with trio.fail_after(SECONDS):
        async with a_socket(house.address, house.context) as socket:
            refused = await socket.ask("feed.subscribe", channels=["book"], symbols=["NONE"])
            await ok(socket, channels=["book"], symbols=["AAPL"])

    assert refused["value"]["code"] == "unknown_instrument"


async def test_revoked_key_closes_the_own_orders_at_once_and_no_other(
    house: House, alice: Person
) -> None:
    """Issue: who holds the revoked key hears nothing more; who holds a good one misses nothing."""
    house.list_symbol("WSRR")
    made = await trio.to_thread.run_sync(new_read_key, house, alice)
    async with (
        a_socket(house.address, house.context, alice.key) as own,
        a_socket(house.address, house.context, made["api_key"]) as spy,
    ):
        with trio.fail_after(SECONDS):
            for socket in (own, spy):
                await ok(socket, channels=["orders"])
                await socket.event("orders")
            await trio.to_thread.run_sync(revoke, house, alice, made["key_id"])
            told = await until_closed(spy)
            await in_thread(alice.order, symbol="WSRR", price="9")
            update = await own.event("orders")
            while not update.get("orders"):
                update = await own.event("orders")
            again = await spy.ask("feed.subscribe", channels=["orders"])

    assert told["user_id"] == alice.user_id
    assert update["orders"][0]["symbol"] == "WSRR"
    assert again["value"]["code"] == "unauthorized"


async def test_revoked_key_closes_every_connection_that_it_opened(
    house: House, alice: Person
) -> None:
    """Issue: each of them is told, and the feed goes on for all others."""
    house.list_symbol("WSSS")
    made = await trio.to_thread.run_sync(new_read_key, house, alice)
    key = made["api_key"]
    async with (
        a_socket(house.address, house.context, key) as spy,
        a_socket(house.address, house.context, key) as other_spy,
    ):
        with trio.fail_after(SECONDS):
            for each in (spy, other_spy):
                await ok(each, channels=["orders"])
                await each.event("orders")
            await trio.to_thread.run_sync(revoke, house, alice, made["key_id"])
            for each in (spy, other_spy):
                await until_closed(each)
            await ok(spy, channels=["book"], symbols=["WSSS"])
            await spy.event("book")
            await in_thread(alice.order, symbol="WSSS", price="9")
            delta = await spy.event("book")

    assert delta["bids"] == [["9", "1", 1]]


async def until_closed(socket: FeedSocket) -> dict[str, Any]:
    told: dict[str, Any] = await socket.event("orders")
    while told["kind"] != "closed":
        told = await socket.event("orders")
    return told


def new_read_key(house: House, person: Person) -> dict[str, str]:
    made: dict[str, str] = tcp(house, person, "key.create", scopes=["read"])["value"]
    return made


def revoke(house: House, person: Person, key_id: str) -> None:
    assert tcp(house, person, "key.revoke", key_id=key_id)["type"] == "ok"


def tcp(house: House, person: Person, verb: str, **value: object) -> dict[str, Any]:
    """Ask the node itself: keys are made by line-JSON."""
    host, port = house.tcp.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        hello = {"user_id": person.user_id, "api_key": person.key}
        for line in (hello, {"id": 1, "type": verb, "value": value}):
            connection.sendall(msgspec.json.encode(line) + b"\n")
        answer: dict[str, Any] = msgspec.json.decode(connection.makefile("rb").readline())
        return answer
