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
    guard = Guard(Limits(key_rate=1), Clocks().mono_us)
    spent(guard.of_key("a"))
    assert guard.of_key("b").take()
    assert not guard.of_key("a").take()
    for number in range(REMEMBERED):
        guard.of_key(number)

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
