"""The halves of trades with other nodes, as one node's log has them.

With each half stands how far the *other* node's log was known to be durable when the half was
logged: every batch of messages says so (C3).
"""

from typing import NamedTuple

OfferId = tuple[int, int]
Key = tuple[int, int, int]  # the other node, epoch, seq


class Offered(NamedTuple):
    """The proposer's half of an offer."""

    lsn: int
    seen: int
    trade_id: int
    maker: int
    taker: int
    symbol: str
    side: int  # the taker's
    quantity: int
    price: int
    maker_stamp: int


class Settled(NamedTuple):
    """What the proposer was told, or an operator decided."""

    lsn: int
    seen: int
    quantity: int  # 0: released
    is_heuristic: bool


class Accepted(NamedTuple):
    """The decider's half of a trade."""

    lsn: int
    seen: int
    trade_id: int
    maker: int
    taker: int
    symbol: str
    side: int  # the maker's
    quantity: int
    price: int
    maker_stamp: int


class Declined(NamedTuple):
    """The decider's refusal."""

    lsn: int
    seen: int
    trade_id: int


class Forgotten(NamedTuple):
    """A watermark of the proposer that the decider has taken over."""

    lsn: int
    seen: int  # through here the proposer was durable later; -1: nothing was heard of it
    below: OfferId


class Halves(NamedTuple):
    """All of one node."""

    node: int
    offered: dict[Key, Offered]
    settled: dict[Key, Settled]
    accepted: dict[Key, Accepted]
    declined: dict[Key, Declined]
    forgotten: dict[int, list[Forgotten]]
    marks: dict[int, OfferId]  # by proposer
    seen: dict[int, tuple[int, bytes]]  # by peer: the last LSN and digest seen of its log
    sums: dict[str, int]  # by asset: accounts + external + clearing
    reborn: dict[int, int]  # peers with a new birth nonce: what is older saw another log

    @classmethod
    def none(cls, node: int) -> "Halves":
        """Return the halves of a node whose trades are not looked at."""
        return cls(node, {}, {}, {}, {}, {}, {}, {}, {}, {})
