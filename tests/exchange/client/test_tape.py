"""The tapes of all deciders in one."""

import pytest
import trio
from msgspec import Raw, json

from exchange.client.cluster import Cluster
from exchange.client.connection import Connection, Request
from exchange.client.errors import Unreachable
from exchange.client.link import Answer
from exchange.client.results import Trade, Trades, plain
from exchange.client.tape import Newest

Tapes = dict[int, list[Trade]]


class ScriptedNode(Connection):
    """A node with a tape of the test's making."""

    def __init__(self, tape: list[Trade], page_max: int) -> None:
        self.tape = tape
        self.page_max = page_max
        self.asked = 0

    async def call(self, request: Request, *, within: float = 1.0) -> Answer:
        """Answer a page."""
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if not self.tape:
            raise Unreachable("away")
        limit = min(request.value["limit"], self.page_max)
        start = request.value.get("from_seq", 1) - 1
        if request.value.get("newest"):
            start = max(0, len(self.tape) - limit)
        page = self.tape[start : start + limit]
        return Answer("trades", Raw(json.encode(plain(Trades(page, start + len(page) + 1)))))


class Scripted(Cluster):
    """Nodes with tapes."""

    def __init__(self, tapes: Tapes, page_max: int) -> None:
        self.nodes = {node_id: ScriptedNode(tape, page_max) for node_id, tape in tapes.items()}

    def node(self, node_id: int, user: object = None) -> Connection:
        """Return a node."""
        return self.nodes[node_id]


def a_trade(seq: int, ts: str) -> Trade:
    """Make a trade."""
    return Trade(seq, f"1-{seq}", "10", "1", ts)


async def test_tapes_are_ordered_by_time_node_and_number() -> None:
    """S8, interfaces 3: ordered by (ts, node, seq)."""
    tapes = {1: [a_trade(1, "b"), a_trade(2, "c")], 2: [a_trade(1, "a"), a_trade(2, "b")]}
    newest = Newest(Scripted(tapes, 10), [1, 2], "X")
    await newest.read(3)

    assert [(row["ts"], row["node"]) for row in newest.rows] == [("b", 1), ("b", 2), ("c", 1)]
    assert newest.count == 4


async def test_newest_trades_are_read_over_several_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interfaces 1: `from_seq`, `limit`; no more is read than was asked for."""
    monkeypatch.setattr("exchange.client.tape.PAGE", 4)
    cluster = Scripted({1: [a_trade(seq, f"{seq:02}") for seq in range(1, 21)]}, 4)
    newest = Newest(cluster, [1], "X")
    await newest.read(10)

    assert [row["seq"] for row in newest.rows] == list(range(11, 21))
    assert newest.count == 20
    assert cluster.nodes[1].asked == 3


async def test_trades_of_a_node_that_is_away_are_said_to_be_missing() -> None:
    """C1: the others' tapes are there all the same."""
    newest = Newest(Scripted({1: [], 2: [a_trade(1, "a")]}, 10), [1, 2], "X")
    await newest.read(3)

    assert [row["node"] for row in newest.rows] == [2]
    assert newest.missing == {1: "away"}
