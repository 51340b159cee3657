"""What the other nodes know of a lost one, and the orders that their trades with it need."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from exchange.domain.book import OrderEvent
from exchange.domain.orders import Side
from exchange.domain.units import (
    AccountId,
    Epoch,
    NodeId,
    OrderId,
    Seq,
    Symbol,
    format_id,
    make_id,
    number_of,
)
from exchange.engine.messages import SealedProof
from exchange.engine.records import BEFORE_ANY, OfferId
from exchange.engine.state import PeerState, State
from exchange.store.frames import Identity
from recovery.audit.halves import Accepted, Declined, Halves, Offered
from recovery.replicas import Replicas

Answered = tuple[NodeId, OfferId, Accepted | Declined]  # decider, offer, its answer
SUSPENSE = 0  # the account number of what belongs to nobody we know; accounts begin at 1


class Between(msgspec.Struct, frozen=True):
    """How far the lost node and another one have come with each other's offers."""

    handled: OfferId = BEFORE_ANY  # the other one's last offer that the lost node has decided
    offered: OfferId = BEFORE_ANY  # the lost node's last offer to it

    def holds(self, known: PeerState) -> bool:
        """Tell whether this is all that the other one knows of the lost node."""
        return known.last_offer <= self.handled and known.mark <= self.offered


class Rebuilt(msgspec.Struct):
    """What was recovered, and what was not: the list an operator accepts."""

    path: str
    node: int
    nonce: str
    lsn: int = 0
    digest: str = ""
    boot_id: str = ""
    mac: str = ""  # the seal over that end of its log: what the others will quote (C3)
    epoch: int = 0
    from_backup_lsn: int = 0  # through here everything is known
    trades: int = 0  # with other nodes, made whole again
    booked: list[str] = []  # trades that went to the accounts of known orders
    suspense: list[str] = []  # trades that went to the suspense account
    declined_now: list[str] = []  # offers of others whose answer is lost
    funded: list[str] = []  # what trades prove that accounts had, given from outside
    replicas: list[str] = []  # what was asked for its open orders
    replicas_lsn: int = 0  # the furthest of them shows all that it did through here
    opened: list[str] = []  # accounts that replicas alone name
    restored: list[str] = []  # orders that are open again, with what is left of them
    not_restored: list[str] = []  # orders that a replica shows, and why they are canceled
    canceled: list[str] = []  # orders that were open in the old copy
    not_recovered: list[str] = []  # in words
    between: dict[int, Between] = {}  # by node: what of its trades is in the new log
    absent: list[int] = []  # nodes that somebody knows, and whose logs nobody gave


class Peer(msgspec.Struct):
    """What one other node knows of the lost one."""

    node: NodeId
    identity: Identity
    proof: SealedProof
    halves: Halves
    state: State
    known: PeerState  # of the lost node


class Want(msgspec.Struct):
    """An order that trades need, or that replicas show."""

    order_id: int
    symbol: Symbol
    side: Side
    price: int
    quantity: int
    stamp: int  # 0: any
    account: AccountId


class Knowledge:
    """The halves of the others, asked for what the lost node must have done.

    `state` is that of the old copy, or of an empty log: what it holds needs no recovery.
    """

    def __init__(
        self,
        lost: NodeId,
        peers: Mapping[NodeId, Peer],
        state: State,
        replicas: Replicas,
    ) -> None:
        self.lost = lost
        self.peers = peers
        self.state = state
        self.replicas = replicas

    @property
    def suspense(self) -> AccountId:
        """Return the account of what belongs to nobody we know."""
        return AccountId(make_id(self.lost, SUSPENSE))

    def believed(self) -> tuple[list[OrderEvent], list[str]]:
        """Return the orders that can be restored as far as is known, and why others cannot."""
        believed, refused = [], []
        untold = self._untold()
        unheard = [node for node in self.absent() if node not in self.replicas.complete]
        perhaps = f"node {unheard[0]} may have traded with it, and was not asked" if unheard else ""
        for order in self.replicas.orders.values():
            by = untold.get(order.order_id)
            why = f"node {by} has traded with it, and was not asked" if by else perhaps
            why = why or self._contradicted(order)
            if why:
                refused.append(not_restored(order, why))
            else:
                believed.append(order)
        told = "the nodes that have seen most of it disagree"
        refused += [f"{format_id(order_id)}: {told}" for order_id in self.replicas.disputed]
        return believed, refused

    def absent(self) -> list[NodeId]:
        """Return the nodes that somebody has met, and whose logs were not given."""
        states = [self.state, *(peer.state for peer in self.peers.values())]
        met = {node for one in states for node in one.peers}
        return sorted(met - self.peers.keys() - {self.lost})

    def between(self) -> dict[int, Between]:
        """Return what of the others' trades is in the new log."""
        return {
            node: Between(peer.mark, peer.last_offer) for node, peer in self.state.peers.items()
        }

    def _untold(self) -> dict[int, NodeId]:
        """Return the orders that traded with nodes whose replicas do not show it (S3)."""
        complete = self.replicas.complete
        taken = {
            answer.taker: decider
            for decider, _, answer in self.lost_offers()
            if isinstance(answer, Accepted) and decider not in complete
        }
        made = {offered.maker: peer for peer, offered, _ in self._settled() if peer not in complete}
        return taken | made

    def _contradicted(self, order: OrderEvent) -> str:
        """Say what of the old copy contradicts an order that was shown since."""
        account = self.state.accounts.find(order.account)
        if account is not None and account.is_closed:
            return "the account is closed in the old copy"
        known = self.state.orders.get(order.order_id)
        if known is None:
            is_old = number_of(order.order_id) <= self.state.scalars.number
            return "the old copy does not have it open" if is_old else ""
        if known.canceled:
            return "it is canceled in the old copy"
        theirs = (order.account, order.symbol, order.side)
        is_same = theirs == (known.account, known.symbol, known.side)
        return "" if is_same else "it is another order in the old copy"

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

    def wanted(
        self, offers: Sequence[Answered], believed: Iterable[OrderEvent]
    ) -> tuple[dict[int, Want], int]:
        """Return the orders to make, and the one that stands for declined takers."""
        wanted: dict[int, Want] = {}
        for _, _, answer in offers:
            if isinstance(answer, Accepted):
                side = Side(answer.side).opposite
                self._want(wanted, answer.taker, answer, side, stamp=0)
        for _, offered, quantity in self._settled():
            side = Side(offered.side).opposite
            terms = offered._replace(quantity=quantity)
            self._want(wanted, offered.maker, terms, side, stamp=offered.maker_stamp)
        for order in believed:
            if order.order_id in self.state.orders:
                continue
            new = Want(order.order_id, order.symbol, order.side, order.price, 0, 0, order.account)
            want = wanted.setdefault(order.order_id, new)
            want.quantity += order.open
            want.stamp = want.stamp or order.stamp
        declined = [item[2].trade_id for item in offers if isinstance(item[2], Declined)]
        stand_in = self._choose_stand_in(wanted, min(declined)) if declined else 0
        return wanted, stand_in

    def _settled(self) -> Iterable[tuple[NodeId, Offered, int]]:
        """Yield proposers and their offers that the lost node has accepted, as they were told."""
        for peer in self.peers.values():
            mark = self.state.peer(peer.node).mark
            for (decider, epoch, seq), settled in sorted(peer.halves.settled.items()):
                offer_id = OfferId(Epoch(epoch), Seq(seq))
                if decider == self.lost and settled.quantity and offer_id > mark:
                    offered = peer.halves.offered[decider, epoch, seq]
                    yield peer.node, offered, settled.quantity

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
        new = Want(
            order_id, Symbol(terms.symbol), side, terms.price, 0, stamp, self._owner(order_id)
        )
        want = wanted.setdefault(order_id, new)
        want.quantity += terms.quantity
        better = max if side is Side.BUY else min
        want.price = better(want.price, terms.price)

    def _owner(self, order_id: int) -> AccountId:
        """Return whose an order is, as replicas say; else it is of the suspense account."""
        shown = self.replicas.account_of(order_id)
        account = self.state.accounts.find(shown) if shown is not None else None
        if shown is None or (account is not None and account.is_closed):
            return self.suspense
        return shown

    def _choose_stand_in(self, wanted: dict[int, Want], first: int) -> int:
        """Return an order with a lot to spare, which stands for the takers of declined offers."""
        earlier = [order_id for order_id in wanted if order_id < first]
        if earlier:
            nobodys = [key for key in earlier if wanted[key].account == self.suspense]
            chosen = max(nobodys or earlier)
            wanted[chosen].quantity += 1
            return chosen
        if number_of(first - 1) <= self.state.scalars.number:
            return 0  # its taker is in the old copy, and as good as any
        symbol = min(self.state.instruments)
        wanted[first - 1] = Want(first - 1, symbol, Side.BUY, 1, 1, 0, self.suspense)
        return first - 1


def not_restored(order: OrderEvent, why: str) -> str:
    """Say why an order that was shown is not open again."""
    return f"{format_id(order.order_id)} of account {format_id(order.account)}: {why}"
