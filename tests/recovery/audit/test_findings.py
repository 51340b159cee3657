"""Findings name a rule, and are bounded by kind."""

import pytest

from recovery.audit.findings import FINDINGS_MAX, RULES, Findings, id_text


def test_a_flood_of_one_kind_is_counted_not_kept() -> None:
    """Style: every list has a bound."""
    findings = Findings(1)
    for lsn in range(1_000):
        findings.add("audit_mark", lsn, "again")

    assert len(findings) == FINDINGS_MAX
    assert findings.counts["audit_mark"] == 1_000


def test_only_rules_of_the_list_are_reported() -> None:
    """Issue, item 8: each code has a meaning."""
    with pytest.raises(AssertionError, match="not a rule"):
        Findings(1).add("audit_nonsense", 1, "")
    assert all(code.startswith("audit_") for code in RULES)


def test_ids_are_shown_as_everywhere() -> None:
    """C1."""
    assert id_text((3 << 50) + 17) == "3-17"
