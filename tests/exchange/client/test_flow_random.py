"""Random flow is the same for the same seed, and has everything in it."""

import pytest

from exchange.client.flow import Aggress, Amend, Cancel, FlowError, Place
from exchange.client.flow_random import INSTRUMENTS_MAX, generate, ticker
from exchange.client.oracle import rehearse
from exchange.domain.names import is_symbol


def test_same_seed_makes_the_same_flow() -> None:
    """E5: randomness comes in with the input."""
    one = generate(seed=1, instruments=3, accounts=5, orders=500)

    assert generate(seed=1, instruments=3, accounts=5, orders=500) == one
    assert generate(seed=2, instruments=3, accounts=5, orders=500) != one


def test_flow_has_every_kind_of_action_on_every_instrument_and_account() -> None:
    """Issue item 8: a given number of instruments and accounts."""
    flow = generate(seed=1, instruments=3, accounts=5, orders=2000)

    kinds = {(type(action), action.symbol) for action in flow.actions}
    accounts = {one.account for one in flow.actions if isinstance(one, Place | Aggress)}
    assert len(kinds) == 4 * 3
    assert {kind for kind, _ in kinds} == {Place, Amend, Cancel, Aggress}
    assert accounts == set(range(5))
    assert [action.line for action in flow.actions] == list(range(1, 2001))


def test_flow_trades_and_leaves_a_book() -> None:
    """A flow that never trades would test nothing."""
    plan = rehearse(generate(seed=1, instruments=2, accounts=5, orders=2000))

    assert sum(len(step.hits) for step in plan.steps) > 400
    assert all(plan.bids.values())
    assert all(plan.asks.values())


def test_tickers_are_symbols_and_never_alike() -> None:
    """M2: up to the 10,000 instruments the exchange is made for."""
    names = [ticker(number) for number in range(INSTRUMENTS_MAX)]

    assert len(set(names)) == INSTRUMENTS_MAX
    assert all(map(is_symbol, names))


@pytest.mark.parametrize(
    "sizes", [(0, 5, 10), (INSTRUMENTS_MAX + 1, 5, 10), (1, 2, 10), (1, 5, 0), (1, 5, -1)]
)
def test_sizes_that_make_no_flow_are_refused(sizes: tuple[int, int, int]) -> None:
    """Bad input: a clear error."""
    instruments, accounts, orders = sizes
    with pytest.raises(FlowError, match="--"):
        generate(seed=1, instruments=instruments, accounts=accounts, orders=orders)
