"""Whom outgoing connections believe, and what they say to a server of the other kind."""

import datetime
from functools import partial
from pathlib import Path

import pytest
import trio

from exchange.client import sockets
from exchange.client.connection import Connection, Repeat, Request
from exchange.client.errors import Unreachable
from exchange.client.sockets import believe, open_stream
from exchange.coordinator.authority import Authority, new_request
from exchange.process.errors import BadAddress, ProcessError
from exchange.process.files import write_file
from exchange.process.tls import COORDINATOR, Trust, node_name, secured


async def test_text_that_is_no_address_is_refused() -> None:
    """Bad input: a clear error."""
    with pytest.raises(BadAddress, match="write HOST:PORT"):
        await open_stream("a:70000")


NOW = datetime.datetime.now(datetime.UTC)


def a_trust(home: Path, name: str) -> Trust:
    """Return what a server shows that the authority in a directory has certified."""
    home.mkdir(exist_ok=True)
    authority = Authority(home, now=NOW)
    key, request = new_request()
    write_file(home / "key", key)
    write_file(home / "crt", authority.sign(request, name, [COORDINATOR], now=NOW))
    return Trust(home / "ca.crt", home / "crt", home / "key")


@pytest.mark.parametrize(
    ("asked", "shown", "is_believed"),
    [
        (node_name(3), node_name(3), True),
        ("", node_name(3), True),
        (node_name(3), node_name(4), False),  # a node with another node's certificate
        (COORDINATOR, node_name(3), False),  # a node that poses as the coordinator
    ],
)
async def test_server_must_show_its_name(
    asked: str,
    shown: str,
    is_believed: bool,
    tmp_path: Path,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faults 3: the name that the authority chose, whatever hosts the certificate has."""
    monkeypatch.setattr(sockets, "_authority", [])
    trust = a_trust(tmp_path, shown)
    address = await _serving(nursery, trust)
    believe(tmp_path / "ca.crt")

    if is_believed:
        await trio.aclose_forcefully(await open_stream(address, name=asked))
    else:
        with pytest.raises(ConnectionAbortedError, match="certificate of node-"):
            await open_stream(address, name=asked)
    nursery.cancel_scope.cancel()


async def test_server_of_another_cluster_is_not_believed(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults 3: the right name by another authority."""
    monkeypatch.setattr(sockets, "_authority", [])
    address = await _serving(nursery, a_trust(tmp_path / "other", COORDINATOR))
    Authority(tmp_path, now=NOW)
    believe(tmp_path / "ca.crt")

    with pytest.raises(ConnectionAbortedError, match="no TLS"):
        await open_stream(address, name=COORDINATOR)
    nursery.cancel_scope.cancel()


async def _serving(nursery: trio.Nursery, trust: Trust) -> str:
    async def serve(stream: trio.SocketStream) -> None:
        try:
            await secured(stream, trust.server, is_server=True)
            await trio.sleep_forever()
        except OSError:
            pass

    listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
    port = listeners[0].socket.getsockname()[1]
    return f"127.0.0.1:{port}"


async def _refusal(nursery: trio.Nursery, address: str) -> str:
    """Return what a command says that asks this server."""
    connection = Connection(nursery, partial(open_stream, address), name="it")
    with pytest.raises(Unreachable) as raised:
        await connection.call(Request("node.status", None, Repeat.READ), within=0.5)
    return str(raised.value)


async def test_plain_client_of_a_tls_server_is_told_to_say_tls(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interfaces section 4: `tcp://` and `tls://`."""
    monkeypatch.setattr(sockets, "_authority", [])
    address = await _serving(nursery, a_trust(tmp_path, COORDINATOR))

    assert "say tls:// instead of tcp://" in await _refusal(nursery, address)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("said", [b"", b'{"type":"error","value":{"code":"x"}}\n'])
async def test_tls_client_of_a_plain_server_is_told_to_say_tcp(
    said: bytes, tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interfaces section 4: `tcp://` and `tls://`."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(said)

    monkeypatch.setattr(sockets, "_authority", [])
    a_trust(tmp_path, COORDINATOR)
    believe(tmp_path / "ca.crt")
    listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
    address = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"

    assert "say tcp:// instead of tls://" in await _refusal(nursery, address)
    nursery.cancel_scope.cancel()


def test_file_without_an_authority_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults 3: a gateway that could reach nobody does not start."""
    monkeypatch.setattr(sockets, "_authority", [])
    (tmp_path / "ca.crt").write_text("no certificate")

    with pytest.raises(ProcessError, match="cannot read the cluster's authority"):
        believe(tmp_path / "ca.crt")
    assert not sockets.is_secured()
