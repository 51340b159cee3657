"""Budgets and counts, on a clock that stands still."""

from exchange.process.limits import BURST_S, REMEMBERED, Budget, Guard, Limits
from tests.exchange.node.fakes import Clocks


def spent(budget: Budget) -> int:
    """Return how many requests a budget allows now."""
    count = 0
    while budget.take():
        count += 1
    return count


def test_budget_allows_a_burst_and_then_its_rate() -> None:
    """Faults 3: floods."""
    clocks = Clocks()
    budget = Budget(10, clocks.mono_us)
    assert spent(budget) == 10 * BURST_S
    clocks.now_us += 500_000
    assert spent(budget) == 5
    clocks.now_us += 3_600_000_000

    assert spent(budget) == 10 * BURST_S


def test_rate_zero_is_without_a_limit() -> None:
    """What runs inside this process is not limited by address."""
    budget = Guard(Limits(), Clocks().mono_us).of_address("")

    assert all(budget.take() for _ in range(10_000))


def test_budgets_are_bounded_and_each_key_has_its_own() -> None:
    """Habit 13."""
    guard = Guard(Limits(account_rate=1), Clocks().mono_us)
    spent(guard.of_account("a"))
    assert guard.of_account("b").take()
    assert not guard.of_account("a").take()
    for number in range(REMEMBERED):
        guard.of_account(number)

    guard.check()


def test_clients_are_counted_by_address() -> None:
    """Faults 3: idle connections."""
    guard = Guard(Limits(connections_max=3, connections_per_address=2), Clocks().mono_us)
    assert [guard.enter(address) for address in ("a", "a", "a", "b", "b")] == [
        True,
        True,
        False,
        True,
        False,
    ]
    guard.leave("a")
    guard.check()

    assert guard.enter("b")
    assert guard.refused == 2


def test_dear_request_is_a_debt_that_is_paid_off_first() -> None:
    """Faults 3: a budget counts work, not requests."""
    clocks = Clocks()
    budget = Budget(10, clocks.mono_us)
    assert budget.take(100)
    clocks.now_us += 8_000_000
    assert not budget.take(), "80 of the debt of 80 are paid"
    clocks.now_us += 100_000

    assert budget.take()


def test_what_turned_out_to_be_owed_is_paid_too() -> None:
    """A long answer's size is known when it is made."""
    clocks = Clocks()
    budget = Budget(10, clocks.mono_us)
    budget.take()
    budget.charge(50)

    assert not budget.take()


def test_cancels_are_not_paid_from_what_orders_use_up() -> None:
    """Who has placed too many orders can always cancel them, and not without end."""
    guard = Guard(Limits(account_rate=1), Clocks().mono_us)
    spent(guard.of_account("a"))

    assert spent(guard.of_cancels("a")) == BURST_S
