"""Types of options that every program has."""

import click
import pytest
from click.testing import CliRunner

from exchange.process.options import Seconds


@pytest.mark.parametrize(("text", "exit_code"), [("nan", 2), ("-1", 2), ("x", 2), ("0.5", 0)])
def test_seconds_are_a_number(text: str, exit_code: int) -> None:
    """Interfaces section 4: usage errors are exit code 2; `nan` is in no range."""

    @click.command()
    @click.option("--wait", type=Seconds(min=0))
    def command(wait: float) -> None:
        assert wait == 0.5

    assert CliRunner().invoke(command, ["--wait", text]).exit_code == exit_code
