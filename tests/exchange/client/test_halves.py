"""Both halves of every trade, joined."""

from exchange.client.halves import broken, gaps, join
from exchange.client.results import Fill


def a_fill(
    trade_id: str, role: str, *, seq: int = 1, side: str = "buy", quantity: str = "5"
) -> Fill:
    """Make a fill."""
    return Fill(seq, trade_id, "1-1", "X", side, "10", quantity, role, "")


def test_trade_with_equal_halves_is_whole() -> None:
    """S13."""
    trades = join([a_fill("1-1", "maker"), a_fill("1-1", "taker", side="sell")])

    assert broken(trades) == []


def test_half_a_trade_is_named() -> None:
    """S13: on both sides or on neither."""
    fills = [
        a_fill("1-1", "maker"),
        a_fill("1-2", "maker"),
        a_fill("1-2", "taker", side="sell", quantity="4"),
        a_fill("1-3", "maker"),
        a_fill("1-3", "taker"),
        a_fill("1-4", "maker"),
        a_fill("1-4", "taker", side="sell"),
        a_fill("1-4", "taker", side="sell"),
    ]

    found = broken(join(fills))

    assert [line.split(":")[0] for line in found] == [f"trade 1-{n}" for n in range(1, 5)]


def test_missing_and_doubled_numbers_are_named() -> None:
    """Interfaces 1: `seq` is gapless per account from 1."""
    assert gaps([a_fill("1-1", "maker", seq=seq) for seq in (1, 2, 3)]) == []
    assert gaps([a_fill("1-1", "maker", seq=seq) for seq in (1, 3, 4)]) == [2]
    assert gaps([a_fill("1-1", "maker", seq=seq) for seq in (1, 1)]) == [1, 2]
