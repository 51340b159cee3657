"""Planted bugs cannot rot: each fits the code as it is, exactly once."""

from pathlib import Path

import pytest

from fuzz.mutants import CHOSEN, CHOSEN_SECONDS, is_hunter, try_bug
from fuzz.planted import PLANTED, SAFETY, Planted, safety_rows

ROOT = Path(__file__).parent.parent.parent


def test_there_are_enough_planted_bugs_with_names_of_their_own() -> None:
    names = [bug.name for bug in PLANTED]

    assert len(names) >= 25
    assert len(set(names)) == len(names)
    assert set(CHOSEN) <= set(names)


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.name)
def test_planted_bug_fits_the_code_exactly_once(bug: Planted) -> None:
    text = (ROOT / bug.file).read_text()

    assert text.count(bug.old) == 1
    assert bug.new != bug.old
    compile(text.replace(bug.old, bug.new), bug.file, "exec")
    assert bug.hunters
    assert all(map(is_hunter, bug.hunters))


def test_every_safety_rule_has_a_planted_bug_and_the_document_says_which() -> None:
    document = (ROOT / "docs" / "testing.md").read_text().splitlines()

    assert set(SAFETY) <= {bug.rule for bug in PLANTED}
    for row in safety_rows():
        assert row in document


@pytest.mark.parametrize("name", CHOSEN)
def test_chosen_bug_is_caught(name: str) -> None:
    """E3, S5, S2, S1, S9, E7: one chosen bug each."""
    (bug,) = [bug for bug in PLANTED if bug.name == name]

    assert try_bug(bug, CHOSEN_SECONDS).hunter
