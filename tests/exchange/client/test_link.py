"""A link keeps requests and answers in order, and says what is known when it ends."""

# ruff: noqa: ANN401 - a script is given any JSON

from collections.abc import Callable
from typing import Any

import pytest
import trio

from exchange.client.errors import BadAnswer, LinkLost, Refused
from exchange.client.link import Answer, Link, Outcome

Make = Callable[[Callable[[Any], Any]], Any]


def ok(request: Any) -> dict[str, Any]:
    return {"id": request["id"], "type": "ok", "value": {"echo": request["id"]}}


async def submitted(link: Link, count: int) -> list[Outcome]:
    outcomes: list[Outcome] = []
    done = trio.Event()

    def on_outcome(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == count:
            done.set()

    for number in range(count):
        link.submit(b"%d" % number, b'{"id":%d,"type":"x"}\n' % number, on_outcome)
    with trio.fail_after(5):
        await done.wait()
    return outcomes


async def linked(nursery: trio.Nursery, server: Any) -> Link:
    link = Link(await server.dial())
    nursery.start_soon(link.run)
    return link


async def test_answers_come_back_in_order(nursery: trio.Nursery, fake_server: Make) -> None:
    """Interfaces 1: requests on a connection are answered in order."""
    link = await linked(nursery, fake_server(ok))

    outcomes = await submitted(link, 50)

    values = [bytes(one.value) for one in outcomes if isinstance(one, Answer)]
    assert values == [b'{"echo":%d}' % number for number in range(50)]
    assert link.in_flight == 0


async def test_what_gathers_leaves_in_one_send(nursery: trio.Nursery, fake_server: Make) -> None:
    """E6."""
    server = fake_server(ok)
    stream = await server.dial()
    sends: list[bytes] = []
    send_all = stream.send_all

    async def counting(data: bytes) -> None:
        sends.append(data)
        await send_all(data)

    stream.send_all = counting
    link = Link(stream)
    nursery.start_soon(link.run)
    await submitted(link, 30)

    assert len(sends) == 1


async def test_lsn_and_visibility_stand_beside_the_value(
    nursery: trio.Nursery, fake_server: Make
) -> None:
    """B3: an order is durable somewhere and visible on so many peers."""
    link = await linked(
        nursery,
        fake_server(lambda request: {**ok(request), "lsn": 7, "visible": 2, "replayed": True}),
    )

    (outcome,) = await submitted(link, 1)

    assert isinstance(outcome, Answer)
    assert (outcome.lsn, outcome.visible, outcome.is_replayed) == (7, 2, True)


async def test_refusal_is_an_outcome(nursery: trio.Nursery, fake_server: Make) -> None:
    """Interfaces 1: errors have code, title and detail."""
    error = {"code": "unknown_order", "title": "Unknown order", "detail": "look again"}
    link = await linked(
        nursery, fake_server(lambda request: {"id": request["id"], "type": "error", "value": error})
    )

    (outcome,) = await submitted(link, 1)

    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.detail) == ("unknown_order", "look again")
    assert link.is_alive


async def test_error_without_id_is_about_the_connection(
    nursery: trio.Nursery, fake_server: Make
) -> None:
    """A refused hello refuses everything that followed it."""
    error = {"code": "bad_key", "title": "Bad key", "detail": ""}
    answers = iter([{"type": "error", "value": error}])
    link = await linked(nursery, fake_server(lambda _: next(answers, None)))
    link.hello(b'"3-17"\n')

    outcomes = await submitted(link, 3)

    assert [type(one) for one in outcomes] == [Refused] * 3
    assert not link.is_alive


async def test_lost_link_tells_what_was_sent(nursery: trio.Nursery, fake_server: Make) -> None:
    """Faults 2.17: nobody waits for ever."""
    server = fake_server(lambda _: server.DROP)
    link = await linked(nursery, server)

    (first,) = await submitted(link, 1)
    (second,) = await submitted(link, 1)

    assert isinstance(first, LinkLost)
    assert first.is_sent
    assert isinstance(second, LinkLost)
    assert not second.is_sent


@pytest.mark.parametrize(
    "line", [b"nonsense\n", b'{"id":99,"type":"ok","value":1}\n', b"\xff\xfe\n", b"[[[[\n"]
)
async def test_answer_that_cannot_be_ends_the_link(
    nursery: trio.Nursery, fake_server: Make, line: bytes
) -> None:
    """Answers are matched by order; once they disagree nothing later can be trusted."""
    link = await linked(nursery, fake_server(lambda _: b'{"id":0,"type":"ok"' + line))

    (outcome,) = await submitted(link, 1)

    assert isinstance(outcome, BadAnswer)


async def test_wrong_id_ends_the_link(nursery: trio.Nursery, fake_server: Make) -> None:
    """Answers are matched by order, and their ids compared all the same."""
    link = await linked(nursery, fake_server(lambda _: {"id": 99, "type": "ok", "value": {}}))

    (outcome,) = await submitted(link, 1)

    assert isinstance(outcome, BadAnswer)
    assert not link.is_alive


async def test_bare_values_are_answers(nursery: trio.Nursery, fake_server: Make) -> None:
    """Interfaces 1: a user id is answered by an address."""
    link = await linked(nursery, fake_server(lambda _: b'"127.0.0.1:7400"\n'))
    outcomes: list[Outcome] = []
    done = trio.Event()

    def on_outcome(outcome: Outcome) -> None:
        outcomes.append(outcome)
        done.set()

    link.submit(b"", b'"3-17"\n', on_outcome)
    await done.wait()

    assert outcomes == [Answer("", outcomes[0].value)]  # type: ignore[union-attr]


async def test_close_tells_whoever_waits(nursery: trio.Nursery, fake_server: Make) -> None:
    """Faults 2.17."""
    server = fake_server(lambda _: server.HANG)
    link = await linked(nursery, server)
    outcomes: list[Outcome] = []
    link.submit(b"1", b'{"id":1,"type":"x"}\n', outcomes.append)
    await trio.testing.wait_all_tasks_blocked()

    link.close()
    await trio.testing.wait_all_tasks_blocked()

    assert [type(one) for one in outcomes] == [LinkLost]
