"""A progress bar for whoever watches, nothing for whoever does not."""

import sys

import pytest

from exchange.client.progress import showing_progress

Captured = pytest.CaptureFixture[str]


def test_nothing_is_written_where_nobody_watches(capsys: Captured) -> None:
    """Interfaces 4: progress bars when stderr is a terminal."""
    with showing_progress() as progress:
        progress("trading", 1, 2)

    assert capsys.readouterr() == ("", "")


def test_bar_is_on_stderr(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interfaces 4: data on stdout, talk on stderr."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with showing_progress() as progress:
        progress("trading", 1, 2)

    shown = capsys.readouterr()
    assert shown.out == ""
    assert "trading" in shown.err
