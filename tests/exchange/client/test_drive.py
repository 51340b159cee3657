"""Order flow is turned into requests, and at full speed into lanes."""

import pytest
import trio

from exchange.client.cluster_process import LocalCluster
from exchange.client.connection import Repeat
from exchange.client.drive import Owners, Writer, drive_max, drive_sequential
from exchange.client.flow import Aggress, Amend, Cancel, Flow, Hit, Place
from exchange.client.flow_random import generate
from exchange.client.oracle import Step, rehearse
from exchange.client.traders import open_traders
from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import Lots, Symbol, Ticks

X = Symbol("X")
PLACE = Place(1, X, "a", 3, Side.SELL, Ticks(1050), Lots(5))
AGGRESS = Aggress(2, X, "t", 4, Side.BUY, Ticks(1050), Lots(5))


def step(action: object, **more: object) -> Step:
    """Make a step of a plan."""
    return Step(action, (), Lots(0), **more)  # type: ignore[arg-type]


def test_resting_order_is_created_and_may_be_repeated() -> None:
    """Faults 2.15: the key of the source is the client order id."""
    request = Writer({X: plain_ticker("X")}).request(step(PLACE))

    assert request.verb == "order.create"
    assert (request.repeat, request.wait, request.client_order_id) == (Repeat.SAFE, None, "a")
    assert request.value == {
        "symbol": "X",
        "side": "sell",
        "time_in_force": "gtc",
        "price": "10.5",
        "quantity": "5",
        "client_order_id": "a",
    }


def test_aggressor_waits_until_nothing_is_in_doubt() -> None:
    """S3: an immediate-or-cancel order is final then."""
    request = Writer({X: plain_ticker("X")}).request(step(AGGRESS))

    assert request.wait == "done"
    assert request.value["time_in_force"] == "ioc"


def test_order_that_will_trade_waits_as_well() -> None:
    """B3: one at a time, so that the next meets a settled book."""
    trading = Step(PLACE, (Hit("b", Lots(1)),), Lots(1))

    assert Writer({X: plain_ticker("X")}).request(trading).wait == "done"


@pytest.mark.parametrize(
    ("action", "total", "verb", "value"),
    [
        (Cancel(1, X, "a"), None, "order.cancel", {"client_order_id": "a"}),
        (
            Cancel(1, X, "a", Lots(2)),
            Lots(3),
            "order.amend",
            {"client_order_id": "a", "quantity": "3"},
        ),
        (
            Amend(1, X, "a", Ticks(1000), Lots(4)),
            Lots(6),
            "order.amend",
            {"client_order_id": "a", "quantity": "6", "price": "10"},
        ),
        (Amend(1, X, "a", Ticks(1000), Lots(4)), None, "order.cancel", {"client_order_id": "a"}),
    ],
)
def test_cancel_lowers_the_total_or_removes(
    action: object, total: Lots | None, verb: str, value: dict[str, str]
) -> None:
    """Interfaces 1: `quantity` of an amendment is the new total."""
    request = Writer({X: plain_ticker("X")}).request(step(action, total=total))

    assert (request.verb, request.value) == (verb, value)


def test_action_belongs_to_the_account_that_placed_the_order() -> None:
    """C1: the owner alone may change an order."""
    owners = Owners()

    found = [owners.of(action) for action in (PLACE, AGGRESS, Cancel(3, X, "a"))]

    assert found == [3, 4, 3]


async def test_difference_to_the_naive_book_is_told_by_line(
    live: LocalCluster, symbol: str
) -> None:
    """B3: on every line, not only at the end."""
    instrument = plain_ticker(symbol)
    bid = Place(7, instrument.symbol, "a", 0, Side.BUY, Ticks(100), Lots(5))
    flow = Flow((instrument,), 3, [bid])
    async with live.connect() as cluster:
        traders = await open_traders(cluster, flow, lambda *_: None)
        wrong = [Step(bid, (), Lots(2))]
        tally = await drive_sequential(traders, wrong, progress=lambda *_: None)

    assert tally.problems == ["line 7: 0 lots filled, the naive book fills 2"]


async def test_lanes_go_on_over_a_lost_connection(live: LocalCluster) -> None:
    """Faults 2.15, 2.17: what was under way is asked again, and has happened once."""
    flow = generate(seed=11, instruments=1, accounts=4, orders=400)
    plan = rehearse(flow)
    async with live.connect() as cluster:
        traders = await open_traders(cluster, flow, lambda *_: None)
        done = 0

        def progress(what: str, count: int, _total: int) -> None:
            nonlocal done
            if what == "trading" and not done:
                done = count
                for client in traders.clients:
                    link = client.connection._link
                    assert link is not None
                    link.close()

        with trio.fail_after(60):
            tally = await drive_max(traders, plan.steps, window=8, progress=progress)
        found = 0
        for client in traders.clients:
            found += len((await client.orders(status="all", limit=1000)).orders)
            await client.cancel_all()

    assert tally.repeated > 0
    assert tally.problems == []
    assert found == tally.orders == len(tally.order_ids)
