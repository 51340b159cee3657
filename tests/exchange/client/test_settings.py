"""Where the server is and who asks: flag, environment, data directory, config file, default."""

from pathlib import Path

import msgspec
import pytest

from exchange.client.errors import UsageError
from exchange.client.settings import (
    DEFAULT_URL,
    Endpoint,
    Settings,
    forget,
    known_accounts,
    parse_url,
    read_settings,
    remember,
)


def settings(tmp_path: Path, url: str | None = None, **environment: str) -> Settings:
    """Read settings with a config file of the test's own."""
    named = {"EXCHANGE_CONFIG": str(tmp_path / "config.toml"), **environment}
    return read_settings(url=url, data_dir=None, environment=named)


def a_data_dir(path: Path, **endpoints: object) -> Path:
    """Make what a running server leaves in its directory."""
    path.mkdir()
    (path / "endpoints.json").write_bytes(msgspec.json.encode(endpoints))
    (path / "operator.key").write_text("secret\n")
    return path


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    """Interfaces 4."""
    default = settings(tmp_path).endpoint
    (tmp_path / "config.toml").write_text('url = "tcp://file:1"\n')
    found = [
        settings(tmp_path).endpoint,
        settings(tmp_path, EXCHANGE_URL="tcp://environment:2").endpoint,
        settings(tmp_path, "tcp://flag:3", EXCHANGE_URL="tcp://environment:2").endpoint,
    ]

    assert default == Endpoint(either=parse_url(DEFAULT_URL))
    assert list(map(str, found)) == ["file:1", "environment:2", "flag:3"]


def test_data_directory_names_addresses_and_operator_key(tmp_path: Path) -> None:
    """Interfaces 4: `endpoints.json` and `operator.key`."""
    path = a_data_dir(tmp_path / "data", pid=1, tcp="a:1", coordinator="b:2", https="c:3")
    found = settings(tmp_path, EXCHANGE_DATA_DIR=str(path))

    assert found.endpoint == Endpoint(coordinator="b:2", node="a:1")
    assert found.operator_key == "secret"


def test_keys_come_from_environment_or_file(tmp_path: Path) -> None:
    """Interfaces 4."""
    (tmp_path / "config.toml").write_text('api_key = "a"\noperator_key = "o"\n')

    assert (settings(tmp_path).api_key, settings(tmp_path).operator_key) == ("a", "o")
    assert settings(tmp_path, EXCHANGE_API_KEY="b").api_key == "b"
    assert settings(tmp_path, EXCHANGE_OPERATOR_KEY="p").operator_key == "p"


@pytest.mark.parametrize("url", ["", "http://a:1", "a:1", "tcp://", "tls://"])
def test_url_that_is_none_is_refused(url: str) -> None:
    """Bad input: a clear error."""
    with pytest.raises(UsageError):
        parse_url(url)


@pytest.mark.parametrize("text", ["not toml", "unknown = 1", "url = 5"])
def test_bad_config_file_is_named(tmp_path: Path, text: str) -> None:
    """Bad input: what and where."""
    (tmp_path / "config.toml").write_text(text)

    with pytest.raises(UsageError, match=r"config\.toml"):
        settings(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"pid":1}'])
def test_bad_endpoints_are_named(tmp_path: Path, text: str) -> None:
    """Bad input: what and where."""
    path = a_data_dir(tmp_path / "data")
    (path / "endpoints.json").write_text(text)

    with pytest.raises(UsageError, match=r"endpoints\.json"):
        settings(tmp_path, EXCHANGE_DATA_DIR=str(path))


def test_directory_without_a_server_says_how_to_start_one(tmp_path: Path) -> None:
    """Bad input: the remedy is the next command to type."""
    with pytest.raises(UsageError, match="exchange-node --data-dir"):
        settings(tmp_path, EXCHANGE_DATA_DIR=str(tmp_path))


def test_accounts_are_remembered_per_cluster(tmp_path: Path) -> None:
    """A new cluster on an old address never meets the accounts of the one before."""
    path = tmp_path / "home" / "accounts.json"
    remember(path, "one", "1-1", "a")
    remember(path, "one", "2-1", "b")
    remember(path, "two", "1-1", "c")

    assert known_accounts(path, "one").current == "2-1"
    assert known_accounts(path, "one").keys == {"1-1": "a", "2-1": "b"}
    assert known_accounts(path, "two").keys == {"1-1": "c"}
    assert known_accounts(path, "three").current == ""


def test_forgotten_account_makes_room_for_the_one_before(tmp_path: Path) -> None:
    """The next command uses what is still there."""
    path = tmp_path / "accounts.json"
    remember(path, "one", "1-1", "a")
    remember(path, "one", "2-1", "b")

    forget(path, "one", "2-1")
    forget(path, "one", "9-9")
    forget(path, "none", "1-1")

    assert known_accounts(path, "one").current == "1-1"
    forget(path, "one", "1-1")
    assert known_accounts(path, "one").current == ""


def test_damaged_memory_is_named(tmp_path: Path) -> None:
    """Bad input: what, where, remedy."""
    path = tmp_path / "accounts.json"
    path.write_text("{")

    with pytest.raises(UsageError, match="move it away"):
        known_accounts(path, "one")


def test_tls_needs_an_authority_to_believe(tmp_path: Path) -> None:
    """Issue 5: TCP clients get TLS too."""
    named = {"EXCHANGE_TLS_CA": str(tmp_path / "ca.crt")}
    found = read_settings(url="tls://a:1", data_dir=None, environment=named)
    plain = read_settings(url="tcp://a:1", data_dir=None, environment=named)

    assert (found.authority, plain.authority) == (tmp_path / "ca.crt", None)
    with pytest.raises(UsageError, match="EXCHANGE_TLS_CA"):
        read_settings(url="tls://a:1", data_dir=None, environment={})


def test_data_directory_says_whether_its_server_speaks_tls(tmp_path: Path) -> None:
    """Interfaces section 4: `endpoints.json`."""
    (tmp_path / "endpoints.json").write_text('{"tcp":"127.0.0.1:1","is_tls":true}')
    found = read_settings(url=None, data_dir=tmp_path, environment={})

    assert found.authority == tmp_path / "tls" / "ca.crt"
