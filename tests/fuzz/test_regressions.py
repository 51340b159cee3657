"""What the simulator has found, each as a short story: named for what went wrong."""

import pytest

from exchange.domain.units import Clock, Epoch, NodeId, Seq
from exchange.engine.effects import OrderAnswer
from exchange.engine.inputs import PeerBatch
from exchange.engine.messages import Ack, Batch, Hello, PeerMessage, SnapshotEnd
from exchange.engine.records import OfferId
from fuzz.campaign import run_seed
from fuzz.plan import MS, Flip, Pause, Resolve
from fuzz.script import SECOND, Script, calm
from tests.support.proofs import a_proof


def test_half_open_link_of_a_suspected_peer_is_closed_and_dialed_again() -> None:
    """B5.  The dialer held a dead session for ever when the peer died before the hello."""
    script = Script(calm(notice=0.0, delay_us=300_000, redial_us=50_000))
    script.kill(2, down_ms=5_000)
    link = script.process(1).engine.soft.links[2]  # type: ignore[index]
    script.run_while(lambda: not link.is_suspected)
    script.run_while(lambda: link.session is None)
    script.run_while(lambda: link.session is None)
    script.kill(2, down_ms=1_000)
    assert link.session is not None
    assert link.is_suspected

    script.run_while(lambda: not script.is_synced(1, 2))
    script.finish()


def test_retry_after_a_restart_waits_until_the_order_is_visible() -> None:
    """B3.  It was answered from a stream that had nobody on it yet."""
    script = Script(calm(delay_us=200_000, skew_us=(-9 * SECOND, 0), patience_us=50_000))
    script.kill_at(2, "forced_unsent")
    call = script.answered(script.sell(2, 5, 100))

    assert isinstance(call.body, OrderAnswer)
    assert call.body.is_replay
    assert script.shown(1, call.order_id) is not None
    script.answered(script.buy(1, 1, 90))  # its stamp is younger, or a checker ends the test
    script.finish()


def test_peer_that_resumes_with_everything_releases_the_answers_that_waited() -> None:
    """B3.  The resumed stream was level at once, and nobody looked at who was waiting."""
    script = Script(calm(delay_us=100_000, patience_us=60 * SECOND))
    call = script.sell(2, 5, 100)
    script.run_while(lambda: script.shown(1, _first_order(script)) is None)
    script.cluster.network.reset(1, 2)  # the word that it is applied is lost

    script.answered(call)
    script.finish()


def test_peer_whose_sessions_come_and_go_is_suspected_like_a_dead_one() -> None:
    """B5.  Each new session gave it three more seconds, and two live nodes waited for ever."""
    script = Script(calm(nodes=3), is_linked=False)

    def run_flapping(duration_ms: int) -> None:
        for place in range(duration_ms):  # no hello of node 2 arrives, and no session lasts
            script.cluster.network.lose(2, 1, Hello)
            script.run_ms(1)
            if place % 200 == 0:
                script.cluster.network.reset(1, 2)

    run_flapping(5_000)
    assert script.is_synced(1, 3)

    call = script.sell(1, 5, 100)
    run_flapping(4_000)
    assert call.outcome == "ok"
    assert isinstance(call.body, OrderAnswer)
    assert call.body.visible == 1


def test_hello_of_an_old_copy_does_not_replace_the_proof_against_it() -> None:
    """C3.  The peer stored the copy's own proof with its hello, and died before it answered."""
    script = Script(calm(force_us=10_000))
    script.back_up(1)
    for _ in range(3):
        script.answered(script.sell(1, 1, 100))
    script.answered(script.buy(2, 1, 90))  # the frame of this one stores what 2 saw of 1
    script.restore_last(boots=9)
    script.kill_at(2, "force_kept")  # PeerSeen is forced, the hello of 2 never leaves
    script.run_ms(8_000)

    assert script.cluster.counters["old copy stopped"] == 1


def test_peer_that_never_ends_its_snapshot_does_not_keep_a_node_from_starting() -> None:
    """C6, B7.  It said hello and sent heartbeats, so it was never suspected."""
    script = Script(calm(nodes=3))
    script.kill(3)
    script.cluster.network.lose(1, 3, SnapshotEnd)
    script.run_while(lambda: script.cluster.machines[3].process is None)

    script.run_while(lambda: not script.process(3).engine.is_ready, limit_ms=5_000)
    script.finish()


def test_offer_between_mark_and_watermark_is_not_accepted() -> None:
    """S7, B7.  The next offer was accepted, below what its proposer had acknowledged."""
    script = Script(calm(is_session_checked=False))  # an alarm is what we want
    script.answered(script.sell(2, 9, 100))
    script.answered(script.buy(1, 1, 100))
    process = script.process(2)
    session = process.session_with(1)
    assert session is not None
    acks: list[PeerMessage] = [Ack(OfferId(Epoch(2), Seq(50)))]
    batch = Batch(session, Clock(0), a_proof(0), acks, NodeId(1))
    process.feed(PeerBatch(batch))
    script.answered(script.buy(1, 1, 90))
    script.answered(script.sell(2, 1, 95))  # a record, for the watermark to be logged with
    script.buy(1, 1, 100)
    script.run_ms(1_000)

    assert script.cluster.counters["alarm"] == 1
    process.engine.check()


def test_silent_node_becomes_ready_only_after_it_has_suspected_everybody() -> None:
    """B5, C6.  Suspecting the last peer it waited for made it match against the next one."""
    script = Script(calm(nodes=3))
    script.cut(1, 3, duration_ms=60_000)
    script.run_ms(5_000)
    script.answered(script.sell(3, 5, 100))
    script.answered(script.buy(1, 5, 100))  # they have not met
    script.kill(1)
    script.cluster.network.unblock()
    script.cut(1, 2, duration_ms=60_000)
    script.run_while(lambda: not script.is_synced(1, 3))
    assert not script.process(1).engine.is_ready  # it waits for node 2

    script.cluster.inject(Pause(0, 1, 4 * SECOND))
    script.run_ms(4_500)  # a checker ends the test if it offers before it is synced again
    assert script.cluster.counters["silent node wakes"]
    script.finish()


def test_node_whose_log_was_archived_is_no_old_copy() -> None:
    """C3, W5.  What a peer had seen last was archived, so the node took itself for an old copy."""
    script = Script(calm(checkpoint_entries=4))
    script.cut(1, 2, duration_ms=4_000)  # node 1 sees nothing of what follows
    for _ in range(5):
        script.answered(script.sell(2, 1, 100))
    script.cluster.damage.archive(2)
    assert script.cluster.counters["log archived"]

    script.run_while(lambda: not script.is_synced(2, 1))
    script.finish()


def test_operator_looks_at_the_disk_of_the_decider_after_its_death_not_before() -> None:
    """S4.  The force of the acceptance was in progress, and survived: the doubt was aborted."""
    script = Script(calm(force_us=50_000))
    script.answered(script.sell(2, 5, 100))
    call = script.buy(1, 5, 100)
    decider = script.process(2)
    script.run_while(lambda: not decider.engine.state.acceptances)
    decider.forces.fate = "kept"
    script.cluster.inject(Resolve(0, 1))
    script.finish()

    assert script.cluster.counters["resolved by an operator"] == 1
    assert isinstance(call.body, OrderAnswer)
    assert script.cluster.exchange.node(NodeId(1)).settled


def test_backup_of_an_archived_log_is_folded_with_what_was_archived() -> None:
    """W5, C3.  The model began to read at LSN 1, and the disk did not."""
    script = Script(calm(checkpoint_entries=4))
    for _ in range(5):
        script.answered(script.sell(1, 1, 100))
    script.cluster.damage.archive(1)
    assert script.cluster.counters["log archived"]
    script.run_while(lambda: not script.is_synced(1, 2))
    script.back_up(1)
    script.answered(script.sell(1, 1, 100))
    script.restore_last(boots=1)

    script.run_ms(8_000)
    assert script.cluster.counters["old copy stopped"] == 1


def test_nodes_that_missed_each_others_names_meet_when_the_coordinator_is_back() -> None:
    """C1.  A newcomer died before it stored its peers, and nobody ever told it of them again."""
    result = run_seed(2226)

    assert not result.failure


def test_peer_suspected_and_back_within_one_turn_promises_nothing_between() -> None:
    """B3: stamps across a suspicion are right within clock skew; a checker had missed that one."""
    result = run_seed(910055)

    assert not result.failure, result.failure


@pytest.mark.parametrize("place", range(6))  # a row of each table
def test_node_killed_while_it_redoes_a_rotten_log_is_repaired(place: int) -> None:
    """W4, W5.  The simulator asked the last frame for the boot, and a bit of it had flipped."""
    script = Script(calm(checkpoint_entries=40, force_us=1_000, keep=-1.0))
    script.run_ms(1)
    script.cluster.inject(Flip(0, 1, place, 0, 300 * MS))
    script.cluster.machines[NodeId(1)].armed_boot = "frame_redone"
    script.kill(1, down_ms=10)
    script.run_ms(4_000)
    script.finish()

    assert script.cluster.counters["damage refused"] == 1


def _first_order(script: Script) -> int | None:
    return next(iter(script.process(2).engine.state.orders), None)


def test_no_part_of_a_stream_comes_twice_within_its_session() -> None:
    """B2.  The simulator did what no TCP does: a snapshot began again, and never ended."""
    script = Script(calm(nodes=3, force_us=50 * MS, notice=0.3, is_early_applied=False))
    script.kill(1, down_ms=300)
    script.run_ms(300)
    script.cluster.network.echo(1, 2, 100 * MS)
    script.finish()
