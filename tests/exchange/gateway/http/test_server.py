"""HTTP/1.1 on the open net: deadlines, caps, and the shapes of request smuggling."""

import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from exchange.gateway.http.connection import HEAD_S, Site
from exchange.gateway.http.heads import HEAD_SIZE
from exchange.gateway.http.limits import Bodies, RequestGuard
from exchange.gateway.http.messages import Endpoint, Reply, Request
from exchange.gateway.http.router import Router
from exchange.gateway.http.server import DateHeader, HttpServer
from exchange.process.limits import Guard, Limits
from exchange.process.logs import Event
from tests.exchange.gateway.house import House

OK = b"HTTP/1.1 200"


async def echo(request: Request) -> Reply:
    """Answer with the body."""
    await trio.lowlevel.checkpoint()
    return Reply(request.body or b"{}")


async def bug(_request: Request) -> Reply:
    """Fail."""
    await trio.lowlevel.checkpoint()
    raise RuntimeError("secret")


def a_site(guard: Guard, told: list[Event]) -> Site:
    router = Router()
    router.add("GET", "/", Endpoint(echo))
    router.add("POST", "/", Endpoint(echo, takes_body=True))
    router.add("GET", "/next", Endpoint(echo))
    router.add("GET", "/bug", Endpoint(bug))
    request_guard = RequestGuard(guard)
    return Site(
        router, request_guard, Bodies(), Counter(), lambda: 0, DateHeader(lambda: 0), told.append
    )


class Served:
    """A server in this process, and connections to it."""

    def __init__(self, guard: Guard, port: int) -> None:
        self.guard = guard
        self.port = port

    async def dial(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def ask(self, request: bytes) -> bytes:
        """Send bytes and return all that comes until the server is done."""
        async with await self.dial() as stream:
            await stream.send_all(request)
            return await everything(stream)


async def everything(stream: trio.SocketStream) -> bytes:
    answer = b""
    try:
        async for data in stream:
            answer += data
    except trio.BrokenResourceError:
        pass
    return answer


@asynccontextmanager
async def a_server(
    limits: Limits | None = None, *, told: list[Event] | None = None
) -> AsyncIterator[Served]:
    events: list[Event] = []
    guard = Guard(limits or Limits(), lambda: 0)
    server = HttpServer(
        a_site(guard, events if told is None else told), context=lambda: None, guard=guard
    )
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(server.run, listener)
        try:
            yield Served(guard, listener.socket.getsockname()[1])
        finally:
            nursery.cancel_scope.cancel()
    assert not events, events


async def test_requests_of_a_connection_are_answered_in_order() -> None:
    """RFC 9112: keep-alive and pipelining."""
    async with a_server() as served:
        one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n"
        answer = await served.ask(one + b"a" + one + b"b" + b"GET / HTTP/1.0\r\n\r\n")

    assert answer.count(OK) == 3
    assert answer.index(b"\r\n\r\na") < answer.index(b"\r\n\r\nb")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * (HEAD_SIZE + 1) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: x\r\n" * 65 + b"\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
async def test_ambiguous_request_ends_the_connection(request_bytes: bytes) -> None:
    """Faults 3: whatever follows a head that two servers read differently is never read."""
    async with a_server() as served:
        answer = await served.ask(request_bytes + b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n")

    assert OK not in answer
    assert answer.count(b"HTTP/1.1") <= 1
    assert not answer or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    assert not answer or b"application/problem+json" in answer


async def test_client_that_drips_its_head_is_ended(autojump_clock: trio.abc.Clock) -> None:
    """Faults 3: one byte a second (slowloris); the deadline is of the whole head."""
    async with a_server() as served, await served.dial() as stream:
        begun = trio.current_time()  # noqa: TID251 - the clock of the test
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
        with trio.move_on_after(10 * HEAD_S):
            while True:
                await trio.sleep(1)
                try:
                    await stream.send_all(b"a")
                except trio.BrokenResourceError:
                    break
        assert trio.current_time() - begun < 2 * HEAD_S  # noqa: TID251


async def test_idle_connection_is_ended(autojump_clock: trio.abc.Clock) -> None:
    """Faults 3: 10,000 idle connections cost nothing for long."""
    async with a_server() as served, await served.dial() as stream:
        assert await everything(stream) == b""


async def test_connections_of_one_host_are_capped() -> None:
    """Faults 3: the newest is closed at once; the others go on."""
    async with a_server(Limits(connections_max=10, connections_per_address=2)) as served:
        streams = [await served.dial() for _ in range(2)]
        while served.guard.count < 2:
            await trio.lowlevel.checkpoint()
        assert await served.ask(b"GET / HTTP/1.0\r\n\r\n") == b""
        await streams[0].send_all(b"GET / HTTP/1.0\r\n\r\n")
        assert OK in await everything(streams[0])
        for stream in streams:
            await stream.aclose()
        while served.guard.count:
            await trio.lowlevel.checkpoint()
        assert OK in await served.ask(b"GET / HTTP/1.0\r\n\r\n")


async def test_bug_of_a_handler_is_told_to_the_operator_alone() -> None:
    """Faults 3: no leak of a trace; the log has it."""
    told: list[Event] = []
    async with a_server(told=told) as served:
        answer = await served.ask(b"GET /bug HTTP/1.0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 500")
    assert b"secret" not in answer
    assert [event.name for event in told] == ["request_failed"]


def test_second_request_after_a_refused_body_is_never_read(house: House) -> None:
    """Faults 3: over TLS as well, what follows an oversize body is not a request."""
    host, port = house.address.rsplit(":", 1)
    assert house.context is not None, "TLS"
    with (
        socket.create_connection((host, int(port))) as plain,
        house.context.wrap_socket(plain, server_hostname=host) as stream,
    ):
        stream.sendall(
            b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        answer = b""
        while data := stream.recv(65_536):
            answer += data

    assert answer.startswith(b"HTTP/1.1 413")
    assert answer.count(b"HTTP/1.1") == 1
