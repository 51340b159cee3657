"""What people type: exit codes, help, versions, typos."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import pytest

from exchange.client import command
from exchange.client.command import COMMANDS, exchange, run
from exchange.client.errors import Unreachable
from exchange.store.frames import FORMAT_VERSION

People = Callable[..., int]


def every_command() -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and group."""
    context = click.Context(exchange)
    for name in COMMANDS:
        found = exchange.get_command(context, name)
        assert found is not None
        yield (name,)
        if isinstance(found, click.Group):
            yield from ((name, inner) for inner in found.list_commands(context))


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_help_has_two_examples(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Interfaces 4."""
    assert run([*words, "--help"]) == 0

    shown = capsys.readouterr().out
    examples = re.findall(r"^    (?:[A-Z_]+=\S+ )?exchange ", shown, re.MULTILINE)
    assert len(examples) == 2, shown


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Interfaces 4."""
    assert run(["--help"]) == 0

    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in shown] == []


def test_version_names_the_store_format(capsys: pytest.CaptureFixture[str]) -> None:
    """Interfaces 4."""
    assert run(["--version"]) == 0
    assert f"store format {FORMAT_VERSION}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "near"),
    [(["acount"], "account"), (["order", "by"], "buy"), (["instrument", "creat"], "create")],
)
def test_typo_is_answered_by_the_nearest_command(
    words: list[str], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interfaces 4: helpful errors."""
    assert run(words) == 2
    assert f"Did you mean {near}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["order", "buy"],
        ["book"],
        ["book", "X", "--url", "nonsense"],
        ["book", "X", "--url", "tls://127.0.0.1:1"],
        ["book", "X", "--depth", "0"],
        ["order", "amend", "1-1"],
        ["order", "cancel"],
        ["order", "cancel", "1-1", "--all"],
        ["replay"],
        ["replay", "/nowhere"],
        ["replay", "--generate", "--accounts", "1"],
        ["fills", "--from-seq", "0"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(words: list[str], people: People) -> None:
    """Interfaces 4: exit codes."""
    assert people(*words) == 2


def test_nobody_there_ends_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    """Interfaces 4: exit codes; the error says what, where and what to do."""
    assert run(["status", "--url", "tcp://127.0.0.1:1"]) == 3
    assert "connection refused); is it running?" in capsys.readouterr().err


def test_interruption_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interfaces 4: exit codes, also where Trio wraps the interruption."""
    for error in (KeyboardInterrupt(), BaseExceptionGroup("", [KeyboardInterrupt()])):
        monkeypatch.setattr(command.exchange, "main", raising(error))

        assert run(["status"]) == 130


def test_group_of_our_errors_ends_as_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several tasks may fail at once; people read one line."""
    group = ExceptionGroup("", [ExceptionGroup("", [Unreachable("nobody")])])
    monkeypatch.setattr(command.exchange, "main", raising(group))

    assert run(["status"]) == 3


def test_bug_is_one_line_and_can_be_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 5: nobody is shown a traceback; who looks for a bug asks for it."""
    monkeypatch.setattr(command.exchange, "main", raising(ExceptionGroup("", [KeyError("x")])))

    assert run(["status"]) == 1
    assert "this should not happen: KeyError" in capsys.readouterr().err
    monkeypatch.setenv("EXCHANGE_TRACEBACK", "1")
    with pytest.raises(ExceptionGroup):
        run(["status"])


def test_argument_that_is_no_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes that are not UTF-8 reach Python as lone surrogates."""
    assert run(["book", "\udcff"]) == 2
    assert "UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("redirect", [">/dev/full", ">&-", "2>&-", ">&- 2>&-"])
def test_output_that_cannot_be_written_is_no_traceback(redirect: str) -> None:
    """A full disk and closed streams: at most one line says so."""
    line = f"'{sys.executable}' -m exchange.client.command --help {redirect}"
    done = subprocess.run(["sh", "-c", line], check=False, capture_output=True, text=True)

    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interfaces 4: shell completion, as `exchange --help` tells it."""
    words = [sys.executable, "-m", "exchange.client.command"]

    def completed(instruction: str, **variables: str) -> str:
        environment = {**os.environ, "_EXCHANGE_COMPLETE": f"{shell}_{instruction}", **variables}
        return subprocess.run(
            words, env=environment, capture_output=True, text=True, check=False
        ).stdout

    last = "or" if shell == "fish" else "1"
    assert f"_EXCHANGE_COMPLETE={shell}_complete" in completed("source")
    found = completed("complete", COMP_WORDS="exchange or", COMP_CWORD=last)
    assert "order" in found
    assert "account" not in found


def raising(error: BaseException) -> Callable[..., None]:
    """Return a function that fails."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    return fail


def test_help_imports_neither_trio_nor_rich() -> None:
    """Start-up time: `--help` and completion answer at once."""
    program = (
        "import sys; from exchange.client.command import run; run(['--help']); "
        "sys.exit(' '.join({'trio', 'rich', 'lmdb'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


def test_completion_names_the_commands() -> None:
    """Interfaces 4: shell completion."""
    done = subprocess.run(
        [sys.executable, "-c", "from exchange.client.command import main; main()"],
        env={"_EXCHANGE_COMPLETE": "bash_complete", "COMP_WORDS": "exchange st", "COMP_CWORD": "1"},
        capture_output=True,
        check=False,
    )

    assert b"status" in done.stdout


@pytest.mark.parametrize("words", [["--help"], ["book", "X", "--url", "tcp://127.0.0.1:1"]])
def test_commands_import_no_part_of_the_gateway(words: list[str]) -> None:
    """Issue 5, item 6: the HTTP parts cost 0.6 s of start-up."""
    script = (
        "import sys; from exchange.client import cluster, command; "
        f"cluster.FIRST_SECONDS = 0.01; command.run({words!r}); "
        "print({'h11', 'wsproto', 'prometheus_client'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stderr.splitlines()[-1] == "set()"
