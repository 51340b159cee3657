"""Old copies of a node, and those who only say that it is one (C3).

The node that is restored from a backup is `OLD`; `boots` is how often it was started before
anybody looked, which lifts its epoch above all that was seen.
"""

import msgspec
import pytest

from exchange.domain.orders import Side
from exchange.domain.units import Epoch, NodeId, Seq
from exchange.engine import inputs
from exchange.engine.effects import Alarm, OrderAnswer, Refused, StatusAnswer, Stop
from exchange.engine.messages import Batch, Hello, Refusal, Resumed, SealedProof
from exchange.engine.state import PeerState
from tests.support.engines import Engines, redo
from tests.support.proofs import a_proof

DIALS, IS_DIALED = 1, 2  # the lower node id dials


def stops(engines: Engines) -> set[int]:
    return {node for node, effect in engines.effects if isinstance(effect, Stop)}


def alarms(engines: Engines, node: int) -> list[str]:
    return [effect.code for by, effect in engines.effects if by == node and type(effect) is Alarm]


def restored(old: int, *, boots: int, nodes: int = 2) -> Engines:
    """Back a node up, let the market go on, and start the backup in its place."""
    engines = Engines(nodes)
    machine = engines.machines[old]
    backup = list(machine.log)
    engines.buy(3 - old, 100, 5)
    engines.sell(old, 100, 2)
    engines.pass_time(1_500_000)  # a heartbeat, and what it proves
    engines.buy(3 - old, 50, 1)  # a frame that stores it
    engines.kill(old)
    engines.settle()
    machine.log[:] = backup
    for _ in range(boots):
        machine.boot()
    machine.engine = None
    engines.effects.clear()
    engines.restart(old)
    return engines


def forget_proofs(engines: Engines, node: int, peer: int) -> None:
    """Let a node remember all of a peer but what its log was: a disk may have lost that."""
    engines.engine(node).soft.seen.clear()
    known = engines.state(node).peer(NodeId(peer))
    known.seen_lsn, known.seen_digest = PeerState(NodeId(peer)).seen_lsn, b""


def answer_of(engines: Engines, item: inputs.PlaceOrder) -> object:
    engines.step(item.account >> 50, item)
    engines.pass_time(4_000_000)
    return engines.answers.get(item.ticket)


@pytest.mark.parametrize("old", [DIALS, IS_DIALED])
@pytest.mark.parametrize("boots", [0, 1, 3])
def test_an_old_copy_stops_whoever_dials(old: int, boots: int) -> None:
    """C3: who refuses it says why, with what it has seen; before, the dialer was never told."""
    engines = restored(old, boots=boots)

    assert stops(engines) == {old}


@pytest.mark.parametrize("old", [DIALS, IS_DIALED])
def test_an_old_copy_that_was_told_acknowledges_nothing(old: int) -> None:
    """C3: even if its shell went on, nothing it says would be true."""
    engines = restored(old, boots=3)

    answer = answer_of(engines, engines.place(old, Side.BUY, 1, 1))

    assert isinstance(answer, Refused)
    assert not engines.engine(old).is_ready


def a_refused_node(*, nodes: int = 2) -> Engines:
    """Start a node 1 that node 2 refuses, and cannot prove why."""
    engines = Engines(nodes)
    engines.kill(1)
    engines.settle()
    engines.machines[1].boot()
    engines.machines[1].engine = None
    forget_proofs(engines, 2, 1)
    engines.state(2).peer(NodeId(1)).epoch = Epoch(99)
    engines.effects.clear()
    engines.machines[1].boot()
    engines.dial(1, 2)
    engines.settle()
    return engines


def test_a_node_that_all_refuse_serves_nobody_and_says_so() -> None:
    """C3, C6: nobody can prove that it is an old copy, and nobody says that it is not."""
    engines = a_refused_node()

    answer = answer_of(engines, engines.place(1, Side.BUY, 1, 1))

    assert isinstance(answer, Refused)
    assert answer.code == "refused_by_peers"
    assert "epoch" in answer.detail
    assert stops(engines) == set()
    assert alarms(engines, 1) == ["refused_by_peer", "outcast"]  # told once, however often
    status = engines.ask(1, inputs.StatusQuery())
    assert isinstance(status, StatusAnswer)
    assert not status.is_ready
    assert "does not let this node in" in status.peers[0].detail


def test_questions_are_refused_by_an_outcast_as_commands_are() -> None:
    """C3: balances of an old copy are old."""
    engines = a_refused_node()

    answer = engines.ask(1, inputs.AccountQuery(engines.account(1)))

    assert isinstance(answer, Refused)


def test_answers_that_wait_are_not_released_by_a_refusal() -> None:
    """C3, B3: an order whose peer has gone is acknowledged, but not when all refuse this node."""
    engines = Engines(2)
    item = engines.place(1, Side.BUY, 10, 1)
    engines.step(1, item)
    engines.wire.clear()
    session = engines.engine(1).soft.links[NodeId(2)].session
    assert session is not None
    refusal = Refusal("an old copy", None)
    engine = engines.engine(2)
    batch = Batch(session, engine.clock, engine.proof, [refusal], NodeId(2))
    engines.step(1, inputs.PeerBatch(batch))
    engines.pass_time(8_000_000)

    assert item.ticket not in engines.answers


def test_one_liar_that_refuses_a_node_does_not_stop_it() -> None:
    """C3, B7: whoever lets it in has looked at what it remembers."""
    engines = a_refused_node(nodes=3)
    assert not engines.engine(1).is_ready

    engines.dial(1, 3)
    engines.settle()
    engines.pass_time(4_000_000)

    assert isinstance(answer_of(engines, engines.place(1, Side.BUY, 1, 1)), OrderAnswer)
    assert engines.engine(1).is_ready


def test_a_node_is_let_in_again_by_who_refused_it() -> None:
    """C3: the fault was the peer's, and was mended."""
    engines = a_refused_node()
    engines.state(2).peer(NodeId(1)).epoch = Epoch(1)
    engines.link_all()

    assert isinstance(answer_of(engines, engines.place(1, Side.BUY, 1, 1)), OrderAnswer)


def quoting(engines: Engines, seen: SealedProof) -> inputs.PeerBatch:
    """Let node 1 dial node 2, and say in its hello that it has seen this."""
    engines.dial(1, 2)
    item = engines.wire.pop()[2]
    assert isinstance(item, inputs.PeerBatch)
    hello = msgspec.structs.replace(item.batch.messages[0], seen=seen)
    return inputs.PeerBatch(msgspec.structs.replace(item.batch, messages=[hello]))


def test_a_forged_proof_in_a_hello_stops_nobody() -> None:
    """C3, B7: any certified peer could have stopped any node for good."""
    engines = Engines(3)
    engines.step(2, quoting(engines, a_proof(5)))
    engines.settle()

    assert stops(engines) == set()
    assert alarms(engines, 2) == ["forged_proof"]
    assert not engines.engine(2).soft.links[NodeId(1)].is_matched
    assert isinstance(answer_of(engines, engines.place(2, Side.BUY, 1, 1)), OrderAnswer)


def test_a_forged_proof_in_a_refusal_stops_nobody_and_refuses_nobody() -> None:
    """C3, B7: who forges is no witness."""
    engines = Engines(2, linked=False)
    session = engines.dial(1, 2)
    engines.wire.clear()
    engine = engines.engine(2)
    refusal = Refusal("an old copy", a_proof(5))
    batch = Batch(session, engine.clock, engine.proof, [refusal], NodeId(2))
    engines.step(1, inputs.PeerBatch(batch))

    assert stops(engines) == set()
    assert alarms(engines, 1) == ["forged_proof"]
    assert not engines.engine(1).outcast


def test_a_proof_that_this_node_made_and_lacks_stops_it() -> None:
    """C3: the seal is right, so it was this node, or a copy of it, that forced that record."""
    engines = Engines(2)
    twin = Engines(2)
    for _ in range(3):
        twin.step(2, inputs.MoveFunds(0, twin.account(2), "USD", 5))  # type: ignore[arg-type]
    engines.step(2, quoting(engines, twin.engine(2).proof))

    assert stops(engines) == {2}


def test_a_peer_that_knows_another_life_is_told_so_and_nothing_is_forged() -> None:
    """C3: `recover-node` has made a new birth nonce and secret, and that peer was not told."""
    engines = Engines(2)
    engines.kill(1)
    engines.settle()
    machine = engines.machines[1]
    machine.boot()
    state = engines.state(1)
    state.nonce, state.secret = b"another life....", b"another secret.................."
    engines.effects.clear()
    for _ in range(2):
        engines.dial(1, 2)
        engines.settle()

    assert alarms(engines, 2) == ["peer_refused"]
    assert alarms(engines, 1) == ["refused_by_peer", "outcast"]
    assert "recover-node --accept" in engines.engine(1).outcast


def test_a_proof_of_a_peer_never_goes_back() -> None:
    """C3: an older one would convict a younger copy no more."""
    engines = Engines(2)
    link = engines.engine(2).soft.links[NodeId(1)]
    session, engine = link.session, engines.engine(1)
    assert session is not None
    newest = engines.engine(2).soft.seen[NodeId(1)]
    older = msgspec.structs.replace(newest, lsn=newest.lsn - 1)
    engines.step(2, inputs.PeerBatch(Batch(session, engine.clock, older, [], NodeId(1))))

    assert engines.engine(2).soft.seen[NodeId(1)] == newest


def test_what_follows_a_fault_in_a_batch_is_not_heard() -> None:
    """S6: the session ended with the message before; a hello behind it opens none."""
    engines = Engines(2)
    hello = quoting(engines, engines.engine(2).proof).batch.messages[0]
    link, engine = engines.engine(2).soft.links[NodeId(1)], engines.engine(1)
    session, gap = link.session, Resumed(engine.state.scalars.epoch, Seq(99))
    assert session is not None
    said = [gap, hello, Refusal("an old copy", None)]
    engines.step(2, inputs.PeerBatch(Batch(session, engine.clock, engine.proof, said, NodeId(1))))

    assert not link.is_helloed
    assert not link.refused


def test_hello_says_by_which_life_it_knows_the_other() -> None:
    """C3."""
    engines = Engines(2)
    engines.kill(1)
    engines.settle()
    engines.machines[1].boot()
    engines.dial(1, 2)
    (hello,) = engines.messages(Hello)
    assert isinstance(hello, Hello)

    assert hello.known == redo(2, []).nonce
