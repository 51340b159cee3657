"""The naive book, fed with real flow, says what a cluster must do on every line."""

import gzip
from pathlib import Path

from exchange.client.flow import Action, Aggress, Amend, Cancel, Hit, Place
from exchange.client.flow_file import read_flow
from exchange.client.oracle import Oracle, agreement, is_as_expected, rehearse
from exchange.domain.orders import Side
from exchange.domain.units import Lots, Symbol, Ticks

ROOT = Path(__file__).parents[3]
X = Symbol("X")


def place(key: str, side: Side, price: int, quantity: int) -> Place:
    return Place(1, X, key, 0, side, Ticks(price), Lots(quantity))


def test_naive_book_gives_the_fills_of_the_file_on_1278_of_1385_lines() -> None:
    """The data's description: the naive book is the oracle, the file the plausibility check."""
    with gzip.open(ROOT / "bench" / "data" / "esh4.csv.gz", "rt") as file:
        plan = rehearse(read_flow(file, "ESH4", accounts=12))

    assert agreement(plan.steps) == (1278, 1385)
    crossing = [step for step in plan.steps if step.hits and not isinstance(step.action, Aggress)]
    assert len(crossing) == 6


def test_fills_do_not_depend_on_the_number_of_accounts() -> None:
    """Spreading orders over accounts changes nothing as long as none meets itself."""
    fills = []
    for accounts in (3, 30):
        with gzip.open(ROOT / "tests" / "data" / "esh4-12500.csv.gz", "rt") as file:
            plan = rehearse(read_flow(file, "ESH4", accounts=accounts))
        fills.append([step.hits for step in plan.steps])

    assert fills[0] == fills[1]


def test_every_fill_of_the_equity_file_is_reproduced() -> None:
    """The data's description: `fill` names the resting order that was executed."""
    with gzip.open(ROOT / "bench" / "data" / "aapl.csv.gz", "rt") as file:
        plan = rehearse(read_flow(file, "AAPL", accounts=4))

    assert agreement(plan.steps) == (63, 63)


def test_amendment_names_the_total_filled_part_included() -> None:
    """Interfaces 1: `quantity` is the new total, as in FIX."""
    oracle = Oracle([X])
    steps = [
        oracle.step(action)
        for action in (
            place("a", Side.SELL, 10, 5),
            Aggress(2, X, "t", 1, Side.BUY, Ticks(10), Lots(2)),
            Amend(3, X, "a", Ticks(11), Lots(7)),
            Cancel(4, X, "a", Lots(3)),
            Cancel(5, X, "a", Lots(4)),
            Cancel(6, X, "a", Lots(4)),
        )
    ]

    assert steps[1].hits == (Hit("a", Lots(2)),)
    assert [step.total for step in steps] == [None, None, 9, 6, None, None]
    assert [step.is_done for step in steps] == [False] * 5 + [True]
    assert [step.filled for step in steps] == [0, 2, 2, 2, 2, 2]


def test_amendment_of_a_filled_order_does_nothing() -> None:
    """Lines after a trade restate its result."""
    oracle = Oracle([X])
    actions: list[Action] = [
        place("a", Side.SELL, 10, 2),
        Aggress(2, X, "t", 1, Side.BUY, Ticks(10), Lots(2)),
        Amend(3, X, "a", Ticks(10), Lots(7)),
    ]

    steps = [oracle.step(action) for action in actions]

    assert steps[-1].is_done
    assert oracle.levels(X, Side.SELL) == []


def test_amendment_into_the_other_side_trades() -> None:
    """Every `modify` is a live order and may trade."""
    oracle = Oracle([X])
    oracle.step(place("a", Side.SELL, 10, 2))
    oracle.step(Place(2, X, "b", 1, Side.BUY, Ticks(9), Lots(3)))

    step = oracle.step(Amend(3, X, "b", Ticks(10), Lots(3)))

    assert step.hits == (Hit("a", Lots(2)),)
    assert oracle.levels(X, Side.BUY) == [(10, 1, 1)]


def test_order_of_fills_within_an_aggressor_is_not_compared() -> None:
    """Two deciders may answer in either order."""
    one, two = Hit("a", Lots(1)), Hit("b", Lots(2))

    assert is_as_expected([one, two], [two, one])
    assert not is_as_expected([one, two], [one, one])
    assert not is_as_expected([one], [one, one])
