"""Trades with other nodes: offers out, acceptances, marks, and what was seen of peers.

`halves` returns what the logs of the other nodes must agree with (`recovery.audit.join`).
"""

from collections import Counter
from collections.abc import Collection
from typing import Any

from recovery.audit.findings import Findings, id_text
from recovery.audit.halves import (
    Accepted,
    Declined,
    Forgotten,
    Halves,
    Key,
    Offered,
    OfferId,
    Settled,
)
from recovery.audit.ledger import NUMBER_BITS, Ledger
from recovery.audit.market import BUY, IOC, Amounts, Order
from recovery.audit.tables import Rows
from recovery.audit.wire import Seen

BEFORE_ANY: OfferId = (0, 0)


class Peer:
    """What the log says about one other node."""

    def __init__(self, peer: int) -> None:
        self.peer = peer
        self.nonce = b""
        self.epoch = 0
        self.boot_id = b""
        self.address = ""
        self.last_offer = self.answered = self.mark = self.forgotten = BEFORE_ANY
        self.seen_lsn = 0
        self.seen_digest = self.seen_boot = self.seen_mac = b""
        self.clearing = Amounts(int)
        self.trade_number = 0  # highest of its trade ids that was accepted here
        self.accepted: dict[OfferId, tuple[Any, ...]] = {}  # not forgotten, oldest first


class Trades(Ledger):
    """The ledger of a node that trades with others."""

    def __init__(self, node: int, findings: Findings, rows: Rows) -> None:
        super().__init__(node, findings, rows)
        self.peers: dict[int, Peer] = {}
        self.out: dict[Key, tuple[Any, ...]] = {}  # offers without an answer, as table rows
        self.decided: dict[Key, tuple[Any, ...]] = {}  # heuristic decisions, as table rows
        self.offered: dict[Key, Offered] = {}
        self.settled: dict[Key, Settled] = {}
        self.accepted: dict[Key, Accepted] = {}
        self.declined: dict[Key, Declined] = {}
        self.forgotten: dict[int, list[Forgotten]] = {}
        self.reborn: dict[int, int] = {}  # peers with a new nonce: since which LSN here

    def see(self, seen: dict[int, Seen], reborn: Collection[int] = ()) -> None:
        """Take in what a frame's header says of peers' logs (C3); those reborn begin anew."""
        for node, (lsn, digest, boot_id, mac) in seen.items():
            peer = self._peer(node)
            if lsn < peer.seen_lsn and node not in reborn:
                detail = f"LSN {lsn} of node {node} after LSN {peer.seen_lsn}"
                self.findings.add("audit_seen", self.lsn + 1, detail)
            peer.seen_lsn, peer.seen_digest = lsn, digest
            peer.seen_boot, peer.seen_mac = boot_id, mac
            watermarks = self.forgotten.get(node, [])
            for index in range(len(watermarks) - 1, -1, -1):
                if watermarks[index].seen >= 0:
                    break
                watermarks[index] = watermarks[index]._replace(seen=lsn)

    def halves(self) -> Halves:
        """Return what the other nodes' logs must agree with."""
        total: Counter[str] = Counter(self.external)
        for account in self.accounts.values():
            for amounts in (account.available, account.held):
                for asset, amount in amounts.items():
                    total[asset] += amount
        for peer in self.peers.values():
            for asset, amount in peer.clearing.items():
                total[asset] += amount
        return Halves(
            self.node,
            self.offered,
            self.settled,
            self.accepted,
            self.declined,
            self.forgotten,
            {peer.peer: peer.mark for peer in self.peers.values()},
            {peer.peer: (peer.seen_lsn, peer.seen_digest) for peer in self.peers.values()},
            dict(total),
            self.reborn,
        )

    # The proposer's records.

    def trade_offered(self, record: list[Any]) -> None:
        (
            _,
            decider,
            (epoch, seq),
            trade_id,
            taker_id,
            maker_id,
            quantity,
            price,
            limit,
            taker_stamp,
            maker_stamp,
            ts,
        ) = record
        self._new_number(trade_id)
        taker, peer = self._order(taker_id), self._peer(decider)
        if maker_id >> NUMBER_BITS != decider or decider == self.node:
            self.report("audit_owner", f"order {id_text(maker_id)} is offered to node {decider}")
        last = peer.last_offer
        expected = (self.epoch, last[1] + 1 if last[0] == self.epoch else 1)
        if (epoch, seq) != expected:
            self.report("audit_offer_id", f"offer {epoch}.{seq}, not {expected[0]}.{expected[1]}")
        peer.last_offer = max(last, (epoch, seq))
        self._check_offer(taker, quantity, price, limit, taker_stamp, maker_stamp)
        key = (decider, epoch, seq)
        self.out[key] = (
            decider,
            (epoch, seq),
            trade_id,
            taker_id,
            maker_id,
            taker.side,
            quantity,
            price,
            limit,
            taker_stamp,
            maker_stamp,
            ts,
        )
        self.offered[key] = Offered(
            self.lsn,
            peer.seen_lsn,
            trade_id,
            maker_id,
            taker_id,
            taker.symbol,
            taker.side,
            quantity,
            price,
            maker_stamp,
        )
        if taker.offers is None:
            taker.offers = {}
        taker.offers[key] = (quantity, limit)
        taker.offered += quantity
        if taker_stamp != taker.stamp:
            self._new_stamp(taker_stamp)
            book = taker.instrument.books[taker.side]
            book.remove(taker)
            taker.stamp = taker_stamp
            book.add(taker)
        self.changed(taker, ts)

    def trade_settled(self, record: list[Any]) -> None:
        _, decider, (epoch, seq), quantity, ts = record
        peer = self._peer(decider)
        peer.answered = max(peer.answered, (epoch, seq))
        self._end_offer(peer, (decider, epoch, seq), quantity, ts, is_heuristic=False)

    def heuristic_decision(self, record: list[Any]) -> None:
        _, decider, (epoch, seq), _, quantity, operator, reason, ts = record
        key = (decider, epoch, seq)
        row = self.out.get(key)
        if row is not None:
            self.decided[key] = (row, quantity, operator, reason, ts, -1)
        self._end_offer(self._peer(decider), key, quantity, ts, is_heuristic=True)

    def heuristic_checked(self, record: list[Any]) -> None:
        _, decider, (epoch, seq), quantity, _ = record
        peer, key = self._peer(decider), (decider, epoch, seq)
        peer.answered = max(peer.answered, (epoch, seq))
        row = self.decided.get(key)
        if row is None:
            self.report("audit_no_offer", f"offer {epoch}.{seq} was not decided by an operator")
        elif row[1] == quantity:
            del self.decided[key]
        else:
            self.decided[key] = (*row[:5], quantity)

    def heuristic_forgotten(self, record: list[Any]) -> None:
        _, decider, (epoch, seq), _, _, _ = record
        if self.decided.pop((decider, epoch, seq), None) is None:
            self.report("audit_no_offer", f"offer {epoch}.{seq} was not decided by an operator")

    # The decider's records.

    def trade_accepted(self, record: list[Any]) -> None:
        _, proposer, (epoch, seq), trade_id, maker_id, taker_id, quantity, price, ts = record
        peer = self._peer(proposer)
        self._check_mark(peer, (epoch, seq), trade_id)
        if trade_id >> NUMBER_BITS != proposer or taker_id >> NUMBER_BITS != proposer:
            self.report("audit_owner", f"node {proposer} speaks for order {id_text(taker_id)}")
        if trade_id <= peer.trade_number:
            self.report("audit_number", f"trade {id_text(trade_id)} of node {proposer} again")
        peer.trade_number = max(peer.trade_number, trade_id)
        maker = self._order(maker_id)
        self.check_open(maker, quantity)
        if price != maker.price:
            self.report("audit_price", f"a trade at {price}, the maker's price is {maker.price}")
        if maker.time_in_force == IOC:
            self.report("audit_rests", f"maker {id_text(maker_id)}")
        self.accepted[proposer, epoch, seq] = Accepted(
            self.lsn,
            peer.seen_lsn,
            trade_id,
            maker_id,
            taker_id,
            maker.symbol,
            maker.side,
            quantity,
            price,
            maker.stamp,
        )
        peer.accepted[epoch, seq] = (
            proposer,
            (epoch, seq),
            trade_id,
            maker_id,
            taker_id,
            quantity,
            price,
        )
        self._clear(peer, maker, quantity, price)
        self.fill(maker, trade_id, quantity, price, is_maker=True, ts=ts)
        self.publish(maker, trade_id, quantity, price, ts)

    def trade_declined(self, record: list[Any]) -> None:
        _, proposer, (epoch, seq), trade_id = record[:4]
        peer = self._peer(proposer)
        self._check_mark(peer, (epoch, seq), trade_id)
        self.declined[proposer, epoch, seq] = Declined(self.lsn, peer.seen_lsn, trade_id)

    def offers_forgotten(self, record: list[Any]) -> None:
        _, proposer, (epoch, seq) = record
        peer, below = self._peer(proposer), (epoch, seq)
        is_next = below <= (peer.mark[0], peer.mark[1] + 1) or seq == 1  # 1: of a later epoch
        if below < peer.forgotten or not is_next:
            detail = f"below {epoch}.{seq}, the mark is {peer.mark[0]}.{peer.mark[1]}"
            self.report("audit_forget", detail)
        peer.forgotten = max(peer.forgotten, below)
        while peer.accepted and (oldest := next(iter(peer.accepted))) < below:
            del peer.accepted[oldest]
        watermark = Forgotten(self.lsn, -1, below)
        self.forgotten.setdefault(proposer, []).append(watermark)

    def peer_seen(self, record: list[Any]) -> None:
        _, node, nonce, epoch, boot_id, address = record
        peer = self._peer(node)
        if epoch < peer.epoch:
            self.report("audit_epoch", f"node {node} in epoch {epoch} after epoch {peer.epoch}")
        if peer.nonce and nonce != peer.nonce and boot_id:  # `recover-node` writes no boot id
            self.report("audit_seen", f"node {node} has another birth nonce")
        if peer.nonce and nonce != peer.nonce:
            self.reborn[node] = self.lsn
        self.is_rebuilding = self.is_rebuilding and not boot_id
        peer.nonce, peer.epoch, peer.boot_id, peer.address = nonce, epoch, boot_id, address

    def _check_offer(
        self,
        taker: Order,
        quantity: int,
        price: int,
        limit: int,
        taker_stamp: int,
        maker_stamp: int,
    ) -> None:
        """Check an offer against the own book: nothing of it may come before (S2)."""
        self.check_open(taker, quantity)
        self._check_price(price, maker=price, taker=taker, limit=limit)
        if limit != taker.price:
            self.report("audit_price", f"offered with limit {limit}, it is {taker.price}")
        if maker_stamp >= taker_stamp:
            self.report(
                "audit_age", f"offered to a maker that is younger than the taker {taker_stamp}"
            )
        half = taker.instrument.books[3 - taker.side]
        first = half.first(taker_stamp)
        if first is None:
            return
        ranks = (first.price * half.sign, first.stamp), (price * half.sign, maker_stamp)
        if ranks[0] < ranks[1]:
            self.report("audit_priority", f"own order {id_text(first.order_id)} comes before it")

    def _check_mark(self, peer: Peer, offer_id: OfferId, trade_id: int) -> None:
        if offer_id <= peer.mark:
            self.report(
                "audit_mark",
                f"offer {offer_id[0]}.{offer_id[1]} of node {peer.peer} (trade"
                f" {id_text(trade_id)}) is decided, the mark is {peer.mark[0]}.{peer.mark[1]}",
            )
        peer.mark = max(peer.mark, offer_id)

    def _end_offer(
        self, peer: Peer, key: Key, quantity: int, ts: int, *, is_heuristic: bool
    ) -> None:
        row = self.out.pop(key, None)
        if row is None:
            self.report("audit_no_offer", f"offer {key[1]}.{key[2]} to node {key[0]} is not out")
            return
        self.settled[key] = Settled(self.lsn, peer.seen_lsn, quantity, is_heuristic)
        trade_id, taker_id, offered, price = row[2], row[3], row[6], row[7]
        taker = self._order(taker_id)
        assert taker.offers is not None, "an offer out belongs to an order"
        del taker.offers[key]
        taker.offered -= offered
        if not 0 <= quantity <= offered:
            self.report("audit_overfill", f"settled {quantity} lots of {offered} offered")
        if not quantity:
            self.changed(taker, ts)
            return
        self._clear(peer, taker, quantity, price)
        self.fill(taker, trade_id, quantity, price, is_maker=False, ts=ts)

    def _clear(self, peer: Peer, order: Order, quantity: int, price: int) -> None:
        """Book what crosses to or from a peer."""
        instrument, sign = order.instrument, 1 if order.side == BUY else -1
        cash, shares = price * quantity * instrument.tick_value, quantity * instrument.lot_value
        peer.clearing[instrument.quote] += sign * cash
        peer.clearing[instrument.base] -= sign * shares

    def _peer(self, node: int) -> Peer:
        peer = self.peers.get(node)
        if peer is None:
            peer = self.peers[node] = Peer(node)
        return peer
