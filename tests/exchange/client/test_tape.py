"""The tapes of all deciders in one."""

import trio

from exchange.client.cluster import Cluster
from exchange.client.results import Trade, Trades
from exchange.client.tape import PAGE, Tape


class Scripted(Cluster):
    """Nodes with tapes of the test's making."""

    def __init__(self, tapes: dict[int, list[Trade]]) -> None:
        self.tapes = tapes
        self.asked = 0

    async def trades(
        self,
        node_id: int,
        symbol: str,
        *,
        from_seq: int = 1,
        limit: int = 100,
        within: float = 1.0,
    ) -> Trades:
        """Answer a page."""
        await trio.lowlevel.checkpoint()
        self.asked += 1
        page = self.tapes[node_id][from_seq - 1 : from_seq - 1 + limit]
        return Trades(page, from_seq + len(page))


def a_trade(seq: int, ts: str) -> Trade:
    """Make a trade."""
    return Trade(seq, f"1-{seq}", "10", "1", ts)


async def test_tapes_are_ordered_by_time_node_and_number() -> None:
    """S8, interfaces 3: ordered by (ts, node, seq)."""
    tape = Tape(
        Scripted({1: [a_trade(1, "b"), a_trade(2, "c")], 2: [a_trade(1, "a"), a_trade(2, "b")]}),
        [1, 2],
        "X",
    )

    assert await tape.read() == 4
    assert [(row["ts"], row["node"]) for row in tape.rows] == [
        ("a", 2),
        ("b", 1),
        ("b", 2),
        ("c", 1),
    ]


async def test_tape_goes_on_where_it_was() -> None:
    """Interfaces 1: `from_seq`; a look at an unchanged tape costs one question."""
    cluster = Scripted({1: [a_trade(seq, "a") for seq in range(1, PAGE + 2)]})
    tape = Tape(cluster, [1], "X")

    assert await tape.read() == PAGE + 1
    assert await tape.read() == 0
    cluster.tapes[1].append(a_trade(PAGE + 2, "b"))
    assert await tape.read() == 1
    assert cluster.asked == 4
