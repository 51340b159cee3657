"""The auditor's own ledger moves what the records say, and balances (S1, S13, M3)."""

import pytest

from recovery.audit.findings import Findings
from recovery.audit.ledger import Ledger
from recovery.audit.tables import Rows

ACCOUNT = (1 << 50) + 1
USD = ["ACME", "ACME", "USD", "0.01", "1", 0, 2]


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger(1, Findings(1), Rows(0))
    ledger.instrument_listed([2, USD, 0])
    ledger.account_opened([3, ACCOUNT, b"", 0])
    ledger.transferred([5, ACCOUNT, "USD", 1_000, 0])
    return ledger


def place(ledger: Ledger, number: int, *, price: int, quantity: int, client_id: str = "") -> None:
    order_id, stamp = (1 << 50) + number, number << 13 | 1
    first = [0, 0, 0, 0, ""]
    ledger.order_placed(
        [6, order_id, ACCOUNT, "ACME", 1, 1, 1, price, quantity, stamp, client_id, first, 0]
    )


def codes(ledger: Ledger) -> list[str]:
    return [finding.code for finding in ledger.findings]


def test_placing_an_order_moves_cash_to_held(ledger: Ledger) -> None:
    """S1."""
    place(ledger, 1, price=100, quantity=3)

    account = ledger.accounts[ACCOUNT]
    assert (account.available["USD"], account.held["USD"]) == (700, 300)
    assert ledger.external == {"USD": -1_000}
    assert codes(ledger) == []


def test_an_order_that_is_not_covered_is_a_finding(ledger: Ledger) -> None:
    """S1."""
    place(ledger, 1, price=100, quantity=11)

    assert codes(ledger) == ["audit_overdrawn"]


def test_a_client_order_id_has_one_effect(ledger: Ledger) -> None:
    """Faults 2.15."""
    place(ledger, 1, price=1, quantity=1, client_id="a")
    place(ledger, 2, price=1, quantity=1, client_id="a")

    assert codes(ledger) == ["audit_client_id"]


def test_priority_is_given_up_by_a_new_price(ledger: Ledger) -> None:
    """S9."""
    place(ledger, 1, price=10, quantity=5)
    ledger.order_amended([8, (1 << 50) + 1, 10, 4, 0, 0])
    assert codes(ledger) == []
    ledger.order_amended([8, (1 << 50) + 1, 11, 4, 0, 0])
    ledger.order_amended([8, (1 << 50) + 1, 11, 6, 0, 0])

    assert codes(ledger) == ["audit_amend", "audit_amend"]


def test_an_account_closes_empty(ledger: Ledger) -> None:
    """Interfaces 1: `D account`."""
    ledger.account_closed([4, ACCOUNT, 0])

    assert codes(ledger) == ["audit_closed"]


def test_what_is_of_another_node_is_a_finding(ledger: Ledger) -> None:
    """C1, B7."""
    ledger.account_opened([3, (2 << 50) + 1, b"", 0])
    ledger.account_opened([3, ACCOUNT, b"", 0])
    ledger.booted([1, 0, b"", 0])

    assert codes(ledger) == ["audit_owner", "audit_twice", "audit_epoch"]
