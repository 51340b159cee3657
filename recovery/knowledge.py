"""What the other nodes know of a lost one, and the orders that their trades with it need."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from exchange.domain.orders import Side
from exchange.domain.units import Epoch, NodeId, OrderId, Seq, Symbol, number_of
from exchange.engine.messages import Proof
from exchange.engine.records import OfferId
from exchange.engine.state import PeerState, State
from exchange.store.frames import Identity
from recovery.audit.halves import Accepted, Declined, Halves, Offered

Answered = tuple[NodeId, OfferId, Accepted | Declined]  # decider, offer, its answer
SUSPENSE = 0  # the account number of what belongs to nobody we know; accounts begin at 1


class Rebuilt(msgspec.Struct):
    """What was recovered, and what was not: the list an operator accepts."""

    path: str
    node: int
    nonce: str
    lsn: int = 0
    digest: str = ""
    epoch: int = 0
    from_backup_lsn: int = 0  # through here everything is known
    trades: int = 0  # with other nodes, made whole again
    booked: list[str] = []  # trades that went to the accounts of known orders
    suspense: list[str] = []  # trades that went to the suspense account
    declined_now: list[str] = []  # offers of others whose answer is lost
    funded: list[str] = []  # what trades prove that accounts had, given from outside
    canceled: list[str] = []  # orders that were open in the old copy
    not_recovered: list[str] = []  # in words


class Peer(msgspec.Struct):
    """What one other node knows of the lost one."""

    node: NodeId
    identity: Identity
    proof: Proof
    halves: Halves
    state: State
    known: PeerState  # of the lost node


class Want(msgspec.Struct):
    """A suspense order that trades need."""

    order_id: int
    symbol: Symbol
    side: Side
    price: int
    quantity: int
    stamp: int  # 0: any


class Knowledge:
    """The halves of the others, asked for what the lost node must have done.

    `state` is that of the old copy, or of an empty log: what it holds needs no recovery.
    """

    def __init__(self, lost: NodeId, peers: Mapping[NodeId, Peer], state: State) -> None:
        self.lost = lost
        self.peers = peers
        self.state = state

    def lost_offers(self) -> Iterable[Answered]:
        """Yield the offers that the others have answered and this log does not hold."""
        for peer in self.peers.values():
            last = self.state.peer(peer.node).last_offer
            answers: dict[tuple[int, int, int], Accepted | Declined] = {
                **peer.halves.accepted,
                **peer.halves.declined,
            }
            for (proposer, epoch, seq), answer in answers.items():
                offer_id = OfferId(Epoch(epoch), Seq(seq))
                if proposer == self.lost and offer_id > last:
                    yield peer.node, offer_id, answer

    def answer(self, decider: NodeId, offer_id: OfferId) -> Accepted | Declined | None:
        """Return what a decider has answered to an offer of the lost node."""
        peer = self.peers.get(decider)
        if peer is None:
            return None
        key = (self.lost, offer_id.epoch, offer_id.seq)
        return peer.halves.accepted.get(key) or peer.halves.declined.get(key)

    def wanted(self, offers: Sequence[Answered]) -> tuple[dict[int, Want], int]:
        """Return the suspense orders to make, and the one that stands for declined takers."""
        wanted: dict[int, Want] = {}
        for _, _, answer in offers:
            if isinstance(answer, Accepted):
                side = Side(answer.side).opposite
                self._want(wanted, answer.taker, answer, side, stamp=0)
        for offered, quantity in self._settled():
            side = Side(offered.side).opposite
            terms = offered._replace(quantity=quantity)
            self._want(wanted, offered.maker, terms, side, stamp=offered.maker_stamp)
        declined = [item[2].trade_id for item in offers if isinstance(item[2], Declined)]
        stand_in = self._choose_stand_in(wanted, min(declined)) if declined else 0
        return wanted, stand_in

    def _settled(self) -> Iterable[tuple[Offered, int]]:
        """Yield the offers of others that the lost node has accepted, as they were told."""
        for peer in self.peers.values():
            mark = self.state.peer(peer.node).mark
            for (decider, epoch, seq), settled in sorted(peer.halves.settled.items()):
                offer_id = OfferId(Epoch(epoch), Seq(seq))
                if decider == self.lost and settled.quantity and offer_id > mark:
                    yield peer.halves.offered[decider, epoch, seq], settled.quantity

    def _want(
        self,
        wanted: dict[int, Want],
        order_id: int,
        terms: Accepted | Offered,
        side: Side,
        *,
        stamp: int,
    ) -> None:
        if OrderId(order_id) in self.state.orders:
            return
        symbol = Symbol(terms.symbol)
        want = wanted.setdefault(order_id, Want(order_id, symbol, side, terms.price, 0, stamp))
        want.quantity += terms.quantity
        better = max if side is Side.BUY else min
        want.price = better(want.price, terms.price)

    def _choose_stand_in(self, wanted: dict[int, Want], first: int) -> int:
        """Return an order with a lot to spare, which stands for the takers of declined offers."""
        earlier = [order_id for order_id in wanted if order_id < first]
        if earlier:
            wanted[max(earlier)].quantity += 1
            return max(earlier)
        if number_of(first - 1) <= self.state.scalars.number:
            return 0  # its taker is in the old copy, and as good as any
        symbol = min(self.state.instruments)
        wanted[first - 1] = Want(first - 1, symbol, Side.BUY, 1, 1, 0)
        return first - 1
