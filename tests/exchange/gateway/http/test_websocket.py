"""A WebSocket on the open net: nothing is inflated, nothing is without a bound."""

import base64
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Message
from wsproto.events import Request as Opening

from exchange.gateway.http.connection import Site
from exchange.gateway.http.limits import Bodies, RequestGuard
from exchange.gateway.http.messages import Request, Socket, Upgrade
from exchange.gateway.http.router import Router
from exchange.gateway.http.server import DateHeader, HttpServer
from exchange.gateway.http.websocket import FRAGMENTS_MAX, MESSAGE_SIZE, PING_S, text_frame
from exchange.process.limits import Guard, Limits
from exchange.process.logs import Event
from tests.exchange.gateway.http.test_server import everything

KEY = base64.b64encode(b"0123456789abcdef")
OPENING = (
    b"GET /feed HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n"
)
TEXT, BINARY, CONTINUED, PING = 1, 2, 0, 9


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_frame_is_what_websocket_clients_read(length: int) -> None:
    """RFC 6455: written by hand, read by an implementation."""
    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER)
    server.receive_data(client.send(Opening(host="x", target="/")))
    list(server.events())
    client.receive_data(server.send(AcceptConnection()))
    client.receive_data(text_frame(b"x" * length))
    text = "".join(str(event.data) for event in client.events() if isinstance(event, Message))

    assert text == "x" * length


async def echo(_request: Request, socket: Socket) -> None:
    while (text := await socket.receive()) is not None:
        if text == "bug":
            raise RuntimeError("secret")
        socket.push(text.encode())


@asynccontextmanager
async def a_socket(
    headers: bytes = b"", told: list[Event] | None = None
) -> AsyncIterator[tuple[trio.SocketStream, bytes]]:
    """Open a WebSocket; yields the stream and the head of the answer."""
    router, guard = Router(), Guard(Limits(), lambda: 0)
    router.add("GET", "/feed", Upgrade(echo))
    events: list[Event] = [] if told is None else told
    request_guard = RequestGuard(guard)
    site = Site(
        router, request_guard, Bodies(), Counter(), lambda: 0, DateHeader(lambda: 0), events.append
    )
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, trio.open_nursery() as nursery:
        server = HttpServer(site, context=lambda: None, guard=guard)
        nursery.start_soon(server.run, listener)
        async with await trio.open_tcp_stream(*listener.socket.getsockname()[:2]) as stream:
            await stream.send_all(OPENING + headers + b"\r\n")
            yield stream, bytes(await stream.receive_some())
            nursery.cancel_scope.cancel()
    assert told is not None or not events, events


def frame(payload: bytes, opcode: int = TEXT, *, is_final: bool = True, rsv: int = 0) -> bytes:
    """Return a client's frame, masked with zeros."""
    first = bytes([is_final << 7 | rsv << 4 | opcode])
    if len(payload) < 126:
        return first + bytes([0x80 | len(payload)]) + bytes(4) + payload
    return first + bytes([0xFF]) + len(payload).to_bytes(8, "big") + bytes(4) + payload


def closed_with(data: bytes) -> int:
    """Return the code of the goodbye that ends what was received."""
    place = data.rindex(b"\x88")
    return int.from_bytes(data[place + 2 : place + 4], "big")


async def test_compression_is_not_offered() -> None:
    """Faults 3: a message of 200 kB that inflated to 200 MB needed no key."""
    async with a_socket(b"Sec-WebSocket-Extensions: permessage-deflate\r\n") as (_, head):
        pass

    assert head.startswith(b"HTTP/1.1 101")
    assert b"extensions" not in head.lower()


BOMB = zlib.compress(bytes(1_000_000))
BAD_FRAMES = {
    "compressed": (frame(BOMB, rsv=4), 1002),
    "unmasked": (b"\x81\x01a", 1002),
    "reserved opcode": (frame(b"", 3), 1002),
    "long ping": (frame(bytes(126), PING), 1002),
    "binary": (frame(b"a", BINARY), 1003),
    "not UTF-8": (frame(b"\xff"), 1007),
    "large": (frame(b"a" * (MESSAGE_SIZE + 1)), 1009),
    "large in pieces": (
        frame(b"a" * MESSAGE_SIZE, is_final=False) + frame(b"a", CONTINUED, is_final=False),
        1009,
    ),
    "endless pieces": (
        frame(b"", is_final=False) + (FRAGMENTS_MAX + 1) * frame(b"", CONTINUED, is_final=False),
        1009,
    ),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
async def test_frame_out_of_bounds_ends_it_with_its_code(name: str) -> None:
    """RFC 6455 7.4.1; faults 3: the bound comes before anything is gathered."""
    sent, code = BAD_FRAMES[name]
    async with a_socket() as (stream, _):
        await stream.send_all(sent)
        received = await everything(stream)

    assert closed_with(received) == code


async def test_message_in_pieces_is_one_and_a_ping_is_answered() -> None:
    """RFC 6455 5.4, 5.5.2."""
    async with a_socket() as (stream, _):
        pieces = frame(b"a", is_final=False) + frame(b"x", PING) + frame(b"b", CONTINUED)
        await stream.send_all(pieces + frame(b"", 8))
        received = await everything(stream)

    assert received == b"\x8a\x01x" + text_frame(b"ab") + b"\x88\x02" + (1000).to_bytes(2, "big")


async def test_flood_of_pings_is_held_up(autojump_clock: trio.abc.Clock) -> None:
    """Faults 3: frames have a rate; what is beyond it waits in the sender's socket."""
    async with a_socket() as (stream, _):
        begun = trio.current_time()  # noqa: TID251 - the clock of the test
        await stream.send_all(300 * frame(b"", PING) + frame(b"", 8))
        await everything(stream)
        took = trio.current_time() - begun  # noqa: TID251

    assert took > 10


async def test_client_that_is_gone_is_found_out(autojump_clock: trio.abc.Clock) -> None:
    """Faults 3: one that says nothing is asked, and ended if it does not answer."""
    async with a_socket() as (stream, _):
        begun = trio.current_time()  # noqa: TID251 - the clock of the test
        received = await everything(stream)
        took = trio.current_time() - begun  # noqa: TID251

    assert received.startswith(b"\x89\x00")
    assert closed_with(received) == 1001
    assert took < 3 * PING_S


async def test_bug_is_told_to_the_operator_and_the_client_hears_1011() -> None:
    """Faults 3: a KeyError in the feed once threw subscribers out, and nobody knew."""
    told: list[Event] = []
    async with a_socket(told=told) as (stream, _):
        await stream.send_all(frame(b"bug"))
        received = await everything(stream)

    assert closed_with(received) == 1011
    assert b"secret" not in received
    assert [event.name for event in told] == ["connection_failed"]


@pytest.mark.parametrize(
    ("opening", "status"),
    [
        (b"GET /feed HTTP/1.1\r\nHost: x\r\n\r\n", b"426"),
        (OPENING.replace(b"13", b"12") + b"\r\n", b"426"),
        (OPENING.replace(KEY, b"x") + b"\r\n", b"400"),
        (OPENING.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n", b"426"),
        (OPENING.replace(b"GET", b"POST") + b"\r\n", b"405"),
    ],
)
async def test_bad_handshake_is_refused(opening: bytes, status: bytes) -> None:
    """RFC 6455 4.2."""
    async with a_socket() as (stream, _):
        address = stream.socket.getpeername()[:2]
        async with await trio.open_tcp_stream(*address) as other:
            await other.send_all(opening)
            await other.send_eof()
            answer = await everything(other)

    assert answer.split(b" ", 2)[1] == status
