"""Keys of an account, as people make and revoke them."""

import json
from collections.abc import Callable

import pytest

from exchange.client.cluster_process import LocalCluster

People = Callable[..., int]


@pytest.fixture
def asked(people: People, capsys: pytest.CaptureFixture[str]) -> Callable[..., object]:
    """Return a command that must work and prints JSON."""

    def ask(*words: str) -> object:
        assert people(*words, "-o", "json") == 0
        return json.loads(capsys.readouterr().out)

    people("account", "open")
    capsys.readouterr()
    return ask


def made(answer: object) -> dict[str, str]:
    assert isinstance(answer, dict), "one key"
    return answer


def test_key_that_reads_cannot_trade(
    people: People,
    asked: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Interfaces section 3: scopes."""
    key = made(asked("key", "create", "--scope", "read"))
    monkeypatch.setenv("EXCHANGE_API_KEY", key["api_key"])

    assert people("account", "show") == 0
    assert people("order", "buy", "AAPL", "1", "1") == 1
    assert "the key does not allow this" in capsys.readouterr().err
    assert people("key", "create", "--scope", "trade") == 1


def test_revoked_key_opens_nothing(
    people: People, asked: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 5: expired and revoked keys fail closed."""
    key = made(asked("key", "create", "--scope", "read", "--expires-in", "3600"))
    assert people("key", "revoke", key["key_id"]) == 0
    monkeypatch.setenv("EXCHANGE_API_KEY", key["api_key"])

    assert people("account", "show") == 1


def test_rotated_main_key_is_remembered_and_the_old_one_is_dead(
    people: People, asked: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interfaces section 4: the next command needs no key."""
    first = made(asked("key", "rotate"))
    second = made(asked("key", "rotate"))
    assert people("account", "show") == 0
    monkeypatch.setenv("EXCHANGE_API_KEY", first["api_key"])

    assert first["api_key"] != second["api_key"]
    assert people("account", "show") == 1


def test_list_tells_powers_and_never_keys(people: People, asked: Callable[..., object]) -> None:
    """Interfaces section 3: stored hashed."""
    key = made(asked("key", "create", "--scope", "read", "--scope", "trade"))
    listed = asked("key", "list")

    assert isinstance(listed, list)
    assert [row["key_id"] for row in listed] == ["main", key["key_id"]]
    assert key["api_key"] not in json.dumps(listed)
    assert people("key", "list") == people("key", "list", "-o", "csv") == 0


def test_operator_makes_a_key_where_the_saved_one_is_not_good(
    people: People,
    asked: Callable[..., object],
    live: LocalCluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Issue 3, item 7: after a lost disk an account may have no key that is good."""
    assert people("key", "revoke", "main") == 0
    assert people("account", "show") == 1
    assert "let an operator make a new one" in capsys.readouterr().err
    monkeypatch.delenv("EXCHANGE_OPERATOR_KEY", raising=False)
    monkeypatch.delenv("EXCHANGE_DATA_DIR", raising=False)
    assert people("key", "rotate") == 1
    monkeypatch.setenv("EXCHANGE_OPERATOR_KEY", live.operator_key)
    assert made(asked("key", "rotate"))["key_id"] == "main"
    monkeypatch.delenv("EXCHANGE_OPERATOR_KEY")

    assert people("account", "show") == 0
