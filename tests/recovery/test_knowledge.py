"""What the others know of a lost node, and which orders that takes."""

import pytest

from exchange.domain.book import OrderEvent
from exchange.domain.orders import (
    Account,
    FirstAnswer,
    Order,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
)
from exchange.domain.units import (
    AccountId,
    Epoch,
    Lots,
    Micros,
    NodeId,
    OrderId,
    Seq,
    Stamp,
    Symbol,
    Ticks,
    make_id,
)
from exchange.engine.records import OfferId
from exchange.engine.state import PeerState, State
from exchange.store.frames import Identity
from recovery.audit.halves import Accepted, Declined, Halves, Offered, Settled
from recovery.knowledge import Knowledge, Peer
from recovery.replicas import Replica, Replicas
from tests.support.proofs import a_proof

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
    return Peer(OTHER, identity, a_proof(1), halves, a_state(), PeerState(LOST))


def test_offers_that_the_old_copy_knows_need_no_recovery(other: Peer) -> None:
    """S5: offers are numbered."""
    other.halves.accepted[1, 1, 1] = an_acceptance(2, taker=1, quantity=3, price=10)
    other.halves.declined[1, 1, 2] = Declined(2, 1, make_id(1, 3))
    other.halves.accepted[3, 1, 9] = an_acceptance(4, taker=1, quantity=3, price=10)
    state = a_state()
    knowledge = Knowledge(LOST, {OTHER: other}, state, Replicas())
    assert [offer_id.seq for _, offer_id, _ in knowledge.lost_offers()] == [1, 2]

    state.peers.put(OTHER, PeerState(OTHER, last_offer=OfferId(Epoch(1), Seq(1))))
    assert [offer_id.seq for _, offer_id, _ in knowledge.lost_offers()] == [2]
    assert isinstance(knowledge.answer(OTHER, OfferId(Epoch(1), Seq(2))), Declined)
    assert knowledge.answer(NodeId(7), OfferId(Epoch(1), Seq(2))) is None


def test_an_order_is_as_large_as_all_its_trades(other: Peer) -> None:
    """One order may trade many times, at several prices."""
    other.halves.accepted[1, 1, 1] = an_acceptance(2, taker=1, quantity=3, price=10)
    other.halves.accepted[1, 1, 2] = an_acceptance(3, taker=1, quantity=4, price=12)
    knowledge = Knowledge(LOST, {OTHER: other}, a_state(), Replicas())

    wanted, stand_in = knowledge.wanted(list(knowledge.lost_offers()), [])
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

    wanted, _ = Knowledge(LOST, {OTHER: other}, a_state(), Replicas()).wanted([], [])
    assert (wanted[maker].side, wanted[maker].quantity, wanted[maker].stamp) == (Side.SELL, 3, 77)


def test_a_lot_to_spare_stands_for_declined_takers(other: Peer) -> None:
    """Their takers are not named in a decline."""
    other.halves.accepted[1, 1, 1] = an_acceptance(2, taker=1, quantity=3, price=10)
    other.halves.declined[1, 1, 2] = Declined(2, 1, make_id(1, 3))
    knowledge = Knowledge(LOST, {OTHER: other}, a_state(), Replicas())

    wanted, stand_in = knowledge.wanted(list(knowledge.lost_offers()), [])
    assert stand_in == make_id(1, 1)
    assert wanted[stand_in].quantity == 4


OWNER, ORDER = AccountId(make_id(1, 1)), OrderId(make_id(1, 4))


def shown(by: int = 2, *, is_complete: bool = True) -> Replicas:
    """Return a replica of one order: 6 lots are left of it."""
    order = OrderEvent(
        ORDER, Symbol("ACME"), Side.SELL, Ticks(10), Lots(6), Stamp(77), version=2, account=OWNER
    )
    return Replicas([Replica(NodeId(by), (1, 1), 1, is_complete, {ORDER: order})])


def sold(other: Peer, quantity: int) -> None:
    """Have the lost order sell to the other node."""
    terms = (make_id(2, 6), ORDER, make_id(2, 5), "ACME", Side.BUY, quantity, 10, 77)
    other.halves.offered[1, 1, 1] = Offered(1, 1, *terms)
    other.halves.settled[1, 1, 1] = Settled(2, 1, quantity, is_heuristic=False)


def test_an_order_that_is_shown_is_made_with_what_is_left_of_it(other: Peer) -> None:
    """Issue, item 7: and its trades are its account's."""
    sold(other, 4)
    knowledge = Knowledge(LOST, {OTHER: other}, a_state(), shown())
    believed, refused = knowledge.believed()

    wanted, _ = knowledge.wanted([], believed)
    (want,) = wanted.values()
    assert (want.account, want.quantity, want.price, want.stamp) == (OWNER, 10, 10, 77)
    assert refused == []


def test_an_order_whose_trades_nobody_shows_is_not_made_again(other: Peer) -> None:
    """S3: only the account is believed."""
    sold(other, 4)
    for replicas in (shown(by=3), shown(is_complete=False)):
        knowledge = Knowledge(LOST, {OTHER: other}, a_state(), replicas)
        believed, _ = knowledge.believed()

        wanted, _ = knowledge.wanted([], believed)
        assert believed == []
        assert (wanted[ORDER].account, wanted[ORDER].quantity) == (OWNER, 4)


def an_order(**changes: object) -> Order:
    terms = {"account": OWNER, "side": Side.SELL, **changes}
    return Order(
        order_id=ORDER,
        symbol=Symbol("ACME"),
        time_in_force=TimeInForce.GTC,
        self_trade=SelfTrade.CANCEL_NEWEST,
        price=Ticks(10),
        quantity=Lots(10),
        total=Lots(10),
        stamp=Stamp(77),
        created=Micros(0),
        updated=Micros(0),
        reason=Reason.NONE,
        first=FirstAnswer(),
        **terms,  # type: ignore[arg-type]  # a test names the fields
    )


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (None, "does not have it open"),
        (an_order(side=Side.BUY), "another order"),
        (an_order(account=make_id(1, 2)), "another order"),
        (an_order(canceled=True), "canceled"),
    ],
)
def test_an_order_that_the_old_copy_contradicts_is_not_made_again(
    other: Peer, order: Order | None, why: str
) -> None:
    """Its own log is the authority, as far as it goes (B2)."""
    state = a_state()
    state.scalars.number = 4
    if order is not None:
        state.orders.put(ORDER, order)
    believed, refused = Knowledge(LOST, {OTHER: other}, state, shown()).believed()

    assert believed == []
    assert why in refused[0]


def test_a_closed_account_gets_nothing(other: Peer) -> None:
    """What belongs to it is for an operator to say."""
    sold(other, 4)
    state = a_state()
    state.accounts.put(OWNER, Account(OWNER, {}, {}, is_closed=True))
    knowledge = Knowledge(LOST, {OTHER: other}, state, shown())

    assert "closed" in knowledge.believed()[1][0]
    assert knowledge.wanted([], [])[0][ORDER].account == knowledge.suspense
