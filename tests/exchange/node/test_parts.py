"""Long answers are gathered in parts, in their place."""

import pytest

from exchange.domain.instruments import plain_ticker
from exchange.engine.inputs import ListInstrument
from exchange.node import parts as module
from tests.exchange.node.shop import Shop, order, rich


async def test_market_has_every_symbol_and_takes_several_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Interfaces section 1; faults 3: one turn does a part of it."""
    monkeypatch.setattr(module, "SYMBOLS", 2)
    shop = Shop()
    names = [f"S{number}" for number in range(7)]
    shop.hub.feed([ListInstrument(0, plain_ticker(name)) for name in names])
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        await client.ask({"type": "R balance"})
        turns = shop.hub.turns
        (market,) = await client.ask({"type": "R market"})

    assert isinstance(market, dict)
    assert list(market) == ["AAPL", *names]
    assert shop.hub.turns - turns >= 4


async def test_market_shows_what_the_same_client_placed_before_and_nothing_after() -> None:
    """S9: requests of a connection take effect in their order."""
    shop = Shop()
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        first = [order("sell", 10, 1)] * 40  # more than one round of the inbox takes
        *_, market, _ = await client.ask(*first, {"type": "R market"}, order("sell", 11, 1))

    assert market == {"AAPL": {"sell": [{"quantity": 40, "price": 10}], "buy": []}}


async def test_own_orders_take_several_turns_and_are_all_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Interfaces section 1: `R order`; faults 3: an account with many orders stops nobody."""
    monkeypatch.setattr(module, "ORDERS", 10)
    shop = Shop()
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        await client.ask(*[order("sell", 10 + number % 3, 1) for number in range(40)])
        turns = shop.hub.turns
        (own,) = await client.ask({"type": "R order"})

    assert own == {
        "AAPL": {
            "sell": [
                {"quantity": 14, "price": 10},
                {"quantity": 13, "price": 11},
                {"quantity": 13, "price": 12},
            ],
            "buy": [],
        }
    }
    assert shop.hub.turns - turns >= 5


async def test_candles_are_folded_from_the_tape_of_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Interfaces section 1: `candles.get`, read page by page."""
    monkeypatch.setattr(module, "PAGE", 2)
    shop = Shop()
    async with shop.open() as nursery:
        seller, buyer = await shop.enter(nursery), await shop.enter(nursery, "1-2")
        for price in (20, 22, 21, 19, 20.5):
            await seller.ask(order("sell", price, 2))
            await buyer.ask(order("buy", price, 2))
        shop.clocks.now_us += 1_000_000
        candles, none = await buyer.ask(
            rich(1, "candles.get", symbol="AAPL", interval="1d"),
            rich(2, "candles.get", symbol="AAPL", **{"from": "2020-01-01", "to": "2020-01-01T01"}),
        )

    assert isinstance(candles, dict)
    assert (candles["id"], candles["type"]) == (1, "candles")
    (candle,) = candles["value"]["candles"]
    assert candle.pop("ts").endswith("T00:00:00.000000Z")
    assert candle == {
        "open": "20", "high": "22", "low": "19", "close": "20.5", "volume": "10", "trades": 5
    }  # fmt: skip
    assert none == {"id": 2, "type": "candles", "value": {"candles": []}}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"symbol": "NOPE"}, "unknown_instrument"),
        ({"symbol": "no"}, "invalid_symbol"),
        ({"symbol": "AAPL", "from": "soon"}, "invalid_value"),
        ({"symbol": "AAPL", "from": "2020-01-01"}, "invalid_value"),
        ({"symbol": "AAPL", "interval": "2m"}, "invalid_value"),
    ],
)
async def test_range_that_is_none_is_refused(value: dict[str, object], code: str) -> None:
    """Interfaces section 1: one error line, and the connection goes on."""
    shop = Shop()
    async with shop.open() as nursery:
        client = await shop.enter(nursery)
        await client.send(rich(1, "candles.get", **value), {"type": "R balance"})

        assert await client.code() == code
        assert await client.answer() == 10_000


async def test_only_a_few_are_gathered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults 3: a thousand clients that ask for candles share the same few turns."""
    monkeypatch.setattr(module, "AT_ONCE", 1)
    shop = Shop()
    async with shop.open() as nursery:
        clients = [await shop.enter(nursery) for _ in range(20)]
        for client in clients:
            await client.send(rich(1, "candles.get", symbol="AAPL"))
        answers = [await client.answer() for client in clients]

    assert answers == [{"id": 1, "type": "candles", "value": {"candles": []}}] * 20


async def test_client_that_leaves_gives_its_place_to_others() -> None:
    """Faults 2.17."""
    shop = Shop()
    async with shop.open() as nursery:
        for _ in range(module.AT_ONCE * 2):
            gone = await shop.enter(nursery)
            await gone.send({"type": "R market"})
            await gone.stream.aclose()
        client = await shop.enter(nursery)

        assert await client.ask({"type": "R market"}) == [{"AAPL": {"sell": [], "buy": []}}]
