"""The records that make the halves of a lost node's trades whole again.

`recovery.rebuild` says what is booked where, and why.
"""

import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from exchange.domain.book import OrderEvent
from exchange.domain.orders import FirstAnswer, Order, Reason, SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    CLOCK_ZERO_US,
    AccountId,
    Clock,
    Epoch,
    Lots,
    Lsn,
    Micros,
    NodeId,
    OrderId,
    Seq,
    Stamp,
    Ticks,
    TradeId,
    clock_of,
    format_id,
    make_id,
    make_stamp,
)
from exchange.engine.ledger import entry_hold
from exchange.engine.records import (
    AccountOpened,
    Booted,
    InstrumentListed,
    OfferId,
    OrderAmended,
    OrderCanceled,
    OrderPlaced,
    OrderRejected,
    PeerSeen,
    Record,
    TradeAccepted,
    TradeDeclined,
    TradeOffered,
    TradeSettled,
)
from exchange.engine.state import State
from exchange.store.frames import FORMAT_VERSION, Frame
from recovery.audit.halves import Accepted, Declined, Offered
from recovery.bulk import NewDirectory
from recovery.directory import DataDirectory
from recovery.knowledge import Answered, Knowledge, Peer, Rebuilt, Want, not_restored
from recovery.problems import EXIT_USAGE
from recovery.replay import CannotReplay, check_intact, whole_chain
from recovery.replicas import Replicas
from recovery.restoration import Loans, amendments, choose


class Builder:
    """Makes the records, frame by frame."""

    def __init__(
        self,
        new: NewDirectory,
        result: Rebuilt,
        peers: Sequence[Peer],
        replicas: Replicas,
        ts: Micros,
    ) -> None:
        self.new = new
        self.result = result
        self.peers = {peer.node: peer for peer in peers}
        self.replicas = replicas
        self.knowledge = Knowledge(NodeId(result.node), self.peers, new.store.state, replicas)
        self.seen = {peer.node: peer.proof for peer in peers}
        self.ts = ts
        self.believed: dict[OrderId, OrderEvent] = {}  # orders to restore
        self.loans = Loans(self.state, self.knowledge.suspense, ts)
        self._stand_in = 0  # the order whose one lot is offered and released

    @property
    def state(self) -> State:
        return self.new.store.state

    def copy(self, backup: Path, archive: Path | None = None) -> None:
        """Take over the log of an old copy, under the new nonce."""
        with DataDirectory.open(backup) as source:
            clusters = {peer.identity.cluster for peer in self.peers.values()}
            if source.node_id != self.result.node or source.identity.cluster not in clusters:
                told = f"{source.place} is of node {source.node_id}"
                told = f"{told} of cluster {source.identity.cluster}"
                raise CannotReplay(f"{told}; give a copy of the lost node", EXIT_USAGE)
            chain = whole_chain(source, archive)
            for frame in chain.frames(source.log):
                self.new.add(frame)
            check_intact(chain)
        self.result.from_backup_lsn = self.state.lsn

    def run(self) -> None:
        """Make everything whole that can be."""
        self._boot(max(self.state.scalars.epoch, 1))
        self._list_instruments()
        self._open(self.knowledge.suspense)
        self._believe()
        self._answer_backup_offers()
        self._numbered()
        self._answers()
        self._end()
        self._skip_numbers()
        self._boot(max(self.state.scalars.epoch, *(p.known.epoch for p in self.peers.values())))
        for peer in self.peers.values():
            self._force(
                [PeerSeen(peer.node, peer.identity.nonce, peer.state.scalars.epoch, b"", "")]
            )
        self.result.epoch = self.state.scalars.epoch

    def _list_instruments(self) -> None:
        for peer in self.peers.values():
            for symbol, listing in sorted(peer.state.instruments.items()):
                if symbol not in self.state.instruments:
                    self._force([InstrumentListed(listing.instrument, self.ts)])

    def _open(self, account: AccountId) -> None:
        """Open an account that is not in the old copy, with no key to it."""
        if self.state.accounts.find(account) is None:
            self._force([AccountOpened(account, b"", self.ts)])
            if account != self.knowledge.suspense:
                self.result.opened.append(format_id(account))

    def _believe(self) -> None:
        """Choose what is restored: nothing, if the old copy may be newer than the replicas."""
        self.result.replicas = [str(replica) for replica in self.replicas.all]
        self.result.replicas_lsn = self.replicas.seen_lsn
        if self.replicas.seen_lsn < self.result.from_backup_lsn:
            return
        believed, self.result.not_restored = self.knowledge.believed()
        self.believed = {order.order_id: order for order in believed}

    def _answer_backup_offers(self) -> None:
        """Settle what was in doubt in the old copy and is decided."""
        for (decider, offer_id), offer in sorted(self.state.offers.items()):
            answer = self.knowledge.answer(decider, offer_id)
            if answer is not None:
                quantity = answer.quantity if isinstance(answer, Accepted) else 0
                self._force([TradeSettled(decider, offer_id, Lots(quantity), self.ts)])
                self._book("booked" if quantity else "", offer.trade_id, quantity)

    def _numbered(self) -> None:
        """Offers of the lost node and the orders that are needed, in the order of numbers."""
        offers = sorted(self.knowledge.lost_offers(), key=lambda item: item[2].trade_id)
        wanted, self._stand_in = self.knowledge.wanted(offers, self.believed.values())
        queue: list[tuple[int, Want | Answered]] = [
            *((want.order_id, want) for want in wanted.values()),
            *((item[2].trade_id, item) for item in offers),
        ]
        for _, item in sorted(queue, key=lambda entry: entry[0]):
            if isinstance(item, Want):
                self._place(item)
            else:
                self._offer(*item)

    def _place(self, want: Want) -> None:
        """Place an order, with funds from outside where its account lacks them."""
        order_id = OrderId(want.order_id)
        if order_id in self.state.orders:
            return
        self._open(want.account)
        price, quantity = Ticks(want.price), Lots(want.quantity)
        rule = self.state.rules[want.symbol]
        asset, needed = entry_hold(rule, want.side, price=price, quantity=quantity)
        self._force(
            [
                *self.loans.lend(want.account, asset, needed),
                OrderPlaced(
                    order_id,
                    want.account,
                    want.symbol,
                    want.side,
                    TimeInForce.GTC,
                    SelfTrade.CANCEL_NEWEST,
                    price,
                    quantity,
                    Stamp(want.stamp) if want.stamp else self._stamp(),
                    "",
                    FirstAnswer(),
                    self.ts,
                ),
            ]
        )

    def _offer(self, decider: NodeId, offer_id: OfferId, answer: Accepted | Declined) -> None:
        """Offer again what was offered, and settle it as it was decided."""
        self._boot(offer_id.epoch)
        if isinstance(answer, Accepted):
            taker, maker, quantity = answer.taker, answer.maker, answer.quantity
            price, maker_stamp = answer.price, answer.maker_stamp
        else:
            taker, maker = self._spare(), make_id(decider, 0)
            quantity, price, maker_stamp = 1, self.state.orders[OrderId(taker)].price, 0
        order = self.state.orders[OrderId(taker)]
        if isinstance(answer, Accepted):
            order = self._make_ready(taker, quantity, price, stamp=order.stamp, is_maker=False)
        stamp = order.stamp if order.stamp > maker_stamp else self._stamp(above=maker_stamp)
        accepted = quantity if isinstance(answer, Accepted) else 0
        self._force(
            [
                TradeOffered(
                    decider,
                    offer_id,
                    TradeId(answer.trade_id),
                    OrderId(taker),
                    OrderId(maker),
                    Lots(quantity),
                    Ticks(price),
                    order.price,
                    stamp,
                    Stamp(maker_stamp),
                    self.ts,
                ),
                TradeSettled(decider, offer_id, Lots(accepted), self.ts),
            ]
        )
        self._book(self._where(order) if accepted else "", answer.trade_id, accepted)

    def _answers(self) -> None:
        """Answer again what the others have offered, as they were told; the rest is declined."""
        for peer in self.peers.values():
            for (decider, epoch, seq), offered in sorted(peer.halves.offered.items()):
                offer_id = OfferId(Epoch(epoch), Seq(seq))
                if decider != self.result.node or offer_id <= self.state.peer(peer.node).mark:
                    continue
                settled = peer.halves.settled.get((decider, epoch, seq))
                if settled is None:
                    self.result.declined_now.append(format_id(offered.trade_id))
                if settled is None or not settled.quantity:
                    trade = TradeId(offered.trade_id)
                    reason = "answered before" if settled else "answer lost"
                    self._force([TradeDeclined(peer.node, offer_id, trade, reason, self.ts)])
                    continue
                self._accept(peer.node, offer_id, offered, settled.quantity)

    def _accept(self, proposer: NodeId, offer_id: OfferId, offered: Offered, quantity: int) -> None:
        order = self._make_ready(
            offered.maker, quantity, offered.price, stamp=offered.maker_stamp, is_maker=True
        )
        self._force(
            [
                TradeAccepted(
                    proposer,
                    offer_id,
                    TradeId(offered.trade_id),
                    OrderId(offered.maker),
                    OrderId(offered.taker),
                    Lots(quantity),
                    Ticks(offered.price),
                    self.ts,
                )
            ]
        )
        self._book(self._where(order), offered.trade_id, quantity)

    def _where(self, order: Order) -> str:
        return "suspense" if order.account == self.knowledge.suspense else "booked"

    def _end(self) -> None:
        """Cancel what is open, but for what can be restored; take back what was lent."""
        state, result = self.state, self.result
        self._cancel(state.orders.keys() - self.believed.keys())
        kept, refused = choose(state, self.believed, self.loans)
        self._cancel(state.orders.keys() - kept)
        result.not_restored += [
            not_restored(self.believed[order_id], why) for order_id, why in sorted(refused.items())
        ]
        for record in amendments(state, [self.believed[order_id] for order_id in kept], self.ts):
            self._force([record])
        result.restored = [format_id(order_id) for order_id in sorted(kept)]
        records, result.funded = self.loans.take_back()
        for transferred in records:
            self._force([transferred])

    def _cancel(self, order_ids: Iterable[OrderId]) -> None:
        for order_id in sorted(order_ids):
            order = self.state.orders[order_id]
            if order.canceled:
                continue
            if order.account != self.knowledge.suspense and order.open:
                self.result.canceled.append(format_id(order_id))
            self._force([OrderCanceled(order_id, Reason.OPERATOR, self.ts)])

    def _skip_numbers(self) -> None:
        """Leave out the numbers that the lost node may have given out unheard (E5).

        The next ones go on from the clock, in microseconds.  No life of a node gives out one in
        each, so none comes near the numbers of the next.
        """
        if not self.state.instruments:
            return
        number = max(self.state.scalars.number + 1, clock_of(self._stamp()))
        self._force(
            [
                OrderRejected(
                    OrderId(make_id(self.result.node, number)),
                    self.knowledge.suspense,
                    min(self.state.instruments),
                    Side.BUY,
                    TimeInForce.GTC,
                    SelfTrade.CANCEL_NEWEST,
                    Ticks(1),
                    Lots(1),
                    "",
                    Reason.OPERATOR,
                    self.ts,
                )
            ]
        )

    def _make_ready(
        self, order_id: int, quantity: int, price: int, *, stamp: int, is_maker: bool
    ) -> Order:
        """Bring an order of the old copy to where its trade shows that it was."""
        order = self.state.orders[OrderId(order_id)]
        is_bought = order.side is Side.BUY
        limit: int = price
        if not is_maker:
            limit = max(order.price, price) if is_bought else min(order.price, price)
        left = self.believed[order.order_id].open if order.order_id in self.believed else 0
        total = max(order.total, order.filled + order.offered + quantity + left)
        stamp = 0 if stamp == order.stamp else stamp
        if (limit, total, stamp) == (order.price, order.total, 0):
            return order
        rule, free = self.state.rules[order.symbol], Lots(total - order.filled - order.offered)
        asset, needed = entry_hold(rule, order.side, price=Ticks(limit), quantity=free)
        _, held = entry_hold(rule, order.side, price=order.price, quantity=order.open)
        self._force(
            [
                *self.loans.lend(order.account, asset, needed - held),
                OrderAmended(order.order_id, Ticks(limit), Lots(total), Stamp(stamp), self.ts),
            ]
        )
        return self.state.orders[OrderId(order_id)]

    def _spare(self) -> int:
        """Return an open order that stands for the taker of a declined offer."""
        order = self.state.orders.get(OrderId(self._stand_in))
        if order is None or not order.open:
            spare = [order_id for order_id, live in self.state.orders.items() if live.open]
            if not spare:
                number = make_id(self.result.node, self.state.scalars.number + 1)
                symbol, suspense = min(self.state.instruments), self.knowledge.suspense
                self._place(Want(number, symbol, Side.BUY, 1, 1, 0, suspense))
                spare = [OrderId(number)]
            self._stand_in = max(spare)
        return self._stand_in

    def _book(self, where: str, trade_id: int, quantity: int) -> None:
        if where:
            rows: list[str] = getattr(self.result, where)
            rows.append(format_id(trade_id))
        self.result.trades += bool(quantity)

    def _boot(self, epoch: int) -> None:
        """Enter an epoch, alone in its frame (W6)."""
        if epoch > self.state.scalars.epoch:
            self._force([Booted(Epoch(epoch), secrets.token_bytes(8), self.ts)])

    def _stamp(self, *, above: int = 0) -> Stamp:
        """Return a stamp younger than all before, and than `above`."""
        clock = max(self.state.scalars.clock, clock_of(above), self.ts - CLOCK_ZERO_US)
        return make_stamp(Clock(clock + 1), self.result.node)

    def _force(self, records: list[Record]) -> None:
        state = self.state
        epoch = records[0].epoch if isinstance(records[0], Booted) else state.scalars.epoch
        seen = self.seen
        frame = Frame(
            FORMAT_VERSION,
            Lsn(state.lsn + 1),
            len(records),
            epoch,
            Micros(self.ts),
            {} if isinstance(records[0], Booted) else dict(seen),
            records,
        )
        self.new.add(frame)
