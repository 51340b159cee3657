"""The examples of docs/gateway.md, carried out."""

import itertools
import re
from pathlib import Path
from typing import Any

import msgspec
import trio

from tests.exchange.gateway.house import a_house
from tests.exchange.gateway.sockets import FeedSocket, a_socket

DOCUMENT = Path(__file__).parents[3] / "docs" / "gateway.md"
SECONDS = 20.0


def blocks() -> list[list[str]]:
    """Return the indented blocks of the document, line by line."""
    found = re.findall(r"(?:^ {4}.+\n)+", DOCUMENT.read_text(), re.MULTILINE)
    return [[line.strip() for line in block.splitlines()] for block in found]


def is_in(shown: Any, real: Any) -> bool:  # noqa: ANN401 - JSON
    """Tell whether everything shown is so; what is left out of an example may be anything."""
    if isinstance(shown, dict):
        return all(name in real and is_in(shown[name], real[name]) for name in shown)
    if isinstance(shown, list):
        return len(shown) == len(real) and all(map(is_in, shown, real))
    return bool(shown == real)


async def converse(socket: FeedSocket, lines: list[str]) -> None:
    """Send what is sent, and find what is shown among as many messages, in any order."""
    for line in lines:
        if line.startswith(">"):
            await socket.send(line[1:].strip())
    shown = [msgspec.json.decode(line[1:]) for line in lines if not line.startswith(">")]
    real = [await socket.message() for _ in shown]

    for one in shown:
        assert any(is_in(one, message) for message in real), (one, real)


def test_examples_are_true(tmp_path: Path) -> None:
    """Interfaces section 3; issue: examples executed by a test."""
    done = 0
    with a_house(tmp_path / "node") as house:
        house.list_symbol("AAPL")
        alice = house.open_account(USD="1000")
        shown = blocks()
        for request, answer in itertools.pairwise(shown):
            if not request[0].startswith("POST"):
                continue
            method, path = request[0].split()
            real = alice.call(method, path, request[1].encode())
            assert real.status_code == int(answer[0])
            assert is_in(msgspec.json.decode(answer[1]), real.json()), real.text
            done += 1

        async def feed() -> None:
            with trio.fail_after(SECONDS):
                async with a_socket(house.address, house.context) as socket:
                    for block in shown:
                        if block[0].startswith(">"):
                            await converse(socket, block)

        trio.run(feed)

    assert done == 3
