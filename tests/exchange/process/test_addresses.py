"""Addresses are read strictly and written one way."""

import pytest

from exchange.process.addresses import check_listener, is_address, parse_address
from exchange.process.errors import BadAddress


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1:7400", "localhost:0", "node-1.example.com:65535", "my_node:7400", "[::1]:7400"],
)
def test_address_is_written_as_it_was_read(text: str) -> None:
    """C5."""
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "7400", "host", "host:", "host:x", "host:65536", "host:-1", "::1:7400", "a b:1"),
        *("host:1\n", "ho\nst:1", "[host]:1", "host:\u0661", "-a:1", "x" * 300 + ":1"),
    ],
)
def test_malformed_address_is_refused(text: str) -> None:
    """C5: also as a name for a log line or a file."""
    assert not is_address(text)
    with pytest.raises(BadAddress) as error:
        parse_address(text)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "[::1]"])
def test_loopback_may_be_listened_on(host: str) -> None:
    """C4."""
    check_listener("--listen", parse_address(f"{host}:1"))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.1", "[::]", "localhost.example.com"])
def test_other_listeners_are_refused_until_there_is_tls(host: str) -> None:
    """C4."""
    with pytest.raises(BadAddress, match="TLS"):
        check_listener("--listen", parse_address(f"{host}:1"))
