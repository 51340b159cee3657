"""A replay finds what is wrong, and says so only then."""

from typing import Any

import msgspec
import pytest

from exchange.client.cluster_process import LocalCluster
from exchange.client.errors import UsageError
from exchange.client.flow import Aggress, Flow, Hit, Place
from exchange.client.flow_random import generate
from exchange.client.oracle import Step
from exchange.client.replay import BookInUseError, _different, latency, replay
from exchange.domain.instruments import Instrument, plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import Asset, Lots, Symbol, Ticks


def quiet(_what: str, _done: int, _total: int) -> None:
    """Show no progress."""


def renamed(flow: Flow, prefix: str) -> Flow:
    """Trade the same on instruments of our own: other tests leave orders in theirs."""
    return Flow(
        tuple(_renamed(one, prefix) for one in flow.instruments),
        flow.accounts,
        [
            msgspec.structs.replace(action, symbol=Symbol(prefix + action.symbol))
            for action in flow.actions
        ],
    )


def _renamed(one: Instrument, prefix: str) -> Instrument:
    base = prefix + one.symbol
    return msgspec.structs.replace(one, symbol=Symbol(base), base=Asset(base))


async def test_sequential_replay_equals_the_naive_book_on_every_line(
    live: LocalCluster, symbol: str
) -> None:
    """B3, S13: through two nodes, self-trades and amendments among it."""
    flow = renamed(generate(seed=3, instruments=2, accounts=6, orders=400), symbol)
    async with live.connect() as cluster:
        report = await replay(cluster, flow, source="x", pace="sequential", progress=quiet)

    assert report.is_right, report.first_problems
    assert report.is_naive_equal
    assert (report.is_books_equal, report.is_conserved) == (True, True)
    assert report.trades > 50
    assert report.fills == 2 * report.trades
    assert report.orders < report.actions == 400
    assert report.acknowledged is not None
    assert report.settled is not None


async def test_replay_at_full_speed_keeps_books_and_sums(live: LocalCluster, symbol: str) -> None:
    """B4, S13: whatever overtakes whatever."""
    flow = renamed(generate(seed=4, instruments=2, accounts=6, orders=1500), symbol)
    async with live.connect() as cluster:
        report = await replay(cluster, flow, source="x", pace="max", progress=quiet)

    assert report.is_right, report.first_problems
    assert report.is_naive_equal is None
    assert (report.is_books_equal, report.is_conserved) == (True, True)
    assert report.fills == 2 * report.trades


@pytest.mark.parametrize("pace", ["sequential", "max"])
async def test_book_with_orders_of_others_is_refused(
    live: LocalCluster, symbol: str, pace: str
) -> None:
    """Nothing could be compared; exit code 2."""
    instrument = plain_ticker(symbol)
    bid = Place(1, instrument.symbol, "a", 0, Side.BUY, Ticks(100), Lots(5))
    flow = Flow((instrument,), 3, [bid])
    async with live.connect() as cluster:
        await replay(cluster, flow, source="x", pace="sequential", progress=quiet)
        again = await replay(cluster, flow, source="x", pace=pace, progress=quiet)
        assert again.is_right, "a replay leaves no orders behind"
        new = await cluster.open_account()
        client = cluster.account(new.user_id, new.api_key)
        await client.deposit("USD", "100")
        await client.place(symbol, "buy", price="1.00", quantity="1")
        with pytest.raises(BookInUseError) as caught:
            await replay(cluster, flow, source="x", pace=pace, progress=quiet)

    assert caught.value.exit_code == UsageError.exit_code


async def test_money_that_is_missing_is_found(
    live: LocalCluster, symbol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S13: conservation is exact, so one cent is enough."""
    instrument = plain_ticker(symbol)
    bid = Place(1, instrument.symbol, "a", 0, Side.BUY, Ticks(100), Lots(5))
    flow = Flow((instrument,), 3, [bid])
    async with live.connect() as cluster:
        original = cluster.account

        def account(user_id: str, api_key: str = "") -> Any:  # noqa: ANN401 - the client itself
            client = original(user_id, api_key)
            get = client.get

            async def short(**options: float) -> Any:  # noqa: ANN401 - what it answers
                found = await get(**options)
                cash = found.balances.get("USD")
                if cash is None:
                    return found
                less = msgspec.structs.replace(cash, held="4.99")
                return msgspec.structs.replace(found, balances={**found.balances, "USD": less})

            monkeypatch.setattr(client, "get", short)
            return client

        monkeypatch.setattr(cluster, "account", account)
        report = await replay(cluster, flow, source="x", pace="sequential", progress=quiet)

    assert not report.is_right
    assert not report.is_conserved
    assert report.first_problems == ["0.01 USD lost"]


def test_line_that_went_another_way_is_named() -> None:
    """B3: by its line, with both answers."""
    action = Aggress(9, Symbol("X"), "t", 0, Side.BUY, Ticks(1), Lots(2))
    steps = [Step(action, (Hit("a", Lots(2)),), Lots(2))]

    assert _different(steps, {"t": msgspec.convert({"a": 2}, dict[str, int])}) == []
    (told,) = _different(steps, {"t": {"b": 2}})  # type: ignore[dict-item]
    assert told.startswith("line 9: order t hit {'b': 2}, the naive book {'a': 2}")


def test_percentiles_are_of_what_was_measured() -> None:
    """Issue item 8: latency percentiles."""
    found = latency([n / 1000 for n in range(1, 101)])

    assert found is not None
    assert (found.count, found.p50_ms, found.p99_ms, found.max_ms) == (100, 51.0, 100.0, 100.0)
    assert latency([]) is None
