"""Floods over HTTP are paid by who makes them; the others go on (faults 3)."""

from collections import Counter

import httpx
import trio

from exchange.gateway.application import make_application
from exchange.gateway.limits import KNOWN_MAX, PENALTY_S, RequestGuard
from exchange.gateway.nodes import Nodes
from exchange.gateway.resources import Call, Reply, Resource
from exchange.process.limits import Guard, Limits

HOST = "192.0.2.1"


LIMITS = Limits(account_rate=10, address_rate=5)


def a_guard(now_us: list[int]) -> RequestGuard:
    return RequestGuard(Guard(LIMITS, lambda: now_us[0]))


def spend(guard: RequestGuard, key: str, *, count: int = 1_000, is_cancel: bool = False) -> int:
    """Return how many of so many requests are paid."""
    return sum(guard.take(key, HOST, is_cancel=is_cancel) for _ in range(count))


def test_flood_of_one_good_key_leaves_another_its_budget() -> None:
    """Issue: per-key limits, with a burst of two seconds."""
    now_us = [0]
    budgets = Guard(LIMITS, lambda: now_us[0])
    guard = RequestGuard(budgets)
    for key in ("1-1.a", "1-2.b"):
        guard.learn(key, is_good=True)

    assert spend(guard, "1-1.a") == 20
    assert spend(guard, "1-2.b") == 20
    now_us[0] += 1_000_000
    assert spend(guard, "1-1.a") == 10
    assert budgets.refused == 980 + 980 + 990
    guard.check()


def test_made_up_keys_are_paid_by_their_address() -> None:
    """Faults 3: another key each time is no other budget."""
    guard = a_guard([0])
    guard.learn("1-1.good", is_good=True)

    assert sum(guard.take(f"1-1.{n}", HOST, is_cancel=False) for n in range(100)) == 10
    assert spend(guard, "") == 0
    assert spend(guard, "1-1.good") == 20
    assert guard.take("1-1.new", "192.0.2.2", is_cancel=False)


def test_cancels_always_have_budget() -> None:
    """Issue."""
    guard = a_guard([0])
    spend(guard, "1-1.a")

    assert spend(guard, "1-1.a", is_cancel=True) == 1_000


def test_key_that_was_good_is_paid_by_its_address_once_it_is_not() -> None:
    """Issue: revoked keys are made-up ones."""
    guard = a_guard([0])
    guard.learn("1-1.a", is_good=True)
    guard.learn("1-1.a", is_good=False)

    assert spend(guard, "1-1.a") == 10


def test_good_keys_are_bounded() -> None:
    """Faults 3."""
    guard = a_guard([0])
    for number in range(KNOWN_MAX + 10):
        guard.learn(f"1-{number}.a", is_good=True)

    guard.check()


async def test_refusal_is_429_and_comes_late(
    nursery: trio.Nursery, autojump_clock: trio.abc.Clock
) -> None:
    """Issue: with Retry-After, and a cancel goes on at once."""

    async def handler(_call: Call) -> Reply:
        return Reply(b"{}")

    resources = [
        Resource("GET", "/orders", handler, "", dict, access="read"),
        Resource("DELETE", "/orders", handler, "", dict, access="trade"),
    ]
    nodes, answered = Nodes(nursery, "127.0.0.1:1"), Counter[int]()
    app = make_application(nodes, resources, tell=print, guard=a_guard([0]), answered=answered)
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        headers = {"Authorization": "Bearer 1-1.a"}
        answers = [await client.get("/v1/orders", headers=headers) for _ in range(21)]
        begun = trio.current_time()  # noqa: TID251 - the clock of the test
        late = await client.get("/v1/orders", headers=headers)
        took = trio.current_time() - begun  # noqa: TID251
        cancel = await client.delete("/v1/orders", headers=headers)

    assert [answer.status_code for answer in answers] == [200] * 21
    assert (late.status_code, late.headers["retry-after"]) == (429, "1")
    assert late.json()["code"] == "rate_limited"
    assert took >= PENALTY_S
    assert cancel.status_code == 200
    assert answered == {200: 22, 429: 1}
    nursery.cancel_scope.cancel()
