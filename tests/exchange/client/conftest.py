"""What client tests talk to.

fake_server   a scripted server on memory streams: a function of the test answers each line
live          two real nodes and a coordinator, started once for all tests that need them
people        the `exchange` command, as somebody types it against `live`
"""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from exchange.client import command
from exchange.client.cluster_process import LocalCluster
from exchange.client.results import NodeStatus, PeerStatus

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


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Return a cluster of two real nodes with authentication; tests open accounts of their own."""
    local = LocalCluster(tmp_path_factory.mktemp("live"), nodes=2, is_authenticated=True)
    try:
        trio.run(local.start)
        yield local
    finally:
        local.kill()


@pytest.fixture
def people(
    live: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Return `exchange` as a person types it, with a home of its own; it gives the exit code."""
    monkeypatch.setenv("EXCHANGE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("EXCHANGE_URL", f"tcp://{live.endpoint.coordinator}")
    monkeypatch.setenv("EXCHANGE_OPERATOR_KEY", live.operator_key)
    for name in ("EXCHANGE_DATA_DIR", "EXCHANGE_API_KEY", "EXCHANGE_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    return lambda *words: command.run([str(word) for word in words])


_numbers = count(1)


@pytest.fixture
def symbol() -> str:
    """Return a ticker that no other test trades."""
    return f"T{next(_numbers)}"


@pytest.fixture
def statuses() -> Callable[..., list[NodeStatus]]:
    """Return a maker of what quiet nodes say; the first one's fields can be changed."""

    def make(count: int, **changes: object) -> list[NodeStatus]:
        ids = range(1, count + 1)
        found = [
            NodeStatus(
                node_id=node_id,
                cluster="abc",
                epoch=1,
                is_ready=True,
                applied_lsn=9,
                open_orders=0,
                sum="0",
                offers_in_doubt=0,
                stream_seq=4,
                peers=[
                    PeerStatus(peer, "", "synced", 4, 4, 1, 4, 0, "0", 0)
                    for peer in ids
                    if peer != node_id
                ],
            )
            for node_id in ids
        ]
        found[0] = msgspec.structs.replace(found[0], **changes)
        return found

    return make
