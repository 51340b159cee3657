"""Problems are rows with a remedy, and decide the exit code (interfaces 5)."""

import pytest

from recovery.problems import CODES, DETAIL_MAX, exit_code, printable, problem


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], 0),
        (["moving"], 0),
        (["in_doubt"], 6),
        (["in_doubt", "not_a_data_directory"], 2),
        (["in_doubt", "not_a_data_directory", "chain_broken"], 4),
    ],
)
def test_the_worst_problem_decides(codes: list[str], expected: int) -> None:
    """Interfaces 5."""
    assert exit_code([problem(code, "here", "so") for code in codes]) == expected


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_a_meaning_and_a_remedy(code: str) -> None:
    """Issue, item 8."""
    meaning, remedy = CODES[code]

    assert meaning.endswith(".")
    assert remedy
    assert not remedy.endswith(".")


def test_what_stands_in_a_file_cannot_drive_the_terminal() -> None:
    """Faults 3."""
    assert printable("a\x1b[2Jb\n") == "a\\x1b[2Jb\\x0a"
    assert len(printable("x" * 10_000)) == DETAIL_MAX + 3
