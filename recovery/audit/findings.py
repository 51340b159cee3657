"""What the auditor reports: a rule, a place, a sentence."""

from collections import Counter
from typing import NamedTuple

FINDINGS_MAX = 100  # of one kind and node; the rest are counted

# code: the rule that was broken
RULES: dict[str, str] = {
    "audit_chain": "every frame follows the one before it (W4)",
    "audit_lsn": "LSNs are dense (W2)",
    "audit_epoch": "a boot epoch only rises, and opens a frame of its own (W6)",
    "audit_malformed": "a record has the documented form",
    "audit_unknown": "a record names what exists",
    "audit_twice": "what exists once is not made twice",
    "audit_owner": "a node speaks for its own accounts and orders only (C1, B7)",
    "audit_number": "order and trade ids are never used again",
    "audit_stamp": "a new stamp is younger than every stamp before it (S2)",
    "audit_client_id": "a client order id has one effect (faults 2.15)",
    "audit_terms": "prices and quantities are within bounds (M1)",
    "audit_overdrawn": "available amounts never fall below zero (S1)",
    "audit_key": "only a key that is good can be revoked",
    "audit_closed": "a closed account does nothing",
    "audit_overfill": "no more is filled or offered than is open (S9)",
    "audit_price": "a trade is at the maker's price, within the taker's limit (S2)",
    "audit_sides": "a buyer trades with a seller of the same instrument",
    "audit_age": "the maker is the older order (S2)",
    "audit_rests": "an immediate-or-cancel order never rests",
    "audit_self_trade": "no account trades with itself (S10)",
    "audit_tape": "a trade is not before the one ahead of it on its tape (S8)",
    "audit_priority": "best price first, oldest first within a level",
    "audit_amend": "priority is kept only by shrinking at the same price (S9)",
    "audit_offer_id": "offers to one decider are numbered without a gap (S5)",
    "audit_mark": "an offer at or below the mark is decided already (S5)",
    "audit_no_offer": "only an offer that is out can be settled or released (S3)",
    "audit_forget": "only what the proposer has resolved is forgotten (S7)",
    "audit_seen": "what was seen of a peer's log only grows (C3)",
    "audit_half_missing": "a trade is on both its nodes or on neither (S13)",
    "audit_halves_differ": "both halves of a trade have the same terms (S13)",
    "audit_early": "nothing leaves a node before it is durable (E3)",
    "audit_old_copy": "a log holds what its peers have seen of it (C3)",
    "audit_table": "a checkpoint table is the fold of the log (W5)",
    "audit_conservation": "assets are neither made nor lost (S13)",
}


class Finding(NamedTuple):
    """One violation of a rule."""

    code: str
    node: int
    lsn: int  # 0 where it belongs to no record
    detail: str


class Findings(list[Finding]):
    """The findings of one node, bounded by kind."""

    def __init__(self, node: int) -> None:
        super().__init__()
        self.node = node
        self.counts: Counter[str] = Counter()

    def add(self, code: str, lsn: int, detail: str) -> None:
        """Report a violation."""
        assert code in RULES, f"{code} is not a rule of the auditor"
        self.counts[code] += 1
        if self.counts[code] <= FINDINGS_MAX:
            self.append(Finding(code, self.node, lsn, detail))


def id_text(packed: int) -> str:
    """Write an id as people see it: node, dash, number."""
    return f"{packed >> 50}-{packed & (1 << 50) - 1}"
