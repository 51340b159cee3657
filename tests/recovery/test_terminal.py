"""Errors are one line and an exit code (interfaces 4)."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from exchange.store.errors import DamagedLog, DataDirInUse, StoreError
from recovery.terminal import Refused, Verbs, print_json, reading


@pytest.mark.parametrize(
    ("error", "code"), [(DamagedLog(7, "broken"), 4), (DataDirInUse(Path("x"), holder=1), 5)]
)
def test_an_error_of_the_store_keeps_its_exit_code(error: StoreError, code: int) -> None:
    """Interfaces 4."""

    @click.group(cls=Verbs)
    def group() -> None: ...

    @group.command()
    def fail() -> None:
        raise error

    result = CliRunner().invoke(group, ["fail"])
    assert result.exit_code == code
    assert str(error) in result.output


def test_progress_is_for_terminals_only() -> None:
    """Interfaces 4: progress bars when stderr is a terminal."""
    with reading() as progress:
        progress(5)


def test_json_is_one_indented_value(capsys: pytest.CaptureFixture[str]) -> None:
    """Interfaces 4."""
    print_json({"a": [1]})

    assert capsys.readouterr().out == '{\n  "a": [\n    1\n  ]\n}\n'
    assert Refused("no", 5).exit_code == 5
