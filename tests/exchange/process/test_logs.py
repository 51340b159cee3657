"""One event a line, which nobody can forge, and without secrets."""

import ast
import io
import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from exchange.coordinator.keys import account_key, new_key
from exchange.domain.units import AccountId, make_id
from exchange.process import logs
from exchange.process.logs import EVENTS, LIMITED, REPEATS, Event, Log, LogSettings

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "logs.md"


class Minutes:
    """A log on a string, and its clocks."""

    def __init__(self, **settings: str) -> None:
        self.stream = io.StringIO()
        self.now_us = 0
        self.log = Log(
            LogSettings(**settings),  # type: ignore[arg-type]  # a test names the fields
            stream=self.stream,
            wall_us=lambda: 1_790_000_000_123_456 + self.now_us,
            mono_us=lambda: self.now_us,
        )

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().split("\n")[:-1]


def test_a_line_for_programs_is_json_with_name_and_fields() -> None:
    """Issue, item 5: JSON where stderr is no terminal."""
    written = Minutes()
    written.log(Event("peer_suspected", "node 2 is suspected", peer=2))

    assert [json.loads(line) for line in written.lines] == [
        {
            "ts": "2026-09-21T14:13:20.123456Z",
            "level": "warning",
            "event": "peer_suspected",
            "message": "node 2 is suspected",
            "peer": 2,
        }
    ]


def test_a_line_for_people_is_a_sentence() -> None:
    """Issue, item 5: what a person is to type next stands alone on its line."""
    written = Minutes(form="text")
    written.log(Event("next_step", "  exchange account open"))
    written.log(Event("peer_suspected", "node 2 is suspected", peer=2))
    written.log("somebody said this")

    assert written.lines == [
        "  exchange account open",
        "2026-09-21T14:13:20Z warning node 2 is suspected",
        "2026-09-21T14:13:20Z info    somebody said this",
    ]


@pytest.mark.parametrize(("is_terminal", "begins"), [(True, "2"), (False, "{")])
def test_a_terminal_gets_text_and_all_else_json(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, begins: str
) -> None:
    """Issue, item 5: JSON when stderr is not a terminal."""
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    log = Log(LogSettings(), stream=stream, wall_us=lambda: 10**15, mono_us=lambda: 0)
    log(Event("peer_suspected", "node 2 is suspected"))

    assert stream.getvalue().startswith(begins)


@given(st.text())
@pytest.mark.parametrize("form", ["json", "text"])
def test_no_text_forges_a_line(form: str, text: str) -> None:
    """Faults 3, log injection: one event is one line, and nothing in it moves the cursor."""
    written = Minutes(form=form)
    written.log(Event("link_refused", text, address=text))
    printed = written.stream.getvalue()

    assert len(printed.splitlines()) == 1
    assert printed.endswith("\n")
    assert printed[:-1].isprintable()


@given(st.text())
def test_no_traceback_forges_a_line(text: str) -> None:
    """Faults 3: each line of it is marked as such."""
    written = Minutes(form="text")
    written.log(Event("connection_failed", "it failed", traceback=text))

    assert all(line.startswith("    | ") and line.isprintable() for line in written.lines[1:])


@pytest.mark.parametrize("form", ["json", "text"])
def test_keys_and_tokens_are_masked(form: str) -> None:
    """Issue, item 5: keys and tokens never appear in logs."""
    written = Minutes(form=form)
    bare = new_key()
    secrets = [bare, account_key(AccountId(make_id(3, 17)), bare), f"{'a1' * 32}.{bare}"]
    for secret in secrets:
        told = f"refused {secret!r}; it is no good"
        written.log(Event("connection_failed", told, traceback=told, address=secret))

    assert bare not in written.stream.getvalue()
    assert written.stream.getvalue().count("***") >= len(secrets)


def test_a_fingerprint_is_no_secret() -> None:
    """It is printed for people to compare."""
    written = Minutes(form="text")
    written.log(Event("certificate_used", f"HTTPS certificate SHA-256 {'a1' * 32}"))

    assert "a1" * 32 in written.lines[0]


@pytest.mark.parametrize("name", sorted(LIMITED))
def test_strangers_cannot_fill_the_disk(name: str) -> None:
    """Faults 3: what anybody can cause is limited, and what is left out is counted."""
    written = Minutes()
    for _ in range(LIMITED[name] + 5):
        written.log(Event(name, "again"))
    written.log(Event("peer_suspected", "another event", peer=1))
    written.now_us += 60_000_000
    written.log(Event(name, "again"))

    assert len(written.lines) == LIMITED[name] + 2
    assert json.loads(written.lines[-1])["left_out"] == 5


def test_less_is_logged_from_a_higher_level() -> None:
    """Interfaces 4: but what a person needs at the start, and why it ended, always."""
    written = Minutes(level="error", form="text")
    for name in ("log_opened", "peer_suspected", "force_failed", "node_ready", "failed"):
        written.log(Event(name, name))

    assert [line.split()[-1] for line in written.lines] == ["force_failed", "node_ready", "failed"]


def test_an_event_that_nobody_listed_is_a_bug() -> None:
    """Issue, item 5: names are fixed."""
    with pytest.raises(AssertionError):
        Event("surprise", "!")


def test_every_event_is_explained() -> None:
    """Issue, item 5: a log reference."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE)

    assert {name: (level, text) for name, level, text in rows} == EVENTS


def test_every_event_is_told_somewhere() -> None:
    """Issue, item 5: the list is that of the code."""
    told = set()
    for path in (ROOT / "exchange").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("Event"):
                continue
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant):
                told.add(first.value)

    assert told == set(EVENTS) - {logs.NOTE}


def test_options_are_read_from_the_environment_too() -> None:
    """Interfaces 4."""

    @click.command()
    @logs.options
    def command(log_level: str, log_format: str) -> None:
        click.echo(f"{log_level} {log_format}")

    assert CliRunner().invoke(command, []).output == "info auto\n"
    environment = {"EXCHANGE_LOG_LEVEL": "debug"}
    asked = CliRunner().invoke(command, ["--log-format", "json"], env=environment)
    assert asked.output == "debug json\n"


def test_link_that_is_refused_every_second_is_told_twice_a_minute_for_each_peer() -> None:
    """A node that cannot be reached must not bury what else its peers have to tell."""
    written = Minutes()
    for second in range(600):
        written.now_us = second * 1_000_000
        for peer in (2, 3):
            written.log(Event("link_ended", "the connection was closed", peer=peer))

    told = [json.loads(line) for line in written.lines]
    assert [line["peer"] for line in told].count(2) == 10 * REPEATS
    assert len(told) == 20 * REPEATS
    assert sum(line.get("left_out", 0) for line in told) == 2 * 9 * (60 - REPEATS)
