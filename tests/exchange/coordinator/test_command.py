"""The real process: what it says, how it ends, and that SIGKILL loses nothing it answered."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from exchange.coordinator.command import main
from exchange.coordinator.core import NONCE_BYTES, Registration
from exchange.coordinator.registration import register_line
from exchange.domain.units import Epoch, NodeId

COMMAND = [sys.executable, "-m", "exchange.coordinator.command"]
_ADDRESS = re.compile(rb" on (127\.0\.0\.1):([0-9]+), data in ")
TEXT = ("--log-format", "text")  # what a person sees on a terminal
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("EXCHANGE_")}


class Process:
    """A coordinator in a process of its own."""

    def __init__(self, path: Path, *flags: str, **environment: str) -> None:
        self.path = path
        self._process = subprocess.Popen(
            [*COMMAND, "--data-dir", str(path), "--listen", "127.0.0.1:0", *TEXT, *flags],
            stderr=subprocess.PIPE,
            env={**PLAIN, **environment},
        )
        assert self._process.stderr is not None
        self._errors = self._process.stderr
        self.greeting: list[bytes] = []
        while not self.greeting or not self.greeting[-1].startswith(b"next:"):
            line = self._errors.readline()
            assert line, self.greeting
            self.greeting.append(line)
        found = next(filter(None, map(_ADDRESS.search, self.greeting)))
        self.address = (found[1].decode(), int(found[2]))

    def end(self, number: int) -> int:
        """Send a signal and return the exit code."""
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        with self._process, closing(self._errors):
            self._errors.read()
            return self._process.wait()

    def ask(self, *lines: bytes, answers: int) -> list[Any]:
        """Send lines on a connection of their own; fewer answers if it died before."""
        with (
            socket.create_connection(self.address) as connection,
            connection.makefile("rb") as file,
        ):
            connection.sendall(b"".join(lines))
            return [json.loads(line) for _, line in zip(range(answers), _lines(file), strict=False)]


def _lines(file: Any) -> Iterator[bytes]:  # noqa: ANN401 - what makefile returns
    try:
        yield from file
    except ConnectionResetError:
        return


def first_registration(number: int) -> bytes:
    nonce = number.to_bytes(NONCE_BYTES, "big")
    return register_line(Registration(nonce, f"127.0.0.1:{7000 + number}"))


def later_registration(number: int, *, node_id: int, epoch: int) -> bytes:
    return register_line(
        Registration(
            number.to_bytes(NONCE_BYTES, "big"),
            f"127.0.0.1:{7000 + number}",
            NodeId(node_id),
            epoch=Epoch(epoch),
            boot_id=bytes([epoch]),
        )
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_says_where_it_is_and_stops_cleanly(tmp_path: Path, number: int) -> None:
    """Interfaces section 4."""
    process = Process(tmp_path / "data")
    endpoints = json.loads((tmp_path / "data" / "endpoints.json").read_bytes())
    host, port = process.address

    assert endpoints["coordinator"] == f"{host}:{port}"
    assert b"operator key written to" in b"".join(process.greeting)
    assert f"--coordinator {host}:{port}".encode() in process.greeting[-1]
    assert process.end(number) == 0
    assert not (tmp_path / "data" / "endpoints.json").exists()
    assert (tmp_path / "data" / "operator.key").stat().st_mode & 0o777 == 0o600


def test_killed_process_has_lost_nothing_it_answered(tmp_path: Path) -> None:
    """C2: SIGKILL between registrations; a node that asks again gets the same id."""
    answered = {}
    for number in (1, 2, 3):
        process = Process(tmp_path, "--no-auth")
        (told,) = process.ask(first_registration(number), answers=1)
        answered[number] = told["id"]
        assert process.end(signal.SIGKILL) == -signal.SIGKILL
    process = Process(tmp_path, "--no-auth")
    again = {
        number: process.ask(first_registration(number), answers=1)[0]["id"] for number in (3, 1, 2)
    }
    process.end(signal.SIGTERM)

    assert answered == again == {1: 1, 2: 2, 3: 3}


@pytest.mark.parametrize("passage", [2, 3, 4, 5])
def test_registry_killed_in_a_write_is_as_before_it(tmp_path: Path, passage: int) -> None:
    """C2, C3: what was answered is there, what was not is not half there.

    The first write makes the environment, the others are one registration each.
    """
    process = Process(
        tmp_path, "--no-auth", EXCHANGE_CRASH_POINT=f"write_begun_uncommitted:{passage}"
    )
    requests = [
        first_registration(1),
        first_registration(2),
        later_registration(1, node_id=1, epoch=1),
        later_registration(2, node_id=2, epoch=5),
    ]
    answers = [process.ask(request, answers=1) for request in requests[: passage - 1]]
    assert process.wait() == -signal.SIGKILL
    process = Process(tmp_path, "--no-auth")
    (cluster,) = process.ask(b'{"id":1,"type":"cluster.get"}\n', answers=1)
    process.end(signal.SIGTERM)

    assert [len(answer) for answer in answers] == [*[1] * (passage - 2), 0]
    nodes = {each["node_id"]: each["epoch"] for each in cluster["value"]["nodes"]}
    assert nodes == [{}, {1: 0}, {1: 0, 2: 0}, {1: 1, 2: 0}][passage - 2]


def test_second_process_on_a_directory_exits_with_5(tmp_path: Path) -> None:
    """W6: the holder is named."""
    process = Process(tmp_path)
    second = subprocess.run(
        [*COMMAND, "--data-dir", str(tmp_path), "--listen", "127.0.0.1:0"],
        capture_output=True,
        env=PLAIN,
        check=False,
    )
    process.end(signal.SIGTERM)

    assert second.returncode == 5
    assert b"is in use by process" in second.stderr


@pytest.mark.parametrize(
    ("flags", "remedy"),
    [
        (["--listen", "0.0.0.0:7401"], "listen on 127.0.0.1:7401"),
        (["--listen", "10.0.0.1:1", "--no-auth"], "leave --no-auth out"),
        (["--listen", "7401"], "write HOST:PORT"),
    ],
)
def test_listener_that_must_not_be_exits_with_2(
    tmp_path: Path, flags: list[str], remedy: str
) -> None:
    """Interfaces section 4."""
    result = CliRunner().invoke(main, ["--data-dir", str(tmp_path / "data"), *flags])

    assert result.exit_code == 2
    assert remedy in result.stderr
    assert not (tmp_path / "data").exists()


def test_help_has_two_examples_and_version_names_the_format() -> None:
    """Interfaces section 4."""
    told = CliRunner().invoke(main, ["--help"])
    version = CliRunner().invoke(main, ["--version"])

    assert told.output.count("  exchange-coordinator --data-dir") == 2
    assert "EXCHANGE_DATA_DIR" in told.output
    assert "store format 1" in version.output


def test_environment_is_heard_below_flags(tmp_path: Path) -> None:
    """Interfaces section 4: flag over environment over default."""
    environment = {"EXCHANGE_DATA_DIR": str(tmp_path), "EXCHANGE_LISTEN": "nonsense"}
    from_environment = CliRunner().invoke(main, [], env=environment)
    from_flag = CliRunner().invoke(main, ["--listen", "0.0.0.0:1"], env=environment)

    assert "'nonsense' is not an address" in from_environment.stderr
    assert "0.0.0.0:1" in from_flag.stderr
