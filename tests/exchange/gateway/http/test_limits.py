"""Floods over HTTP are paid by who makes them; the others go on (faults 3)."""

import pytest

from exchange.gateway.http.limits import (
    ADDRESSES_MAX,
    FAILED_PRICE,
    KNOWN_MAX,
    WAIT_MAX_S,
    Bodies,
    Handshakes,
    RequestGuard,
    address_of,
)
from exchange.gateway.http.problems import ProblemError
from exchange.process.limits import Guard, Limits

HOST = "192.0.2.1"
LIMITS = Limits(account_rate=10, address_rate=5)


def a_guard(now_us: list[int]) -> RequestGuard:
    return RequestGuard(Guard(LIMITS, lambda: now_us[0]))


def spend(guard: RequestGuard, key: str, *, count: int = 1_000, is_cancel: bool = False) -> int:
    """Return how many of so many requests are paid."""
    return sum(guard.charge(key, HOST, 1, is_cancel=is_cancel).is_paid for _ in range(count))


def test_flood_of_one_good_key_leaves_another_its_budget() -> None:
    """Issue: per-key limits, with a burst of two seconds."""
    now_us = [0]
    budgets = Guard(LIMITS, lambda: now_us[0])
    guard = RequestGuard(budgets)
    for key in ("1-1.a", "1-2.b"):
        guard.learn(key, HOST, is_good=True)

    assert spend(guard, "1-1.a") == 20
    assert spend(guard, "1-2.b") == 20
    now_us[0] += 1_000_000
    assert spend(guard, "1-1.a") == 10
    assert budgets.refused == 980 + 980 + 990
    guard.check()


def test_made_up_keys_are_paid_by_their_address() -> None:
    """Faults 3: another key each time is no other budget."""
    guard = a_guard([0])
    guard.learn("1-1.good", HOST, is_good=True)

    assert sum(guard.charge(f"1-1.{n}", HOST, 1).is_paid for n in range(100)) == 10
    assert spend(guard, "") == 0
    assert spend(guard, "1-1.good") == 20
    assert guard.charge("1-1.new", "192.0.2.2", 1).is_paid


def test_cancel_with_a_good_key_has_a_budget_that_orders_do_not_use_up() -> None:
    """Issue."""
    guard = a_guard([0])
    guard.learn("1-1.a", HOST, is_good=True)
    spend(guard, "1-1.a")

    assert spend(guard, "1-1.a", is_cancel=True) == 20


def test_more_keys_of_an_account_are_no_more_budget() -> None:
    """Faults 3: 33 keys of one account once had 33 budgets."""
    guard = RequestGuard(Guard(LIMITS, lambda: 0), lambda key: key[:3])
    for key in ("1-1.a", "1-1.b"):
        guard.learn(key, HOST, is_good=True)

    assert spend(guard, "1-1.a") == 20
    assert spend(guard, "1-1.b") == 0


@pytest.mark.parametrize("key", ["", "1-1.made-up"])
def test_cancel_without_a_good_key_is_not_free(key: str) -> None:
    """Faults 3: a flood of keyless DELETE was counted by no limit."""
    assert spend(a_guard([0]), key, is_cancel=True) == 10


def test_key_that_was_good_is_paid_by_its_address_once_it_is_not() -> None:
    """Issue: revoked keys are made-up ones, and finding out is paid as well."""
    guard = a_guard([0])
    guard.learn("1-1.a", HOST, is_good=True)
    guard.learn("1-1.a", HOST, is_good=False)

    assert spend(guard, "1-1.a") == 10 - FAILED_PRICE


def test_answers_say_what_is_left() -> None:
    """Faults 3: a client can keep within its budget, if it is told of it."""
    guard = a_guard([0])
    guard.learn("1-1.a", HOST, is_good=True)
    first = guard.charge("1-1.a", HOST, 1)
    unlimited = RequestGuard(Guard(Limits(), lambda: 0)).charge("", HOST, 1)

    assert first.headers() == {
        "RateLimit-Limit": "20",
        "RateLimit-Remaining": "19",
        "RateLimit-Reset": "1",
    }
    assert unlimited.headers() == {}


def test_good_keys_are_bounded() -> None:
    """Faults 3."""
    guard = a_guard([0])
    for number in range(KNOWN_MAX + 10):
        guard.learn(f"1-{number}.a", HOST, is_good=True)

    guard.check()


def test_handshakes_of_an_address_wait_their_turn() -> None:
    """Faults 3: a burst goes at once, then each waits; beyond WAIT_MAX_S there is no turn."""
    handshakes = Handshakes(10, lambda: 10**9)
    waits = [handshakes.wait_s(HOST) for _ in range(1_000)]
    waited = [wait for wait in waits if wait is not None]

    assert waits[:20] == [0.0] * 20
    assert waited == sorted(waited)
    assert max(waited) <= WAIT_MAX_S
    assert len(waited) == 20 + 10 * WAIT_MAX_S + 1
    assert handshakes.wait_s("192.0.2.2") == 0.0
    for number in range(2 * ADDRESSES_MAX):
        handshakes.wait_s(str(number))


def test_bodies_are_bounded_in_all_and_for_each_address() -> None:
    """Faults 3: as many connections as there may be, times the largest body, is gigabytes."""
    bodies = Bodies(size=30, of_address=20)
    bodies.take("a", 20)
    with pytest.raises(ProblemError):
        bodies.take("a", 1)
    bodies.take("b", 10)
    with pytest.raises(ProblemError):
        bodies.take("c", 1)
    bodies.give("a", 20)
    bodies.take("c", 20)

    assert bodies.total == 30


@pytest.mark.parametrize(
    ("host", "address"),
    [
        (HOST, HOST),
        ("::ffff:192.0.2.1", HOST),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_household_is_one_address(host: str, address: str) -> None:
    """Faults 3: whoever has IPv6 has 2**64 addresses."""
    assert address_of(host) == address
