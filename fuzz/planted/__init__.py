"""Bugs that must be caught: each breaks one rule of the design, in one place.

A planted bug is (file, old text, new text).  `tests/fuzz/test_planted.py` asserts that each
old text occurs exactly once, so that they cannot rot.  `fuzz.mutants` plants them one by one
in a private copy and measures how long the hunters need.
"""

from fuzz.planted import links, orders, peers, settlement, store
from fuzz.planted.bug import Planted

__all__ = ["PLANTED", "SAFETY", "Planted", "safety_rows"]

PLANTED = (*store.BUGS, *settlement.BUGS, *orders.BUGS, *links.BUGS, *peers.BUGS)

# The rules that only change with a proof, as far as they are built (S11 is not).
SAFETY = ("E2", "E3", "E4", "S4", "S5", "S6", "S7", "W1", "W4", "W5", "C3")


def safety_rows() -> list[str]:
    """Return the rows of the table in docs/testing.md: rule, planted bugs, who catches them."""
    rows = []
    for rule in SAFETY:
        bugs = [bug for bug in PLANTED if bug.rule == rule]
        names = ", ".join(f"`{bug.name}`" for bug in bugs)
        hunters = dict.fromkeys(hunter for bug in bugs for hunter in bug.hunters)
        rows.append(f"| {rule} | {names} | {', '.join(f'`{hunter}`' for hunter in hunters)} |")
    return rows
