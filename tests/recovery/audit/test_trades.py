"""Offers, marks and watermarks are kept as the rules say (S5, S7)."""

import pytest

from recovery.audit.findings import Findings
from recovery.audit.tables import Rows
from recovery.audit.trades import Trades
from tests.recovery.audit.test_ledger import ACCOUNT, USD, codes, place

TAKER = (1 << 50) + 1
MAKER = (2 << 50) + 1


@pytest.fixture
def trades() -> Trades:
    trades = Trades(1, Findings(1), Rows(0))
    trades.booted([1, 1, b"", 0])
    trades.instrument_listed([2, USD, 0])
    trades.account_opened([3, ACCOUNT, b"", 0])
    trades.transferred([5, ACCOUNT, "USD", 100_000, 0])
    place(trades, 1, price=100, quantity=10)
    return trades


def offer(trades: Trades, number: int, seq: int, *, quantity: int = 4, price: int = 90) -> None:
    trade_id = (1 << 50) + number
    stamp = trades.orders[TAKER].stamp
    trades.trade_offered(
        [12, 2, [1, seq], trade_id, TAKER, MAKER, quantity, price, 100, stamp, 5, 0]
    )


def test_an_offer_is_settled_at_the_makers_price(trades: Trades) -> None:
    """S1: price improvement goes back at commit."""
    offer(trades, 2, 1)
    assert trades.accounts[ACCOUNT].held["USD"] == 1_000
    trades.trade_settled([13, 2, [1, 1], 4, 0])

    account = trades.accounts[ACCOUNT]
    assert account.available == {"USD": 100_000 - 360 - 600, "ACME": 4}
    assert account.held["USD"] == 600
    assert trades.peers[2].clearing == {"USD": 360, "ACME": -4}
    assert trades.halves().sums == {"USD": 0, "ACME": 0}
    assert codes(trades) == []


def test_offers_are_numbered_without_a_gap(trades: Trades) -> None:
    """S5."""
    offer(trades, 2, 1, quantity=1)
    offer(trades, 3, 3, quantity=1)

    assert codes(trades) == ["audit_offer_id"]


def test_more_than_is_open_is_not_offered(trades: Trades) -> None:
    """S9; faults 2.10."""
    offer(trades, 2, 1, quantity=6)
    offer(trades, 3, 2, quantity=5)

    assert codes(trades) == ["audit_overfill"]


def test_an_offer_is_settled_once(trades: Trades) -> None:
    """S3; faults 2.2."""
    offer(trades, 2, 1)
    trades.trade_settled([13, 2, [1, 1], 0, 0])
    trades.trade_settled([13, 2, [1, 1], 4, 0])

    assert codes(trades) == ["audit_no_offer"]


def test_the_mark_only_rises(trades: Trades) -> None:
    """S5."""
    trades.trade_declined([15, 2, [1, 2], (2 << 50) + 5, "gone", 0])
    trades.trade_declined([15, 2, [1, 2], (2 << 50) + 5, "gone", 0])

    assert codes(trades) == ["audit_mark"]
    assert trades.peers[2].mark == (1, 2)


def test_nothing_above_the_mark_is_forgotten(trades: Trades) -> None:
    """S7."""
    trades.trade_declined([15, 2, [1, 2], (2 << 50) + 5, "gone", 0])
    trades.offers_forgotten([16, 2, [1, 3]])
    assert codes(trades) == []
    trades.offers_forgotten([16, 2, [2, 1]])  # the next one may be of a later epoch
    assert codes(trades) == []
    trades.offers_forgotten([16, 2, [2, 4]])

    assert codes(trades) == ["audit_forget"]


def test_an_operators_decision_is_kept_until_it_is_checked(trades: Trades) -> None:
    """S4."""
    offer(trades, 2, 1)
    trades.heuristic_decision([19, 2, [1, 1], (1 << 50) + 2, 0, "ops", "peer is gone", 0])
    assert len(trades.decided) == 1
    trades.heuristic_checked([20, 2, [1, 1], 4, 0])
    (row,) = trades.decided.values()
    assert row[-1] == 4
    trades.heuristic_forgotten([21, 2, [1, 1], "ops", "both seen", 0])

    assert trades.decided == {}
    assert codes(trades) == []


def test_what_was_seen_of_a_peer_only_grows(trades: Trades) -> None:
    """C3."""
    trades.see({2: (9, b"a", b"boot", b"mac")})
    trades.see({2: (8, b"b", b"boot", b"mac")})

    assert codes(trades) == ["audit_seen"]
