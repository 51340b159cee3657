"""Both halves of every trade, joined over all accounts: each trade is on both sides or neither.

A trade has one fill of its maker and one of its taker, at one price and for one quantity
(S13), whatever was killed in between.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from exchange.client.results import Fill


class Trade(msgspec.Struct):
    """The fills that carry one trade id."""

    makers: list[Fill]
    takers: list[Fill]


def join(fills: Iterable[Fill]) -> dict[str, Trade]:
    """Gather fills by trade."""
    trades: dict[str, Trade] = {}
    for fill in fills:
        trade = trades.setdefault(fill.trade_id, Trade([], []))
        (trade.makers if fill.role == "maker" else trade.takers).append(fill)
    return trades


def broken(trades: Mapping[str, Trade]) -> list[str]:
    """Name every trade that is not whole."""
    return [
        f"trade {trade_id}: {len(trade.makers)} fills of its maker, {len(trade.takers)} of its "
        f"taker, not equal"
        for trade_id, trade in trades.items()
        if not _is_whole(trade)
    ]


def gaps(fills: Sequence[Fill]) -> list[int]:
    """Return the numbers that are missing or doubled among an account's fills."""
    seqs = Counter(fill.seq for fill in fills)
    return [seq for seq in range(1, len(fills) + 1) if seqs[seq] != 1]


def _is_whole(trade: Trade) -> bool:
    if len(trade.makers) != 1 or len(trade.takers) != 1:
        return False
    (maker,), (taker,) = trade.makers, trade.takers
    same = (maker.symbol, maker.price, maker.quantity) == (
        taker.symbol,
        taker.price,
        taker.quantity,
    )
    return same and maker.side != taker.side
