"""Clients get accounts, addresses and listings, in order, as far as their key allows."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from exchange.coordinator import clients
from exchange.coordinator.keys import is_key
from exchange.domain.units import AccountId, make_id
from tests.exchange.coordinator.house import (
    FRESH_CLUSTER,
    OPERATOR_KEY,
    Client,
    FakeNode,
    House,
    a_house,
    join,
)

BTC = {
    "symbol": "BTC/EUR",
    "base": "BTC",
    "quote": "EUR",
    "tick_size": "0.5",
    "lot_size": "0.001",
    "base_decimals": 8,
    "quote_decimals": 4,
}


async def a_client(house: House, *, nodes: int = 1) -> tuple[Client, list[FakeNode]]:
    members = [FakeNode(number, node_id=number) for number in range(1, nodes + 1)]
    for node in members:
        await join(house, node)
    return Client(await house.dial()), members


def verb(kind: str, value: object = None, *, auth: str | None = None) -> dict[str, Any]:
    request: dict[str, Any] = {"id": "r1", "type": kind}
    if value is not None:
        request["value"] = value
    if auth is not None:
        request["auth"] = auth
    return request


async def test_requests_of_a_connection_are_answered_in_order(autojump_clock: MockClock) -> None:
    """C1, E6: many may be sent before the first answer."""
    async with a_house() as house:
        client, _ = await a_client(house, nodes=2)
        answers = await client.ask("C account", "C Account", "1-1", "C account", "9-9", "2-1")

        assert answers[:4] == ["1-1", "2-1", "127.0.0.1:7001", "1-2"]
        assert answers[4]["value"]["code"] == "unknown_account"
        assert answers[5] == "127.0.0.1:7002"


async def test_accounts_asked_for_together_share_a_force(autojump_clock: MockClock) -> None:
    """W2: 600 accounts, three batches."""
    async with a_house() as house:
        client, (node,) = await a_client(house)
        before = house.disk.writes
        answers = await client.ask(*["C account"] * 600)

        assert answers == [f"1-{number}" for number in range(1, 601)]
        assert len(node.accounts) == 600
        assert house.disk.writes - before <= 2 * 600 / clients.OPENED_AT_ONCE_MAX + 2


async def test_account_needs_a_node(autojump_clock: MockClock) -> None:
    """C1."""
    async with a_house() as house:
        (answer,) = await Client(await house.dial()).ask("C account")

        assert answer["type"] == "error"
        assert answer["value"]["code"] == "no_live_node"


async def test_bye_closes_after_everything_before_it(autojump_clock: MockClock) -> None:
    """C1."""
    async with a_house() as house:
        client, _ = await a_client(house)
        await client.stream.send_all(b'"C account"\n"bye"\n"C account"\n')

        assert [await client.read(), await client.read()] == ["1-1", None]


async def test_malformed_request_leaves_the_connection_open(autojump_clock: MockClock) -> None:
    """C1."""
    async with a_house() as house:
        client, _ = await a_client(house)
        first, bad, last = await client.ask("C account", {"id": 5, "type": "no.verb"}, "C account")

        assert (first, last) == ("1-1", "1-2")
        assert (bad["id"], bad["value"]["code"]) == (5, "unknown_verb")


@pytest.mark.parametrize(
    ("line", "code"),
    [(b'"' + b"x" * 70_000 + b'"\n', "line_too_long"), (b'"\xff"\n', "not_utf8")],
)
async def test_lost_framing_closes_the_connection_after_an_error(
    autojump_clock: MockClock, line: bytes, code: str
) -> None:
    """C1: what came before is answered."""
    async with a_house() as house:
        client, _ = await a_client(house)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.stream.send_all, b'"C account"\n' + line)
            answers = [await client.read(), await client.read(), await client.read()]

        assert answers[0] == "1-1"
        assert answers[1]["value"]["code"] == code
        assert answers[2] is None


async def test_bare_account_is_refused_with_authentication(autojump_clock: MockClock) -> None:
    """C1: the error names the way."""
    async with a_house(is_auth=True) as house:
        client, (node,) = await a_client(house)
        (answer,) = await client.ask("C account")

        assert "account.create" in answer["value"]["detail"]
        assert node.accounts == []


async def test_operator_gets_an_account_with_its_key(autojump_clock: MockClock) -> None:
    """C1: the node stores the hash of the key, nobody the key."""
    async with a_house(is_auth=True) as house:
        client, (node,) = await a_client(house)
        (answer,) = await client.ask(verb("account.create", {}, auth=OPERATOR_KEY))

        assert (answer["id"], answer["type"]) == ("r1", "account")
        assert answer["value"]["user_id"] == "1-1"
        key_hash = node.key_hashes[AccountId(make_id(1, 1))]
        assert is_key(answer["value"]["api_key"], key_hash, FRESH_CLUSTER)
        assert is_key(OPERATOR_KEY, node.operator_key_hash, FRESH_CLUSTER)


@pytest.mark.parametrize("kind", ["account.create", "instrument.create"])
@pytest.mark.parametrize("auth", [None, "", "wrong", OPERATOR_KEY + "x"])
async def test_operator_verbs_need_the_operator_key(
    autojump_clock: MockClock, kind: str, auth: str | None
) -> None:
    """C1: fails closed."""
    async with a_house(is_auth=True) as house:
        client, (node,) = await a_client(house)
        value = BTC if kind == "instrument.create" else None
        (answer,) = await client.ask(verb(kind, value, auth=auth))

        assert answer["value"]["code"] == "unauthorized"
        assert not node.accounts
        assert not node.instruments


async def test_operator_lists_an_instrument_once(autojump_clock: MockClock) -> None:
    """M2."""
    async with a_house(is_auth=True) as house:
        client, (node,) = await a_client(house)
        first, alike, other, listed = await client.ask(
            verb("instrument.create", BTC, auth=OPERATOR_KEY),
            verb("instrument.create", BTC, auth=OPERATOR_KEY),
            verb("instrument.create", {**BTC, "tick_size": "1"}, auth=OPERATOR_KEY),
            verb("instrument.list"),
        )
        await wait_all_tasks_blocked()

        assert first == alike == {"id": "r1", "type": "instrument", "value": BTC}
        assert other["value"]["code"] == "already_listed"
        assert listed["value"] == {"instruments": [BTC]}
        assert [each.symbol for each in node.instruments] == ["BTC/EUR"]


async def test_cluster_tells_who_is_connected(autojump_clock: MockClock) -> None:
    """C1."""
    async with a_house() as house:
        client, _ = await a_client(house)
        (empty,) = await Client(await house.dial()).ask(verb("cluster.get"))
        await client.ask("C account")
        (answer,) = await client.ask(verb("cluster.get"))

        assert empty["value"]["nodes"][0]["accounts"] == 0
        assert answer["value"] == {
            "cluster": FRESH_CLUSTER,
            "is_authenticated": False,
            "is_strict_listing": False,
            "nodes": [
                {
                    "node_id": 1,
                    "tcp": "127.0.0.1:7001",
                    "epoch": 1,
                    "accounts": 1,
                    "is_connected": True,
                }
            ],
        }
