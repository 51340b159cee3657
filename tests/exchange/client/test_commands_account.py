"""The first five minutes: open, fund, look, close, without typing an id."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

People = Callable[..., int]
Captured = pytest.CaptureFixture[str]


def test_account_that_was_opened_is_remembered(
    people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interfaces 4: its key by a config file; M3: cash enters by recorded deposits."""
    assert people("account", "open", "-o", "json") == 0
    opened = json.loads(capsys.readouterr().out)
    assert people("account", "deposit", "USD", "10.50", "-o", "json") == 0
    deposited = json.loads(capsys.readouterr().out)
    assert people("account", "show", "-o", "json") == 0
    shown = json.loads(capsys.readouterr().out)

    path = tmp_path / "accounts.json"
    assert opened["api_key"]
    assert {name: deposited[name] for name in ("asset", "available", "held")} == {
        "asset": "USD",
        "available": "10.5",
        "held": "0",
    }
    assert shown["user_id"] == opened["user_id"]
    assert shown["balances"]["USD"] == {"available": "10.5", "held": "0"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_talk_goes_to_stderr(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    """Interfaces 4: data on stdout, talk on stderr."""
    assert people("account", "open") == 0
    told = capsys.readouterr()

    assert "saved: user id and key are in" in told.err
    assert "saved" not in told.out


def test_other_account_can_be_named(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    """`--account` overrides the last one opened."""
    people("account", "open", "-o", "json")
    first = json.loads(capsys.readouterr().out)["user_id"]
    people("account", "open")
    capsys.readouterr()

    assert people("account", "show", "--account", first, "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["user_id"] == first


def test_accounts_that_are_known_here_are_listed(people: People, capsys: Captured) -> None:
    """Who has opened several must be able to see which one commands use."""
    opened = []
    for _ in range(2):
        people("account", "open", "-o", "json")
        opened.append(json.loads(capsys.readouterr().out)["user_id"])

    assert people("account", "list", "-o", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["user_id"], row["is_current"]) for row in rows] == [
        (opened[0], False),
        (opened[1], True),
    ]


def test_closed_account_is_forgotten(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    """The next command must not use what is gone."""
    people("account", "open")
    assert people("account", "deposit", "USD", "1") == 0
    assert people("account", "close") == 1
    assert people("account", "withdraw", "USD", "1", "-o", "csv") == 0
    assert people("account", "close") == 0
    assert people("account", "show") == 2

    told = capsys.readouterr()
    assert "not_empty" in told.err
    assert "exchange account open" in told.err
    assert "asset,available,held\nUSD,0,0\n" in told.out


def test_operator_is_needed_and_the_error_says_where_the_key_is(
    people: People, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interfaces 1: opening accounts is an operator's power."""
    monkeypatch.delenv("EXCHANGE_OPERATOR_KEY")

    assert people("account", "open") == 1
    assert "account.create" in capsys.readouterr().err


def test_key_that_cannot_be_saved_is_shown(
    people: People, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Interfaces 4: the key is shown once; a home that cannot be written must not lose it."""

    def refuse(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("exchange.client.session.remember", refuse)
    assert people("account", "open", "-o", "json") == 0

    shown = capsys.readouterr()
    assert "api_key" in shown.out
    assert "could not be saved" in shown.err
    assert "EXCHANGE_API_KEY" in shown.err


def test_without_the_operator_key_the_way_to_it_is_told(
    people: People, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Interfaces 4: the hint does not send people to the command that has just failed."""
    monkeypatch.delenv("EXCHANGE_OPERATOR_KEY")
    assert people("account", "open") == 1

    assert "EXCHANGE_DATA_DIR" in capsys.readouterr().err


def test_next_command_is_shown_with_the_directory_that_was_given(
    people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interfaces 4: what is shown can be typed, however the directory was named."""
    assert people("account", "open", "--data-dir", str(tmp_path)) == 0

    assert f"next: EXCHANGE_DATA_DIR={tmp_path} exchange account deposit" in capsys.readouterr().err
