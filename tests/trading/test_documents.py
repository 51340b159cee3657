"""The tutorial and the how-tos: every command of them is executed."""

from pathlib import Path

import pytest

from tests.support.documents import ROOT, commands, run_document

HOW_TOS = sorted((ROOT / "docs").glob("how-to-*.md"))


def test_the_tutorial_goes_as_it_tells(tmp_path: Path) -> None:
    """Issue, item 7: a node is killed, and what was acknowledged is there."""
    said = run_document(ROOT / "docs" / "tutorial.md", tmp_path)

    assert "unreachable" in said
    assert "21" in said, "the seller's cash"


@pytest.mark.parametrize("path", HOW_TOS, ids=lambda path: path.stem)
def test_a_how_to_works(path: Path, tmp_path: Path) -> None:
    """Issue, item 7: TLS, joining, backup and restore, rolling restart."""
    assert len(commands(path.read_text())) >= 3

    run_document(path, tmp_path)
