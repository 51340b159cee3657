"""Errors that people meet say what they can do."""

from collections.abc import Callable

import pytest

People = Callable[..., int]
Captured = pytest.CaptureFixture[str]


def test_unknown_symbol_without_a_likeness_names_what_there_is(
    people: People, symbol: str, capsys: Captured
) -> None:
    """Interfaces 4: suggestions."""
    people("instrument", "create", symbol)

    assert people("book", "QQQQQQQQ") == 1
    assert "listed are" in capsys.readouterr().err


def test_what_was_meant_is_said_once(people: People, symbol: str, capsys: Captured) -> None:
    """The server guesses what is one slip away; the command guesses only where it does not."""
    people("account", "open")
    people("account", "deposit", symbol, "1")
    capsys.readouterr()

    assert people("order", "sell", f"{symbol}A", "1", "10") == 1
    assert capsys.readouterr().err.count("did you mean") == 1


def test_missing_key_is_told_where_to_find(
    people: People, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Interfaces 4: its key by EXCHANGE_API_KEY or a config file."""
    people("account", "open")
    monkeypatch.setenv("EXCHANGE_API_KEY", "wrong")

    assert people("account", "show") == 1
    assert "EXCHANGE_API_KEY" in capsys.readouterr().err


def test_operator_may_look_at_any_account(
    people: People, monkeypatch: pytest.MonkeyPatch, tmp_path: object, capsys: Captured
) -> None:
    """Interfaces 3: the operator key is for any account."""
    people("account", "open", "-o", "csv")
    user_id = capsys.readouterr().out.splitlines()[1].split(",")[0]
    monkeypatch.setenv("EXCHANGE_CONFIG", f"{tmp_path}/elsewhere/config.toml")

    assert people("account", "show", "--account", user_id) == 0


def test_environment_names_the_account(
    people: People, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Interfaces 4: flag over environment over what was remembered."""
    people("account", "open")
    monkeypatch.setenv("EXCHANGE_ACCOUNT", "1-999999")

    assert people("account", "show") == 1
    assert people("account", "show", "--account", "nonsense") == 2
    assert "no user id" in capsys.readouterr().err
