"""What the others know of a lost node, and which orders that takes."""

import pytest

from exchange.domain.orders import Side
from exchange.domain.units import Epoch, Lsn, NodeId, Seq, make_id
from exchange.engine.messages import Proof
from exchange.engine.records import OfferId
from exchange.engine.state import PeerState, State
from exchange.store.frames import Identity
from recovery.audit.halves import Accepted, Declined, Halves, Offered, Settled
from recovery.knowledge import Knowledge, Peer

LOST, OTHER = NodeId(1), NodeId(2)


def a_state() -> State:
    return State(node_id=LOST, cluster="c", nonce=b"")


def an_acceptance(number: int, *, taker: int, quantity: int, price: int) -> Accepted:
    trade, maker = make_id(1, number), make_id(2, 9)
    return Accepted(1, 1, trade, maker, make_id(1, taker), "ACME", Side.SELL, quantity, price, 5)


@pytest.fixture
def other() -> Peer:
    halves = Halves.none(2)
    identity = Identity("c", OTHER, b"")
    return Peer(OTHER, identity, Proof(Lsn(1), b""), halves, a_state(), PeerState(LOST))


def test_offers_that_the_old_copy_knows_need_no_recovery(other: Peer) -> None:
    """S5: offers are numbered."""
    other.halves.accepted[1, 1, 1] = an_acceptance(2, taker=1, quantity=3, price=10)
    other.halves.declined[1, 1, 2] = Declined(2, 1, make_id(1, 3))
    other.halves.accepted[3, 1, 9] = an_acceptance(4, taker=1, quantity=3, price=10)
    state = a_state()
    knowledge = Knowledge(LOST, {OTHER: other}, state)
    assert [offer_id.seq for _, offer_id, _ in knowledge.lost_offers()] == [1, 2]

    state.peers.put(OTHER, PeerState(OTHER, last_offer=OfferId(Epoch(1), Seq(1))))
    assert [offer_id.seq for _, offer_id, _ in knowledge.lost_offers()] == [2]
    assert isinstance(knowledge.answer(OTHER, OfferId(Epoch(1), Seq(2))), Declined)
    assert knowledge.answer(NodeId(7), OfferId(Epoch(1), Seq(2))) is None


def test_an_order_is_as_large_as_all_its_trades(other: Peer) -> None:
    """One order may trade many times, at several prices."""
    other.halves.accepted[1, 1, 1] = an_acceptance(2, taker=1, quantity=3, price=10)
    other.halves.accepted[1, 1, 2] = an_acceptance(3, taker=1, quantity=4, price=12)
    knowledge = Knowledge(LOST, {OTHER: other}, a_state())

    wanted, stand_in = knowledge.wanted(list(knowledge.lost_offers()))
    (want,) = wanted.values()
    assert (want.side, want.quantity, want.price) == (Side.BUY, 7, 12)
    assert stand_in == 0


def test_a_maker_keeps_its_stamp(other: Peer) -> None:
    """S2: both halves name it."""
    key = (1, 1, 1)
    maker, taker = make_id(1, 4), make_id(2, 5)
    other.halves.offered[key] = Offered(
        1, 1, make_id(2, 6), maker, taker, "ACME", Side.BUY, 5, 10, 77
    )
    other.halves.settled[key] = Settled(2, 1, 3, is_heuristic=False)

    wanted, _ = Knowledge(LOST, {OTHER: other}, a_state()).wanted([])
    assert (wanted[maker].side, wanted[maker].quantity, wanted[maker].stamp) == (Side.SELL, 3, 77)


def test_a_lot_to_spare_stands_for_declined_takers(other: Peer) -> None:
    """Their takers are not named in a decline."""
    other.halves.accepted[1, 1, 1] = an_acceptance(2, taker=1, quantity=3, price=10)
    other.halves.declined[1, 1, 2] = Declined(2, 1, make_id(1, 3))
    knowledge = Knowledge(LOST, {OTHER: other}, a_state())

    wanted, stand_in = knowledge.wanted(list(knowledge.lost_offers()))
    assert stand_in == make_id(1, 1)
    assert wanted[stand_in].quantity == 4
