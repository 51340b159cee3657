"""Requests have deadlines, are repeated where that is safe, and never guess an outcome."""

# ruff: noqa: ANN401 - a script is given any JSON

from collections.abc import Callable
from typing import Any

import pytest
import trio

from exchange.client.connection import Connection, Repeat, Request
from exchange.client.errors import OutcomeUnknown, Refused, Unreachable

Make = Callable[[Callable[[Any], Any]], Any]
READ = Request("order.get", {})
SAFE = Request("order.create", {}, Repeat.SAFE, client_order_id="a-1")
NEVER = Request("account.deposit", {}, Repeat.NEVER)


def ok(request: Any) -> dict[str, Any]:
    return {"id": request["id"], "type": "ok", "value": {}}


def refusal(request: Any, code: str) -> dict[str, Any]:
    value = {"code": code, "title": code, "detail": ""}
    return {"id": request["id"], "type": "error", "value": value}


def connection_to(nursery: trio.Nursery, server: Any, hello: bytes = b"") -> Connection:
    return Connection(nursery, server.dial, name="node 3", hello=hello)


async def test_connects_when_first_asked_and_says_hello_once(
    nursery: trio.Nursery, fake_server: Make
) -> None:
    """Interfaces 1: the first line is the user id."""
    server = fake_server(lambda line: None if line == "3-17" else ok(line))
    connection = connection_to(nursery, server, b'"3-17"\n')

    await connection.call(READ)
    await connection.call(READ)

    assert server.dials == 1
    assert [line for line in server.lines if isinstance(line, str)] == ["3-17"]


async def test_request_carries_wait_and_a_key_of_its_own(
    nursery: trio.Nursery, fake_server: Make
) -> None:
    """C7: the gateway passes the user's credentials with each request."""
    server = fake_server(ok)
    request = Request("order.create", {"symbol": "A"}, Repeat.SAFE, auth="key", wait="done")

    await connection_to(nursery, server).call(request)

    (line,) = server.lines
    assert (line["auth"], line["wait"], line["value"]) == ("key", "done", {"symbol": "A"})


@pytest.mark.parametrize("request_", [READ, SAFE])
async def test_safe_request_is_repeated_on_a_new_connection(
    nursery: trio.Nursery, fake_server: Make, autojump_clock: object, request_: Request
) -> None:
    """Faults 2.15, 2.17."""
    answers = iter(["drop", "drop", "ok"])
    server = fake_server(lambda line: server.DROP if next(answers) == "drop" else ok(line))

    await connection_to(nursery, server).call(request_)

    assert server.dials == 3
    assert [line["type"] for line in server.lines] == [request_.verb] * 3


async def test_unsafe_request_is_not_repeated_once_sent(
    nursery: trio.Nursery, fake_server: Make, autojump_clock: object
) -> None:
    """A deposit sent twice would be two deposits."""
    server = fake_server(lambda _: server.DROP)

    with pytest.raises(OutcomeUnknown):
        await connection_to(nursery, server).call(NEVER)

    assert len(server.lines) == 1


async def test_unsafe_request_is_tried_until_it_can_be_sent(
    nursery: trio.Nursery, fake_server: Make, autojump_clock: object
) -> None:
    """What was never sent has not happened."""
    server = fake_server(ok)
    server.is_down = True

    async def come_up() -> None:
        await trio.sleep(2)
        server.is_down = False

    nursery.start_soon(come_up)
    await connection_to(nursery, server).call(NEVER, within=10)

    assert len(server.lines) == 1


async def test_unknown_outcome_stays_unknown(
    nursery: trio.Nursery, fake_server: Make, autojump_clock: object
) -> None:
    """S4 for clients: silence proves nothing."""
    server = fake_server(lambda _: server.HANG)

    with pytest.raises(OutcomeUnknown, match="it may have happened or not") as caught:
        await connection_to(nursery, server).call(SAFE, within=1)

    assert caught.value.client_order_id == "a-1"
    assert caught.value.exit_code == 6


async def test_outcome_of_a_lost_attempt_stays_unknown_while_nobody_answers(
    nursery: trio.Nursery, fake_server: Make, autojump_clock: object
) -> None:
    """The first sending may have worked, whatever the later ones met."""

    def script(_: Any) -> object:
        server.is_down = True
        return server.DROP

    server = fake_server(script)

    with pytest.raises(OutcomeUnknown):
        await connection_to(nursery, server).call(SAFE, within=5)


async def test_nobody_there_is_unreachable(
    nursery: trio.Nursery, fake_server: Make, autojump_clock: object
) -> None:
    """Interfaces 4: exit code 3."""
    server = fake_server(ok)
    server.is_down = True

    with pytest.raises(Unreachable, match="node 3") as caught:
        await connection_to(nursery, server).call(SAFE, within=5)

    assert caught.value.exit_code == 3


async def test_server_that_is_away_is_told_as_such_after_its_reach(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """Interfaces 4, exit code 3: people wait for the error; who comes later hears it at once."""
    dials = 0

    async def dial() -> trio.abc.Stream:
        nonlocal dials
        dials += 1
        await trio.lowlevel.checkpoint()
        raise ConnectionRefusedError(111, "refused")

    connection = Connection(nursery, dial, name="node 3", reach=3.0)
    begun = trio.current_time()  # noqa: TID251 - of the clock that jumps
    with pytest.raises(Unreachable, match=r"node 3: .*refused; is it running"):
        await connection.call(SAFE)
    assert 3 <= trio.current_time() - begun < 5  # noqa: TID251
    before = dials
    with pytest.raises(Unreachable):
        await connection.call(READ)

    assert dials == before + 1


async def test_read_without_answer_is_unreachable(
    nursery: trio.Nursery, fake_server: Make, autojump_clock: object
) -> None:
    """A read leaves nothing unknown."""
    server = fake_server(lambda _: server.HANG)

    with pytest.raises(Unreachable):
        await connection_to(nursery, server).call(READ, within=5)


async def test_refusal_is_raised_and_not_repeated(nursery: trio.Nursery, fake_server: Make) -> None:
    """A refusal is an answer."""
    server = fake_server(lambda line: refusal(line, "unknown_order"))

    with pytest.raises(Refused, match="unknown_order"):
        await connection_to(nursery, server).call(READ)

    assert len(server.lines) == 1


async def test_node_that_is_starting_is_asked_again(
    nursery: trio.Nursery, fake_server: Make, autojump_clock: object
) -> None:
    """C6: a node that is not ready refuses orders for a moment."""
    answers = iter(["not_ready", "not_ready", "ok"])

    def script(line: Any) -> object:
        told = next(answers)
        return ok(line) if told == "ok" else refusal(line, told)

    server = fake_server(script)

    await connection_to(nursery, server).call(NEVER)

    assert len(server.lines) == 3


async def test_node_that_stays_not_ready_is_told_as_such(
    nursery: trio.Nursery, fake_server: Make, autojump_clock: object
) -> None:
    """It is known that nothing was done: no unknown outcome."""
    server = fake_server(lambda line: refusal(line, "not_ready"))

    with pytest.raises(Refused, match="not_ready"):
        await connection_to(nursery, server).call(SAFE, within=3)


async def test_bare_value_is_asked_and_answered(nursery: trio.Nursery, fake_server: Make) -> None:
    """Interfaces 1: client to coordinator."""
    server = fake_server(lambda line: {"3-17": "127.0.0.1:7400"}[line])

    answer = await connection_to(nursery, server).call_bare("3-17")

    assert bytes(answer.value) == b'"127.0.0.1:7400"'


async def test_pipelined_requests_need_no_task_each(
    nursery: trio.Nursery, fake_server: Make
) -> None:
    """E6."""
    server = fake_server(ok)
    connection = connection_to(nursery, server)
    await connection.connect()
    outcomes: list[object] = []
    done = trio.Event()

    def on_outcome(outcome: object) -> None:
        outcomes.append(outcome)
        if len(outcomes) == 100:
            done.set()

    for _ in range(100):
        connection.submit(SAFE, on_outcome)
    await done.wait()

    assert connection.in_flight == 0


async def test_closed_connection_says_so(nursery: trio.Nursery, fake_server: Make) -> None:
    """Whoever closes a client and goes on using it has a mistake to find."""
    connection = connection_to(nursery, fake_server(ok))
    connection.close()

    with pytest.raises(Unreachable, match="has closed"):
        await connection.call(READ)


async def test_server_is_away_only_after_it_was_asked(
    nursery: trio.Nursery, fake_server: Make
) -> None:
    """C7: who may choose asks one that was never asked before one that was lost."""
    server = fake_server(lambda _line: server.DROP)
    connection = connection_to(nursery, server)
    seen = [connection.is_away]
    link = await connection.connect()
    seen.append(connection.is_away)

    with pytest.raises(OutcomeUnknown):
        await connection.call(NEVER)
    await link.ended.wait()

    assert [*seen, connection.is_away] == [False, False, True]
