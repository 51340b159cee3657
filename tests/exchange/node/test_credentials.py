"""A node gets its certificate once, and renews it while there is time."""

from functools import partial
from pathlib import Path

import pytest
import trio

from exchange.coordinator.authority import new_token
from exchange.coordinator.service import Serving, serve_coordinator
from exchange.node import credentials as module
from exchange.node.credentials import Credentials
from exchange.node.errors import BadSetting
from exchange.node.settings import Settings
from exchange.process.addresses import Address, parse_address
from exchange.process.clocks import now
from exchange.process.tls import CERTIFICATE, DIRECTORY, KEY
from exchange.store.directory import Directory


async def a_coordinator(nursery: trio.Nursery, path: Path) -> Address:
    serve = partial(serve_coordinator, path, "127.0.0.1:0", is_tls=True, say=lambda sentence: None)
    serving: Serving = await nursery.start(serve)
    return parse_address(serving.address)


def told_by(directory: Directory, coordinator: Address, *, join: str) -> Credentials:
    settings = Settings(directory.path, coordinator=coordinator, is_tls=True, join=join)
    return Credentials(directory, settings, str(coordinator), "127.0.0.1:7400")


def files(path: Path) -> tuple[bytes, bytes]:
    return (path / DIRECTORY / KEY).read_bytes(), (path / DIRECTORY / CERTIFICATE).read_bytes()


async def first_word(credentials: Credentials) -> str:
    """Return what is told of the first look at the certificate."""
    send, receive = trio.open_memory_channel[str](1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(credentials.keep, send.send_nowait)
        word = await receive.receive()
        nursery.cancel_scope.cancel()
    return word


async def test_renewal_replaces_one_file(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 5: killed at any instant, key and certificate still belong together."""
    coordinator = await a_coordinator(nursery, tmp_path / "c")
    token = new_token(tmp_path / "c", now=now())
    with Directory.lock(tmp_path / "n") as directory:
        credentials = told_by(directory, coordinator, join=token)
        await credentials.obtain()
        key, certificate = files(tmp_path / "n")
        monkeypatch.setattr(module, "RENEW_DAYS", 1_000)

        assert "is renewed" in await first_word(credentials)
    renewed_key, renewed = files(tmp_path / "n")
    assert renewed_key == key
    assert renewed != certificate
    nursery.cancel_scope.cancel()


async def test_renewal_that_fails_ends_no_node(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W7, C1: neither a full disk nor a coordinator that is away."""
    coordinator = await a_coordinator(nursery, tmp_path / "c")
    token = new_token(tmp_path / "c", now=now())
    with Directory.lock(tmp_path / "n") as directory:
        credentials = told_by(directory, coordinator, join=token)
        await credentials.obtain()
        monkeypatch.setattr(module, "RENEW_DAYS", 1_000)
        (tmp_path / "n" / DIRECTORY / KEY).unlink()

        assert "is not renewed" in await first_word(credentials)
    nursery.cancel_scope.cancel()


async def test_certificate_is_got_once(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Issue 5: a token is good once, and needed once."""
    coordinator = await a_coordinator(nursery, tmp_path / "c")
    token = new_token(tmp_path / "c", now=now())
    with Directory.lock(tmp_path / "n") as directory:
        await told_by(directory, coordinator, join=token).obtain()
        nursery.cancel_scope.cancel()
        certificates = files(tmp_path / "n")
        with trio.CancelScope(shield=True):
            await told_by(directory, coordinator, join="").obtain()

    assert files(tmp_path / "n") == certificates


async def test_without_a_token_there_is_a_remedy(tmp_path: Path) -> None:
    """Interfaces section 4."""
    with Directory.lock(tmp_path) as directory, pytest.raises(BadSetting, match="--join"):
        await told_by(directory, Address("127.0.0.1", 1), join="").obtain()
