"""`exchange-node`: what it says, and how it ends."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exchange.coordinator import member
from exchange.node import birth
from exchange.node.command import main, node, run, settings_of
from exchange.node.embedding import Https
from exchange.node.settings import Settings
from exchange.process.addresses import Address
from exchange.process.limits import Limits
from exchange.store.directory import Directory
from exchange.store.frames import FORMAT_VERSION

ANYWHERE = Address("127.0.0.1", 0)


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(node, arguments, env=environment, catch_exceptions=False)


def origins(result: Result) -> dict[str, tuple[str, str]]:
    """Return value and origin by setting, as `config` prints them."""
    rows = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    return {
        name: (rest[:24].strip(), rest[24:].strip())
        for name, rest in ((row[0], row[1] if len(row) > 1 else "") for row in rows)
    }


def test_help_has_two_examples() -> None:
    """Interfaces section 4."""
    text = invoke("--help").stdout

    assert text.count("exchange-node --data-dir") >= 2


def test_version_names_the_store_format() -> None:
    """Interfaces section 4."""
    assert f"store format {FORMAT_VERSION}" in invoke("--version").stdout


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    """Interfaces section 4."""
    (tmp_path / "exchange.toml").write_text(
        'listen = "127.0.0.1:1"\nack = "durable"\nstrict-listing = true\n'
    )
    result = invoke(
        "--data-dir",
        str(tmp_path),
        "--listen",
        "127.0.0.1:3",
        "config",
        EXCHANGE_LISTEN="127.0.0.1:2",
        EXCHANGE_ADVERTISE="127.0.0.1:4",
    )
    found = origins(result)

    assert found["listen"] == ("127.0.0.1:3", "flag")
    assert found["advertise"] == ("127.0.0.1:4", "environment")
    assert found["ack"] == ("durable", "config file")
    assert found["strict-listing"] == ("true", "config file")
    assert found["coordinator-listen"] == ("127.0.0.1:7401", "default")


def test_config_file_of_the_command_exchange_is_none_of_a_node(tmp_path: Path) -> None:
    """Interfaces section 4: one shell has both in its environment."""
    client, server = tmp_path / "config.toml", tmp_path / "node.toml"
    client.write_text('url = "tcp://127.0.0.1:7401"\n')
    server.write_text('ack = "durable"\n')
    named = {"EXCHANGE_CONFIG": str(client), "EXCHANGE_NODE_CONFIG": str(server)}
    result = invoke("--data-dir", str(tmp_path), "config", **named)
    without = invoke("--data-dir", str(tmp_path), "config", EXCHANGE_CONFIG=str(client))

    assert origins(result)["ack"] == ("durable", "config file")
    assert origins(without)["ack"] == ("visible", "default")


def test_settings_are_what_the_options_say(tmp_path: Path) -> None:
    """Interfaces section 4."""
    values = {
        "data_dir": tmp_path,
        "listen": ANYWHERE,
        "advertise": None,
        "coordinator": ANYWHERE,
        "coordinator_listen": ANYWHERE,
        "ack": "durable",
        "visible_within": 0.5,
        "open_orders_max": 7,
        "no_auth": True,
        "strict_listing": True,
        "https": ANYWHERE,
        "tls": True,
        "join": "token",
        "join_secret": None,
        "account_rate": 1,
        "address_rate": 2,
        "connections_max": 3,
        "connections_per_address": 4,
        "idle_timeout": 5.0,
        "tls_cert": None,
        "tls_key": None,
        "plain_http": False,
        "https_account_rate": 6,
        "https_address_rate": 7,
        "https_connections_max": 8,
        "https_connections_per_address": 9,
        "https_handshake_rate": 10,
        "log_level": "info",
        "log_format": "auto",
    }

    settings = settings_of(values)

    assert (settings.is_tls, settings.join) == (True, "token")
    assert settings.limits == Limits(1, 2, 3, 4, 5.0)
    assert settings.https == Https(ANYWHERE, limits=Limits(6, 7, 8, 9, handshake_rate=10))
    assert (settings.visible_within_s, settings.open_orders_max) == (0.5, 7)
    assert (settings.is_authenticated, settings.is_strict, settings.ack) == (False, True, "durable")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--data-dir", "d", "--listen", "7400"],
        ["--data-dir", "d", "--ack", "never"],
        ["--data-dir", "d", "--lisen", "127.0.0.1:1"],
        ["--data-dir", "d", "--config", "absent.toml"],
        ["--data-dir", "d", "--listen", "0.0.0.0:7400"],
    ],
)
def test_usage_errors_end_with_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Interfaces section 4."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["exchange-node", *arguments])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2


def test_unknown_setting_in_the_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interfaces section 4: what, where, remedy."""
    (tmp_path / "exchange.toml").write_text('lisen = "127.0.0.1:1"\n')
    monkeypatch.setattr("sys.argv", ["exchange-node", "--data-dir", str(tmp_path)])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert "lisen" in capsys.readouterr().err


def test_directory_in_use_ends_with_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """W6."""
    with Directory.lock(tmp_path):
        code = run(Settings(tmp_path, listen=ANYWHERE, coordinator_listen=ANYWHERE))

    assert code == 5
    assert '"error: data directory' in capsys.readouterr().err


def test_unreachable_coordinator_ends_a_first_start_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interfaces section 4: named, with the remedy."""

    async def impatient(
        coordinator: str, nonce: bytes, address: str, *, dial: member.Dial | None = None
    ) -> member.NewNode:
        return await member.register_new(coordinator, nonce, address, patience_s=0.1)

    monkeypatch.setattr(birth, "register_new", impatient)
    nobody = Address("127.0.0.1", 1)

    assert run(Settings(tmp_path, listen=ANYWHERE, coordinator=nobody)) == 3
    assert "exchange-coordinator --data-dir" in capsys.readouterr().err


def test_damaged_directory_ends_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """W4: it refuses to start, and names the tool that helps."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "data.mdb").write_bytes(b"no database" * 1000)

    assert run(Settings(tmp_path, listen=ANYWHERE, coordinator_listen=ANYWHERE)) == 4
    assert "exchange-recover" in capsys.readouterr().err


def test_config_does_not_print_a_token(tmp_path: Path) -> None:
    """Interfaces 4, issue, item 5: each value and its origin, and nobody's secrets."""
    asked = CliRunner().invoke(node, ["--data-dir", str(tmp_path), "--join", "a-token", "config"])

    assert "a-token" not in asked.output
    assert re.search(r"^join +\*\*\* +flag$", asked.output, re.MULTILINE)
    assert re.search(r"^log-level +info +default$", asked.output, re.MULTILINE)
