"""Executes the commands of a document, in order, in one shell, as a reader would type them."""

import os
import re
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90
_COMMAND = re.compile(r"^\$ (.*?)(?:\s+# exit (\d+))?$", re.MULTILINE)
_PORT = re.compile(r"127\.0\.0\.1:(74\d\d)")

# A command that ends with & is a node; who types waits until it serves.
PRELUDE = r"""
pidof_node() { sed -E 's/.*"pid": ?([0-9]+).*/\1/' $1/endpoints.json; }
ready() {
    for _ in $(seq 600); do
        kill -0 $2 || return 1
        grep -qs "\"pid\":$2," $1/endpoints.json && return
        sleep 0.05
    done
    return 1
}
failed() { echo "FAILED: $1, exit $2" >&2; cat *.log >&2; exit 1; }
trap 'kill -9 $(jobs -p) 2> kill.err; true' EXIT
"""


def commands(text: str) -> list[tuple[str, int]]:
    """Return the commands of all console blocks, with the exit codes they are to have."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    found = [match for block in blocks for match in _COMMAND.findall(block)]
    return [(command.strip(), int(code or 0)) for command, code in found]


def script(text: str) -> str:
    """Write a document's commands as a script that ends at the first wrong exit code."""
    lines = [PRELUDE]
    for command, code in commands(text):
        if command.endswith("&"):
            (directory,) = re.findall(r"--data-dir (\S+)", command)
            command = command.replace("exchange-node ", f"exchange-node {_default_ports(command)}")
            lines += [command, f"ready {directory} $! || failed {directory!r} $?"]
        else:
            lines.append(f"{command}; code=$?; [ $code = {code} ] || failed {command!r} $code")
    return "\n".join(lines)


def _default_ports(command: str) -> str:
    flags = "" if "--listen" in command else "--listen 127.0.0.1:7400 "
    return flags if "--coordinator" in command else f"{flags}--coordinator-listen 127.0.0.1:7401 "


def run_document(path: Path, directory: Path) -> str:
    """Execute a document's commands in an empty directory, on free ports; return the output."""
    text = script(path.read_text())
    for wanted, free in _free_ports(sorted(set(_PORT.findall(text)))).items():
        text = text.replace(f"127.0.0.1:{wanted}", f"127.0.0.1:{free}")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("EXCHANGE_")
    }
    environment |= {
        "HOME": str(directory),
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        "COLUMNS": "200",
    }
    done = subprocess.run(
        ["bash", "-c", text],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _free_ports(wanted: list[str]) -> dict[str, int]:
    with ExitStack() as stack:
        found = {}
        for port in wanted:
            taken = stack.enter_context(socket.socket())
            taken.bind(("127.0.0.1", 0))
            found[port] = taken.getsockname()[1]
        return found
