"""Options that nodes and gateways have in common mean the same for both."""

import click
import pytest
from click.testing import CliRunner

from exchange.node.embedding import HTTPS_LIMITS, Https
from exchange.node.options import (
    ADDRESS,
    HTTPS,
    HTTPS_OPTIONS,
    https_of,
    limit_options,
    limits_of,
    with_options,
)
from exchange.process.addresses import Address
from exchange.process.limits import Limits

LISTEN = Address("127.0.0.1", 7443)


def read(*arguments: str) -> Https:
    """Return what a command reads from these arguments."""
    found: list[Https] = []

    @click.command()
    @with_options(HTTPS_OPTIONS)
    def command(**values: object) -> None:
        found.append(https_of(LISTEN, values))

    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return found[0]


def test_nothing_said_is_the_default() -> None:
    """Interfaces section 4."""
    assert read() == Https(LISTEN)


def test_budgets_of_https_are_options() -> None:
    """Issue 5: bounds are an operator's to set."""
    https = read("--https-key-rate", "7", "--https-connections-max", "0", "--plain-http")

    assert https.is_plain
    assert https.limits == Limits(7, HTTPS_LIMITS.address_rate, 0, 4_096, handshake_rate=100)


def test_every_limit_but_the_idle_time_has_an_option() -> None:
    limits = Limits(1, 2, 3, 4)
    values = {option.name: option.default for option in _params(limits)}

    assert limits_of(values) == limits


def _params(limits: Limits) -> list[click.Parameter]:
    @click.command()
    @with_options(limit_options(limits))
    def command() -> None: ...

    return command.params


@pytest.mark.parametrize("text", ["7400", "x:y", ""])
def test_what_is_no_address_is_a_usage_error(text: str) -> None:
    with pytest.raises(click.BadParameter, match="HOST:PORT"):
        ADDRESS.convert(text, None, None)


def test_https_may_be_off() -> None:
    assert HTTPS.convert("off", None, None) is None
    assert HTTPS.convert("127.0.0.1:7443", None, None) == LISTEN
