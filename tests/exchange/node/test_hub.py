"""The hub lets nothing out before it is durable, and forces as little as possible."""

import pytest
import trio
import trio.testing

from exchange.engine.effects import Alarm, CloseLink, Done, Refused, Stop, WantMore
from exchange.engine.inputs import Tick
from exchange.node import hub as hub_module
from exchange.node.committer import InlineCommitter
from exchange.node.errors import OldCopy
from exchange.node.hub import Later, Tell
from exchange.store.errors import StoreFailed
from exchange.store.store import Write
from tests.exchange.node.fakes import (
    CLIENT,
    PEER,
    SESSION,
    Do,
    Scene,
    answer,
    applied,
    heartbeat,
    ticket,
)

NO = Refused("no", "not now")


def told(place: int, body: object) -> tuple[int, int, object]:
    return (CLIENT, place, body)


def test_answer_waits_for_the_force_of_its_record() -> None:
    """E3."""
    scene = Scene()
    scene.turn(Do(1, (answer(0, Done()),)))

    assert scene.told == []
    scene.force()
    assert scene.told == [told(0, Done())]


def test_query_answer_waits_for_everything_decided_before_it() -> None:
    """E3: also what is only read is told when it is durable."""
    scene = Scene()
    scene.turn(Do(1))
    scene.turn(Do(0, (answer(0, Done()),)))

    assert scene.told == []
    scene.force()
    assert scene.told == [told(0, Done())]


def test_answer_of_a_quiet_node_leaves_in_the_same_turn() -> None:
    """E3: nothing to wait for."""
    scene = Scene()

    scene.turn(Do(0, (answer(0, Done()),)))

    assert scene.told == [told(0, Done())]
    assert scene.log.frames == []


def test_batches_decided_during_a_force_share_the_next_one() -> None:
    """W2, E4: one batch is forced while the next is decided."""
    scene = Scene()
    for place in range(4):
        scene.turn(Do(1, (answer(place, Done()),)))

    assert scene.log.frames == [1], "the first is being forced, three are gathered"
    scene.force()
    assert scene.log.frames == [1, 3]
    assert scene.told == [told(0, Done())]
    scene.force()
    assert scene.told == [told(place, Done()) for place in range(4)]
    assert scene.log.committed_lsns == [1, 4]
    assert [proof.lsn for proof in scene.engine.proofs] == [1, 4]


def test_all_inputs_of_a_turn_share_one_force_and_one_send() -> None:
    """E6."""
    scene = Scene(InlineCommitter(lambda write: write.proof))

    scene.turn(*(Do(1, (answer(place, Done()),)) for place in range(100)))

    assert scene.log.frames == [100]
    assert scene.sink.sent == [[told(place, Done()) for place in range(100)]]


def test_a_turn_is_bounded_and_the_rest_comes_next() -> None:
    """Style 13."""
    scene = Scene(InlineCommitter(lambda write: write.proof))

    scene.turn(*(Do(1) for _ in range(hub_module.TURN_MAX + 5)))
    scene.turn()

    assert scene.log.frames == [hub_module.TURN_MAX, 5]


def test_applied_alone_leaves_before_the_force() -> None:
    """E3: the only exemption."""
    scene = Scene()

    scene.turn(Do(1, (heartbeat(1), applied(5), answer(0, Done()))))

    assert scene.told == [applied(5).message]
    scene.force()
    assert scene.told == [applied(5).message, heartbeat(1).message, told(0, Done())]


def test_effects_leave_in_the_order_of_their_making() -> None:
    """E3: nothing overtakes, also what needs no force of its own."""
    scene = Scene()
    closing = CloseLink(PEER, SESSION, "gone")
    scene.turn(Do(1, (heartbeat(1),)))
    scene.turn(Do(0, (heartbeat(2), closing)))
    scene.turn(Do(1, (WantMore(PEER, SESSION),)))

    scene.force()
    scene.force()

    expected = [heartbeat(1).message, heartbeat(2).message, closing, WantMore(PEER, SESSION)]
    assert scene.told == expected


def test_nothing_is_told_after_a_failed_force() -> None:
    """E4: never an answer after a failed force, not even a refusal."""
    scene = Scene()
    scene.turn(Do(1, (answer(0, Done()),)))
    scene.turn(Do(0, (answer(1, NO),)))
    scene.held.error = StoreFailed("the disk said no")

    with pytest.raises(StoreFailed):
        scene.turn()

    assert scene.told == []


def test_failed_force_inline_ends_the_turn_before_anything_leaves() -> None:
    """E4."""

    def refuse(write: Write) -> None:
        raise StoreFailed("the disk said no")

    scene = Scene(InlineCommitter(refuse))  # type: ignore[arg-type]  # it never returns

    with pytest.raises(StoreFailed):
        scene.turn(Do(0, (answer(0, NO),)), Do(1, (answer(1, Done()),)))

    assert scene.told == []


def test_own_refusals_of_the_shell_wait_like_answers() -> None:
    """E3: they were made from a state that is ahead of the disk."""
    scene = Scene()

    scene.turn(Do(1), Tell(ticket(0), NO))

    assert scene.told == []
    scene.force()
    assert scene.told == [told(0, NO)]


def test_what_names_an_order_is_translated_when_its_turn_has_come() -> None:
    """E1: it may name an order that was placed in the same read."""
    scene = Scene()
    seen: list[int] = []

    def resolve() -> Tick:
        seen.append(len(scene.engine.handled))
        return Tick()

    scene.turn(Do(), Later(resolve), Do())

    assert seen == [1]
    assert scene.engine.handled == [Do(), Tick(), Do()]


def test_old_copy_stops_the_node_at_once() -> None:
    """C3."""
    scene = Scene()

    with pytest.raises(OldCopy) as stopped:
        scene.turn(Do(0, (Stop("node 2 has seen more"), answer(0, Done()))))

    assert stopped.value.exit_code == 4
    assert scene.told == []


def test_alarms_reach_the_operator() -> None:
    """B7."""
    scene = Scene()

    scene.turn(Do(0, (Alarm("peer_quarantined", "node 2"),)))

    assert scene.alarms == [Alarm("peer_quarantined", "node 2")]


async def test_a_call_returns_its_answer_once_it_is_durable() -> None:
    """C1: an account is durable before its id is answered."""
    scene = Scene()
    answers: list[object] = []

    async def ask() -> None:
        answers.append(await scene.hub.call(lambda number: Tell(number, NO)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        scene.turn(Do(1))
        await trio.testing.wait_all_tasks_blocked()
        assert answers == []
        scene.force()

    assert answers == [NO]


async def test_a_caller_that_gave_up_is_not_missed() -> None:
    """Style 13: every wait has an owner that may end it."""
    scene = Scene()

    with trio.CancelScope() as scope:
        scope.cancel()
        await scene.hub.call(lambda number: Tell(number, NO))
    scene.turn()

    assert scene.hub.is_idle


async def test_run_takes_turns_as_long_as_there_is_work() -> None:
    """E6: one wake-up for a whole read."""
    scene = Scene(InlineCommitter(lambda write: write.proof))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.hub.run, scene.committer)
        scene.hub.feed([Do(1)] * (hub_module.TURN_MAX + 1))  # type: ignore[list-item]
        await trio.testing.wait_all_tasks_blocked()
        assert scene.hub.is_idle
        assert scene.hub.turns == 2
        nursery.cancel_scope.cancel()


async def test_readers_wait_while_too_much_is_undecided() -> None:
    """Style 13: every queue has a size."""
    scene = Scene(InlineCommitter(lambda write: write.proof))
    scene.hub.feed([Do()] * (hub_module.INBOX_MAX + 1))  # type: ignore[list-item]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.hub.wait_room)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        scene.turn()
        await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks


def test_finish_forces_what_was_decided_and_not_forced() -> None:
    """C6: a graceful stop loses nothing it has decided."""
    scene = Scene()
    scene.turn(Do(1))
    scene.turn(Do(2))
    scene.hub.feed([Do(3)])  # type: ignore[list-item]
    scene.held.is_done = True

    scene.hub.finish(scene.held, InlineCommitter(lambda write: write.proof))

    assert scene.log.frames == [1, 5]
    assert scene.hub.is_idle


def test_node_that_stood_still_tells_clients_nothing_before_it_is_let_in() -> None:
    """B5: not even what was decided and forced before; peers hear it, and judge."""
    scene = Scene()
    scene.turn(Do(1, (answer(0, Done()), heartbeat(1))))
    scene.engine.is_mute = True
    scene.force()
    scene.turn(Do(0, (answer(1, NO),)))

    assert scene.told == [heartbeat(1).message]
    assert not scene.hub.is_idle
    scene.engine.is_mute = False
    scene.turn()
    assert scene.told[1:] == [told(0, Done()), told(1, NO)]


def test_turn_in_which_a_node_stood_still_lets_nothing_out() -> None:
    """B5: stopped between the beginning of a turn and its end, it does not know yet."""
    scene = Scene()
    scene.hub.feed([Do(0, (answer(0, Done()), heartbeat(1)))])  # type: ignore[list-item]
    collect = scene.engine.drain

    def stopped_meanwhile() -> object:
        scene.clocks.now_us += 10_000_000
        return collect()

    scene.engine.drain = stopped_meanwhile  # type: ignore[method-assign,assignment]
    scene.hub.turn(scene.committer)

    assert scene.told == []
    scene.engine.drain = collect  # type: ignore[method-assign]
    scene.hub.turn(scene.committer)
    assert scene.told == [told(0, Done()), heartbeat(1).message]


def test_long_input_goes_on_behind_others_and_before_its_own() -> None:
    """C4: others are served between its slices; what came behind it on its connection waits."""
    scene = Scene()
    last = Do(1)
    first = Do(1, rest=last)
    behind, other = Do(2), Do(3)
    scene.hub.feed([first, behind], 7)  # type: ignore[list-item]  # as scenes do
    scene.hub.feed([other], 8)  # type: ignore[list-item]

    scene.hub.turn(scene.committer)
    scene.hub.turn(scene.committer)

    assert scene.engine.handled == [first, other, last, behind]


def test_turn_that_is_full_of_work_begins_no_other_input() -> None:
    """C4: inputs are counted by what they cost."""
    scene = Scene()
    heavy, light = Do(hub_module.TURN_RECORDS + 1), Do(1)
    scene.hub.feed([heavy, light], 7)  # type: ignore[list-item]

    scene.hub.turn(scene.committer)
    in_the_first = list(scene.engine.handled)
    scene.hub.turn(scene.committer)

    assert in_the_first == [heavy]
    assert scene.engine.handled == [heavy, light]
