"""Handshakes that must fail, and the one that must not.  Refused callers find out by reading."""

import datetime
import ssl
from pathlib import Path

import pytest
import trio
import trio.testing

from exchange.coordinator.authority import Authority, new_request
from exchange.process.errors import ProcessError
from exchange.process.files import write_file
from exchange.process.tls import DIRECTORY, Trust, peer_name, secured, stranger, visitor

NOW = datetime.datetime.now(datetime.UTC)


def a_trust(tmp_path: Path, name: str, *, authority: str = "one", days: int = 90) -> Trust:
    home = tmp_path / authority
    home.mkdir(exist_ok=True)
    signer = Authority(home, now=NOW)
    key, request = new_request()
    directory = tmp_path / f"{authority}-{name}-{days}" / DIRECTORY
    write_file(directory / "node.key", key)
    write_file(directory / "node.crt", signer.sign(request, name, [], now=NOW, days=days))
    write_file(directory / "ca.crt", signer.certificate)
    return Trust.of_node(directory.parent)


async def shake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[str, str]:
    """Shake hands, exchange a byte; return the names that server and client were shown."""
    names = {}
    near, far = trio.testing.memory_stream_pair()

    async def serve() -> None:
        stream = await secured(near, server, is_server=True)
        names["server"] = peer_name(stream)
        await stream.send_all(b"x")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        stream = await secured(far, client)
        names["client"] = peer_name(stream)
        if await stream.receive_some(1) != b"x":
            raise ConnectionAbortedError("hung up on")
    return names["server"], names["client"]


async def test_two_nodes_show_each_other_their_names(tmp_path: Path) -> None:
    """Issue 5: mutual TLS 1.3."""
    one, two = a_trust(tmp_path, "node-1"), a_trust(tmp_path, "node-2")

    assert await shake(one.server, two.client) == ("node-2", "node-1")


async def test_client_needs_no_certificate_and_has_no_name(tmp_path: Path) -> None:
    """Issue 5: TCP clients get TLS too."""
    one = a_trust(tmp_path, "node-1")
    client = visitor(tmp_path / "one" / "ca.crt")

    assert await shake(one.server, client) == ("", "node-1")
    assert await shake(one.server, stranger()) == ("", "")


async def refused(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await shake(server, client)
    expected = (OSError, trio.BrokenResourceError)
    assert caught.value.split(expected)[1] is None


async def test_expired_certificate_is_refused(tmp_path: Path) -> None:
    """Issue 5: an expired certificate, at either end."""
    good, old = a_trust(tmp_path, "node-1"), a_trust(tmp_path, "node-2", days=-1)

    await refused(good.server, old.client)
    await refused(old.server, good.client)


async def test_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    """Faults 3: a node that is not one."""
    good, other = a_trust(tmp_path, "node-1"), a_trust(tmp_path, "node-2", authority="two")

    await refused(good.server, other.client)
    await refused(other.server, good.client)


async def test_tls_1_2_is_refused(tmp_path: Path) -> None:
    """Issue 5: TLS 1.2."""
    good = a_trust(tmp_path, "node-1")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    await refused(good.server, old)


async def test_plaintext_to_tls_is_refused(tmp_path: Path) -> None:
    """Issue 5: plaintext to the TLS port."""
    near, far = trio.testing.memory_stream_pair()
    await far.send_all(b'"1-1"\n{"type":"R balance"}\n')

    with pytest.raises(ConnectionAbortedError):
        await secured(near, a_trust(tmp_path, "node-1").server, is_server=True)


async def test_handshake_has_a_deadline(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Issue 5: deadlines for handshakes."""
    near, _far = trio.testing.memory_stream_pair()

    with pytest.raises(ConnectionAbortedError):
        await secured(near, a_trust(tmp_path, "node-1").server, is_server=True)


def test_missing_files_are_named(tmp_path: Path) -> None:
    """What, where, remedy."""
    with pytest.raises(ProcessError, match=r"ca\.crt.*--join"):
        Trust.of_node(tmp_path)
