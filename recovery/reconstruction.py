"""The records that make the halves of a lost node's trades whole again.

`recovery.rebuild` says what is booked where, and why.
"""

import secrets
from collections.abc import Sequence
from pathlib import Path

from exchange.domain.orders import FirstAnswer, Order, Reason, SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    CLOCK_ZERO_US,
    AccountId,
    Asset,
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
    Units,
    clock_of,
    format_id,
    make_id,
    make_stamp,
)
from exchange.engine.records import (
    AccountOpened,
    Booted,
    InstrumentListed,
    OfferId,
    OrderAmended,
    OrderCanceled,
    OrderPlaced,
    PeerSeen,
    Record,
    TradeAccepted,
    TradeDeclined,
    TradeOffered,
    TradeSettled,
    Transferred,
)
from exchange.engine.state import State
from exchange.store.frames import FORMAT_VERSION, Frame
from recovery.audit.halves import Accepted, Declined, Offered
from recovery.bulk import NewDirectory
from recovery.chain import Chain
from recovery.directory import DataDirectory
from recovery.knowledge import SUSPENSE, Answered, Knowledge, Peer, Rebuilt, Want
from recovery.problems import EXIT_DAMAGED, EXIT_USAGE
from recovery.replay import CannotReplay


class Builder:
    """Makes the records, frame by frame."""

    def __init__(
        self, new: NewDirectory, result: Rebuilt, peers: Sequence[Peer], ts: Micros
    ) -> None:
        self.new = new
        self.result = result
        self.peers = {peer.node: peer for peer in peers}
        self.knowledge = Knowledge(NodeId(result.node), self.peers, new.store.state)
        self.seen = {peer.node: peer.proof for peer in peers}
        self.ts = ts
        self._stand_in = 0  # the order whose one lot is offered and released

    @property
    def state(self) -> State:
        return self.new.store.state

    def copy(self, backup: Path, archive: Path | None = None) -> None:
        """Take over the log of an old copy, under the new nonce."""
        with DataDirectory.open(backup) as source:
            if source.node_id != self.result.node:
                raise CannotReplay(f"{source.place} is of node {source.node_id}", EXIT_USAGE)
            if archive is not None:
                source.add_archive(archive)
            chain = Chain(source.base(), source.place)
            if chain.base.lsn:
                told = f"its log through LSN {chain.base.lsn} is archived; give --archive DIR"
                raise CannotReplay(f"{source.place}: {told}")
            for frame in chain.frames(source.log):
                self.new.add(frame)
            if chain.problems:
                found = chain.problems[0]
                remedy = "salvage it first, and give what that makes"
                raise CannotReplay(f"{found.place}: {found.detail}; {remedy}", EXIT_DAMAGED)
        self.result.from_backup_lsn = self.state.lsn

    def run(self) -> None:
        """Make everything whole that can be."""
        self._boot(max(self.state.scalars.epoch, 1))
        self._list_instruments()
        self._open_suspense()
        self._answer_backup_offers()
        self._numbered()
        self._answers()
        self._cancel_open()
        self._boot(max(self.state.scalars.epoch, *(p.known.epoch for p in self.peers.values())))
        for peer in self.peers.values():
            self._force(
                [PeerSeen(peer.node, peer.identity.nonce, peer.state.scalars.epoch, b"", "")]
            )
        self.result.epoch = self.state.scalars.epoch
        self._say_what_is_lost()

    def _list_instruments(self) -> None:
        for peer in self.peers.values():
            for symbol, listing in sorted(peer.state.instruments.items()):
                if symbol not in self.state.instruments:
                    self._force([InstrumentListed(listing.instrument, self.ts)])

    def _open_suspense(self) -> None:
        if self._suspense not in self.state.accounts:
            self._force([AccountOpened(self._suspense, b"", self.ts)])

    def _answer_backup_offers(self) -> None:
        """Settle what was in doubt in the old copy and is decided."""
        for (decider, offer_id), offer in sorted(self.state.offers.items()):
            answer = self.knowledge.answer(decider, offer_id)
            if answer is not None:
                quantity = answer.quantity if isinstance(answer, Accepted) else 0
                self._force([TradeSettled(decider, offer_id, Lots(quantity), self.ts)])
                self._book("booked" if quantity else "", offer.trade_id, quantity)

    def _numbered(self) -> None:
        """Offers of the lost node and the suspense orders they need, in the order of numbers."""
        offers = sorted(self.knowledge.lost_offers(), key=lambda item: item[2].trade_id)
        wanted, self._stand_in = self.knowledge.wanted(offers)
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
        """Place a suspense order, with funds from outside."""
        order_id = OrderId(want.order_id)
        if order_id in self.state.orders:
            return
        rule = self.state.instruments[want.symbol].instrument.rule
        instrument = self.state.instruments[want.symbol].instrument
        if want.side is Side.BUY:
            asset, needed = instrument.quote, want.price * want.quantity * rule.tick_value
        else:
            asset, needed = instrument.base, want.quantity * rule.lot_value
        self._force(
            [
                Transferred(self._suspense, Asset(asset), Units(needed), self.ts),
                OrderPlaced(
                    order_id,
                    self._suspense,
                    want.symbol,
                    want.side,
                    TimeInForce.GTC,
                    SelfTrade.CANCEL_NEWEST,
                    Ticks(want.price),
                    Lots(want.quantity),
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
        where = "suspense" if order.account == self._suspense else "booked"
        self._book(where if accepted else "", answer.trade_id, accepted)

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
        where = "suspense" if order.account == self._suspense else "booked"
        self._book(where, offered.trade_id, quantity)

    def _cancel_open(self) -> None:
        for order in sorted(self.state.orders.values(), key=lambda order: order.order_id):
            if not order.canceled:
                if order.account != self._suspense and order.open:
                    self.result.canceled.append(format_id(order.order_id))
                self._force([OrderCanceled(order.order_id, Reason.OPERATOR, self.ts)])

    def _make_ready(
        self, order_id: int, quantity: int, price: int, *, stamp: int, is_maker: bool
    ) -> Order:
        """Bring an order of the old copy to where its trade shows that it was."""
        order = self.state.orders[OrderId(order_id)]
        is_bought = order.side is Side.BUY
        limit: int = price
        if not is_maker:
            limit = max(order.price, price) if is_bought else min(order.price, price)
        total = max(order.total, order.filled + order.offered + quantity)
        stamp = 0 if stamp == order.stamp else stamp
        if (limit, total, stamp) == (order.price, order.total, 0):
            return order
        instrument = self.state.instruments[order.symbol].instrument
        rule, free = instrument.rule, total - order.filled - order.offered
        asset = instrument.quote if is_bought else instrument.base
        more = limit * free * rule.tick_value if is_bought else free * rule.lot_value
        account = self.state.accounts.find(order.account)
        assert account is not None, "an order has an account"
        held = order.price * rule.tick_value if is_bought else rule.lot_value
        held *= order.open
        short = more - held - account.available.get(asset, 0)
        records: list[Record] = []
        if short > 0:
            records.append(Transferred(order.account, asset, Units(short), self.ts))
            self.result.funded.append(f"{format_id(order.account)}: {short} {asset}")
        records.append(
            OrderAmended(order.order_id, Ticks(limit), Lots(total), Stamp(stamp), self.ts)
        )
        self._force(records)
        return self.state.orders[OrderId(order_id)]

    def _spare(self) -> int:
        """Return an open order that stands for the taker of a declined offer."""
        order = self.state.orders.get(OrderId(self._stand_in))
        if order is None or not order.open:
            spare = [order_id for order_id, live in self.state.orders.items() if live.open]
            if not spare:
                number = make_id(self.result.node, self.state.scalars.number + 1)
                self._place(Want(number, min(self.state.instruments), Side.BUY, 1, 1, 0))
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

    @property
    def _suspense(self) -> AccountId:
        return AccountId(make_id(self.result.node, SUSPENSE))

    def _say_what_is_lost(self) -> None:
        result, lost = self.result, self.result.not_recovered
        since = f" after LSN {result.from_backup_lsn}" if result.from_backup_lsn else ""
        lost.append(f"deposits, withdrawals and issues{since}: no other node knows them")
        lost.append(f"accounts, API keys and client order ids made{since}")
        lost.append(f"trades between accounts of this node{since}")
        lost.append(f"orders placed, amended or canceled{since}, as far as they met no other node")
        if result.suspense:
            lost.append(
                f"whose {len(result.suspense)} trades were: they are in account"
                f" {format_id(self._suspense)}"
            )
        if result.declined_now:
            lost.append(f"what it answered to {len(result.declined_now)} offers: declined now")
        if result.canceled:
            lost.append(f"the state of {len(result.canceled)} orders: canceled now")
