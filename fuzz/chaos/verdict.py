"""What must be true once everything is healed, asked from outside only."""

import sys
from collections.abc import Iterable
from pathlib import Path

import trio

from exchange.client.account import AccountClient
from exchange.client.errors import Refused
from exchange.client.quiescence import unequal_books
from exchange.client.replay import fills_of
from exchange.client.results import NodeStatus, Order
from exchange.client.traders import Traders, balances, lost_or_made
from fuzz.chaos.workload import Asked, Trader, place_again


async def judge(
    traders: list[Trader], accounts: Traders, statuses: tuple[NodeStatus, ...]
) -> list[str]:
    """Return everything that is wrong, a sentence each."""
    wrong = list(unequal_books(statuses))
    doubtful = [status.node_id for status in statuses if status.offers_in_doubt]
    wrong += [f"node {node_id} has trades in doubt" for node_id in doubtful]
    wrong += lost_or_made(accounts, await balances(accounts))
    _, broken = await fills_of(accounts)
    wrong += broken
    for trader in traders:
        wrong += await _answers_stand(trader)
    return wrong


async def verify(directories: Iterable[Path]) -> list[str]:
    """Let an auditor read the logs of stopped nodes from their beginnings."""
    command = [sys.executable, "-m", "recovery.command", "verify", *map(str, directories)]
    done = await trio.run_process(command, capture_stdout=True, check=False)
    if not done.returncode:
        return []
    return [f"exchange-recover verify ended with {done.returncode}: {done.stdout.decode()}"]


async def _answers_stand(trader: Trader) -> list[str]:
    """Check that what one trader was told is still true, and nothing was done twice."""
    wrong: list[str] = []
    there = await _all_orders(trader.client)
    by_name: dict[str, list[Order]] = {}
    for order in there:
        by_name.setdefault(order.client_order_id or "", []).append(order)
    for one in trader.asked:
        found = by_name.pop(one.client_order_id, [])
        wrong += await _stands(trader.client, one, found)
    wrong += [f"order {name!r} was never asked for" for name in by_name]
    return wrong


async def _stands(client: AccountClient, one: Asked, found: list[Order]) -> list[str]:
    name = f"{one.account} {one.client_order_id}"
    if len(found) > 1:
        return [f"{name} exists {len(found)} times"]
    if one.outcome.startswith("refused"):
        return [f"{name} was refused and exists"] if found else []
    if one.outcome == "unknown":
        return []  # it stays unknown: there or not, but never twice
    if not found:
        return [f"{name} was acknowledged and is gone"]
    (order,) = found
    assert one.first is not None, "an order that was answered"
    assert one.last is not None, "an order that was answered"
    wrong: list[str] = []
    if int(order.filled_quantity) < int(one.last.filled_quantity):
        wrong.append(f"{name} had {one.last.filled_quantity} filled, now {order.filled_quantity}")
    if one.is_canceled and not _is_over(order):
        wrong.append(f"{name} was canceled and is {order.status}")
    if one.filled_most is not None and int(order.filled_quantity) > one.filled_most:
        wrong.append(f"{name} was canceled at {one.filled_most}, now {order.filled_quantity}")
    try:
        again = await place_again(client, one)
    except Refused as refused:
        wrong.append(f"{name} is refused when it is sent again: {refused}")
    else:
        if not again.is_replayed or again.order != one.first:
            wrong.append(f"{name} gets another answer when it is sent again")
    return wrong


def _is_over(order: Order) -> bool:
    return order.status in ("canceled", "filled", "rejected")


async def _all_orders(client: AccountClient) -> list[Order]:
    found: list[Order] = []
    cursor: int | str | None = None
    while True:
        page = await client.orders(status="all", cursor=cursor, limit=1000)
        found.extend(page.orders)
        cursor = page.next_cursor
        if cursor is None:
            return found
