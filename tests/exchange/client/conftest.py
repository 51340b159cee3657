"""A scripted server on memory streams: answers each line by a function of the test."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

Script = Callable[[Any], Any]  # a decoded line -> answers, HANG or DROP


class FakeServer:
    """Every dial is a new connection; `lines` are those of all of them."""

    HANG = object()  # never answer this line
    DROP = object()  # end the connection without an answer

    def __init__(self, nursery: trio.Nursery, script: Script) -> None:
        self.nursery = nursery
        self.script = script
        self.lines: list[Any] = []
        self.dials = 0
        self.is_down = False

    async def dial(self) -> trio.abc.Stream:
        """Connect, as a client's `dial`."""
        await trio.lowlevel.checkpoint()
        if self.is_down:
            raise ConnectionRefusedError("nobody listens")
        self.dials += 1
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self._serve, theirs)
        return ours

    async def _serve(self, stream: trio.StapledStream[Any, Any]) -> None:
        rest = b""
        while data := await stream.receive_some():
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                request = msgspec.json.decode(line)
                self.lines.append(request)
                answer = self.script(request)
                if answer is self.DROP:
                    await stream.aclose()
                    return
                if isinstance(answer, bytes):
                    await stream.send_all(answer)
                elif answer is not None and answer is not self.HANG:
                    await stream.send_all(msgspec.json.encode(answer) + b"\n")


@pytest.fixture
def fake_server(nursery: trio.Nursery) -> Callable[[Script], FakeServer]:
    """Return a maker of servers."""
    return lambda script: FakeServer(nursery, script)
