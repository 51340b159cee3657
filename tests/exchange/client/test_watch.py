"""Book and tape in the terminal."""

import pytest
import trio

from exchange.client.cluster import Cluster
from exchange.client.errors import Unreachable
from exchange.client.results import Book, Trade, Trades
from exchange.client.watch import watch_market


class Scripted(Cluster):
    """A market that trades once, and is away at the second look."""

    def __init__(self) -> None:
        self.looks = 0

    async def node_ids(self, *, within: float = 1.0) -> list[int]:
        """Return the only node."""
        await trio.lowlevel.checkpoint()
        return [1]

    async def book(
        self, node_id: int, symbol: str, *, depth: int | None = None, within: float = 1.0
    ) -> Book:
        """Return a book, or nothing."""
        await trio.lowlevel.checkpoint()
        self.looks += 1
        if self.looks == 2:
            raise Unreachable("node 1 is away")
        return Book(symbol, 1, [("10.25", "7", 1)], [("10.50", "3", 2)])

    async def trades(
        self,
        node_id: int,
        symbol: str,
        *,
        from_seq: int = 1,
        limit: int = 100,
        within: float = 1.0,
    ) -> Trades:
        """Return one trade."""
        await trio.lowlevel.checkpoint()
        trade = Trade(1, "1-9", "10.25", "4", "2024-01-01T10:11:12.131415Z", "sell", symbol)
        return Trades([trade] if from_seq == 1 else [], 2)


async def test_looks_are_shown_and_an_absent_server_is_waited_for(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.abc.Clock,
) -> None:
    """Faults 2.17: who watches through a restart sees it come back."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")

    await watch_market(Scripted(), "X", every=0.5, depth=5, looks_max=3)

    shown = capsys.readouterr().out
    assert "10.50" in shown
    assert "10:11:12.131" in shown
    assert "node 1 is away" in shown
