"""Every socket has the options that the design asks for, and listeners outlive a shortage."""

import errno
import socket

import pytest
import trio
import trio.testing

from exchange.process.addresses import parse_address
from exchange.process.errors import ListenFailed
from exchange.process.sockets import accept, listens_at, open_listener, tune
from exchange.process.tls import connect


async def test_every_connection_sends_at_once_and_is_kept_alive() -> None:
    """C5: TCP_NODELAY; interfaces section 1: keepalive at 10 s."""
    async with (
        await open_listener(parse_address("127.0.0.1:0")) as listener,
        await connect(listens_at(listener)) as dialed,
        await accept(listener) as taken,
    ):
        tune(taken)

        for stream in (dialed, taken):
            assert isinstance(stream, trio.SocketStream)
            assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10


async def test_port_in_use_is_refused_with_a_remedy() -> None:
    """Interfaces section 4."""
    async with await open_listener(parse_address("127.0.0.1:0")) as listener:
        with pytest.raises(ListenFailed, match="port 0 takes a free one"):
            await open_listener(listens_at(listener))


async def test_name_that_is_no_host_of_ours_is_refused() -> None:
    """Interfaces section 4."""
    with pytest.raises(ListenFailed, match="cannot listen"):
        await open_listener(parse_address("203.0.113.1:0"))


async def test_process_without_files_waits_for_one(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Faults 3: a flood of connections ends no server."""
    async with await open_listener(parse_address("127.0.0.1:0")) as listener:
        accept_once = listener.accept
        failures = [OSError(errno.EMFILE, "no files"), OSError(errno.ENFILE, "no files")]

        async def short_of_files() -> trio.SocketStream:
            if failures:
                raise failures.pop()
            return await accept_once()

        monkeypatch.setattr(listener, "accept", short_of_files)
        async with await connect(listens_at(listener)), await accept(listener):
            assert not failures
