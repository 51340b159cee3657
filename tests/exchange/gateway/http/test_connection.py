"""Requests of one connection: bodies, `Expect`, HEAD, what is answered late and what ends it."""

import re

import pytest
import trio

from exchange.gateway.http.connection import BODY_SIZE
from exchange.gateway.http.limits import PENALTY_S
from exchange.process.limits import Limits
from tests.exchange.gateway.http.test_server import OK, a_server, everything

CLOSE = b"Connection: close\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


async def test_head_is_get_without_its_body() -> None:
    """RFC 9110 9.3.2: the same head, and the connection goes on."""
    async with a_server() as served:
        head = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = await served.ask(head + b"GET / HTTP/1.0\r\n\r\n")
    first, second = re.split(rb"(?=HTTP/1\.1 200)", answer)[1:]

    assert b"content-length: 2\r\n" in first.lower()
    assert first.endswith(b"\r\n\r\n")
    assert second.endswith(b"{}")


async def test_client_that_expects_to_go_on_is_told_so() -> None:
    """RFC 9110 10.1.1: when the body is wanted, and not before a refusal."""
    async with a_server() as served, await served.dial() as stream:
        await stream.send_all(POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        told = await stream.receive_some()
        await stream.send_all(b"ab")
        answer = await stream.receive_some()
        refused = await served.ask(
            b"POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )

    assert statuses(bytes(told)) == [100]
    assert bytes(answer).endswith(b"\r\n\r\nab")
    assert statuses(refused) == [404]


async def test_refused_request_with_a_whole_body_does_not_end_the_connection() -> None:
    """RFC 9112 9.3: what is here already is read over."""
    one = b"POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
    async with a_server() as served:
        answer = await served.ask(one + b"GET / HTTP/1.0\r\n\r\n")

    assert statuses(answer) == [404, 200]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: %d\r\n" % (BODY_SIZE + 1), 413),
        (b"Content-Length: 3\r\nContent-Type: text/plain\r\n", 415),
        (b"Content-Length: 3\r\nContent-Encoding: gzip\r\n", 415),
        (b"Content-Length: 3\r\nExpect: magic\r\n", 417),
    ],
)
async def test_body_that_is_not_wanted_is_refused_and_is_no_request(
    headers: bytes, status: int
) -> None:
    """Faults 3: a connection whose body was not read has nothing more to say."""
    async with a_server() as served:
        answer = await served.ask(POST + headers + b"\r\n")

    assert statuses(answer) == [status]
    assert b"connection: close" in answer.lower()


async def test_body_that_drips_ends_in_408(autojump_clock: trio.abc.Clock) -> None:
    """Faults 3: the deadline is of the whole body."""
    async with a_server() as served, await served.dial() as stream:
        await stream.send_all(POST + b"Content-Length: 100\r\n\r\n ")
        answer = await everything(stream)

    assert statuses(answer) == [408]


async def test_head_that_drips_ends_in_408(autojump_clock: trio.abc.Clock) -> None:
    """Faults 3: slowloris; who never said a word is not answered."""
    async with a_server() as served, await served.dial() as stream:
        await stream.send_all(b"GET / HT")
        answer = await everything(stream)

    assert statuses(answer) == [408]


async def test_refusal_of_a_flood_comes_late_and_says_when_to_try_again(
    autojump_clock: trio.abc.Clock,
) -> None:
    """Issue: 429 with Retry-After; a path that leads nowhere is paid as well."""
    request = b"GET /no HTTP/1.1\r\nHost: x\r\n\r\n"
    async with a_server(Limits(address_rate=1)) as served:
        begun = trio.current_time()  # noqa: TID251 - the clock of the test
        answer = await served.ask(2 * request + b"GET / HTTP/1.0\r\n\r\n")
        took = trio.current_time() - begun  # noqa: TID251

    assert statuses(answer) == [404, 404, 429]
    assert took >= PENALTY_S
    assert b"retry-after: 1\r\n" in answer.lower()
    assert answer.lower().count(b"ratelimit-remaining: 0\r\n") == 2


async def test_upgrade_to_what_is_not_spoken_is_ignored() -> None:
    """RFC 9110 7.8."""
    async with a_server() as served:
        upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: foo/2\r\n\r\n"
        answer = await served.ask(upgrade + upgrade + b"GET / HTTP/1.0\r\n\r\n")

    assert answer.count(OK) == 3
