"""`exchange-gateway` says what it needs."""

from click.testing import CliRunner

from exchange.gateway.command import gateway


def test_help_has_two_examples() -> None:
    """Interfaces section 4."""
    shown = CliRunner().invoke(gateway, ["--help"]).output

    assert shown.count("exchange-gateway --coordinator") == 2


def test_coordinator_must_be_named() -> None:
    """Interfaces section 4: usage errors are exit code 2."""
    assert CliRunner().invoke(gateway, []).exit_code == 2
