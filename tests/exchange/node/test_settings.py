"""Settings that cannot be are refused before anything is touched."""

from pathlib import Path

import pytest

from exchange.node.errors import BadSetting
from exchange.node.settings import Settings, read_config
from exchange.process.addresses import Address
from exchange.process.errors import BadAddress


@pytest.mark.parametrize(
    "settings",
    [
        Settings(Path("d"), listen=Address("0.0.0.0", 7400)),
        Settings(Path("d"), coordinator_listen=Address("10.0.0.1", 7401)),
    ],
)
def test_listener_others_can_reach_is_refused(settings: Settings) -> None:
    """Interfaces section 1: until there is TLS."""
    with pytest.raises(BadAddress) as refused:
        settings.check()

    assert refused.value.exit_code == 2


def test_unused_listener_is_not_looked_at() -> None:
    """C4: with a coordinator of its own elsewhere, none is embedded."""
    Settings(
        Path("d"),
        coordinator=Address("127.0.0.1", 1),
        coordinator_listen=Address("10.0.0.1", 7401),
    ).check()


def test_config_names_are_those_of_the_flags(tmp_path: Path) -> None:
    """Interfaces section 4."""
    path = tmp_path / "exchange.toml"
    path.write_text('[node]\nno-auth = true\ncoordinator_listen = "127.0.0.1:0"\n')

    assert read_config(path) == {"no_auth": True, "coordinator_listen": "127.0.0.1:0"}


@pytest.mark.parametrize("text", ["ack = ", "node = 3", b"\xff"])
def test_bad_config_file_is_named(tmp_path: Path, text: str | bytes) -> None:
    """Interfaces section 4: what, where, remedy."""
    path = tmp_path / "exchange.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(BadSetting, match=r"exchange\.toml"):
        read_config(path)


def test_missing_config_file_is_named(tmp_path: Path) -> None:
    """Interfaces section 4."""
    with pytest.raises(BadSetting, match=r"absent\.toml"):
        read_config(tmp_path / "absent.toml")
