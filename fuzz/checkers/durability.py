"""Durability: nothing is said before it is forced, and the log is the state (E2, E3, W4, W5)."""

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from exchange.domain.orders import Account
from exchange.domain.units import Asset, Seq
from exchange.engine.effects import AnswerBody, CancelAnswer, OrderAnswer
from exchange.engine.messages import (
    Ack,
    Events,
    Heartbeat,
    Hello,
    Offer,
    OrderEvent,
    PeerMessage,
    Reply,
    SnapshotChunk,
)
from exchange.engine.records import OfferId
from exchange.engine.state import State
from exchange.store.frames import read_frame
from exchange.store.redo import redo_frame
from exchange.store.store import Store
from exchange.store.tables import CODECS, Kind
from fuzz.checkers.base import Checker
from fuzz.clients import Call
from fuzz.model import Node, hold, holds, is_live, offered
from fuzz.network import Link
from fuzz.process import Process

if TYPE_CHECKING:
    from fuzz.cluster import Machine

_encode = msgspec.msgpack.encode


class NothingLeavesEarly(Checker):
    """Whatever a node says, its durable log already says (E3, S5, S7)."""

    def on_sending(self, process: Process, link: Link, messages: list[PeerMessage]) -> None:
        """Hold each message against the durable log of the sender."""
        node, peer = self.exchange.node(process.node), link.other(process.node).node
        for message in messages:
            match message:
                case Offer(offer_id):
                    if (peer, offer_id) not in node.offers:
                        self.fail(f"node {node.node} sends an offer that is not durable: {message}")
                case Reply(offer_id, quantity):
                    self._reply(node, peer, offer_id, quantity)
                case Ack(watermark) | Heartbeat(watermark=watermark):
                    self._watermark(node, peer, watermark)
                case Hello():
                    self._hello(node, peer, message)
                case Events(events=events) | SnapshotChunk(events):
                    for event in events:
                        self._event(node, event)
                case _:
                    pass

    def on_answering(self, process: Process, call: Call, body: AnswerBody) -> None:
        """Hold an answer about an order against the durable log."""
        if isinstance(body, CancelAnswer):
            body = body.order
        if not isinstance(body, OrderAnswer):
            return
        node = self.exchange.node(process.node)
        order = node.orders.get(body.order_id)
        if order is None or order.filled < body.filled or body.lsn > node.lsn:
            self.fail(f"node {node.node} tells what is not durable: {body}, LSN {node.lsn}")

    def _reply(self, node: Node, peer: int, offer_id: OfferId, quantity: int) -> None:
        accepted = node.accepted.get((peer, offer_id))
        committed = accepted.quantity if accepted else 0
        if quantity != committed or offer_id > node.mark[peer]:
            self.fail(f"node {node.node} answers {peer}:{offer_id} with {quantity}, not durable")

    def _watermark(self, node: Node, peer: int, watermark: OfferId) -> None:
        below = [key for key in node.doubt if key[0] == peer and key[1] < watermark]
        if below or watermark > _after(node.last_offer[peer]):
            self.fail(f"node {node.node} acknowledges {watermark}, in doubt: {below}")

    def _hello(self, node: Node, peer: int, hello: Hello) -> None:
        if hello.mark > node.mark[peer] or hello.last_offer > node.last_offer[peer]:
            self.fail(f"node {node.node} says hello with what is not durable: {hello}")
        if hello.epoch != node.epoch or hello.boot_id != node.boots[-1]:
            self.fail(f"node {node.node} says hello with another boot: {hello}")
        self._watermark(node, peer, hello.watermark)

    def _event(self, node: Node, event: OrderEvent) -> None:
        order = node.orders.get(event.order_id)
        if order is None or event.version > order.version:
            self.fail(f"node {node.node} publishes what is not durable: {event}")


def _after(offer_id: OfferId) -> OfferId:
    return OfferId(offer_id.epoch, Seq(offer_id.seq + 1))


class ChainHolds(Checker):
    """Every frame carries the digest over all before it; reckoned here once more (W4)."""

    def at_end(self) -> None:
        """Walk every log."""
        for machine in self.cluster.machines.values():
            identity = machine.identity
            head = _encode([identity.cluster, identity.node_id, identity.nonce])
            digest = _blake(head)
            lsn = 0
            for key, value in machine.disk.scan("log"):
                body, found = value[:-16], value[-16:]
                digest = _blake(digest + body)
                frame = read_frame(key, value)
                if digest != found or frame.first_lsn != lsn + 1:
                    self.fail(f"node {machine.node}: the chain breaks at LSN {lsn + 1}")
                lsn = frame.last_lsn
            if lsn != self.exchange.node(machine.node).lsn:
                self.fail(f"node {machine.node}: the log ends at {lsn}")


def _blake(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


class StateIsFold(Checker):
    """The live state, checkpoint and redo, and redo from LSN 0 are the same (E2, W5)."""

    def at_end(self) -> None:
        """Compare all three, table by table, entry by entry, and the naive model."""
        for machine in self.cluster.machines.values():
            process = machine.process
            if process is None:
                continue
            folded = self._fold(machine)
            live = process.engine.state
            again = Store.open(machine.disk.clone(), machine.identity)
            for name, table in folded.tables().items():
                for key, entry in table.items():
                    expected = _encode(entry)
                    for what, state in (("live", live), ("redone", again.state)):
                        found = state.tables()[name].find(key)
                        if found is None or _encode(found) != expected:
                            self.fail(f"node {machine.node}: {name} {key}: {what} {found}, {entry}")
                extra = [key for key in live.tables()[name] if key not in table]
                if extra:
                    self.fail(f"node {machine.node}: {name} has {extra}, the log has not")
            self._tables(machine, folded)
            self._derived(machine, live, folded)
            self._model(self.exchange.node(machine.node), folded)

    def _fold(self, machine: "Machine") -> State:
        identity = machine.identity
        state = State(node_id=identity.node_id, cluster=identity.cluster, nonce=identity.nonce)
        for key, value in machine.disk.scan("log"):
            redo_frame(state, read_frame(key, value))
            state.touched.clear()
        return state

    def _derived(self, machine: "Machine", live: State, folded: State) -> None:
        """Compare what is derived from the tables."""
        folded.derive()
        for name in _DERIVED:
            ours, expected = getattr(live, name), getattr(folded, name)
            if {key: part for key, part in ours.items() if part != {}} != expected:
                self.fail(f"node {machine.node}: {name} is {ours}, not {expected}")

    def _tables(self, machine: "Machine", folded: State) -> None:
        """Look for keys in the tables on the disk that the log does not know of."""
        for name, table in folded.tables().items():
            codec = CODECS[name]
            if codec.kind is Kind.RESIDENT:
                continue  # what is gone from it may be there until the next checkpoint
            for packed, _ in machine.disk.scan(name):
                if codec.open_key(packed) not in table:
                    self.fail(f"node {machine.node}: {name} {packed.hex()} is a ghost")

    def _model(self, node: Node, state: State) -> None:
        """Compare with the naive model."""
        held = holds(node)
        for account_id, is_open in node.accounts.items():
            account = state.accounts[account_id]  # type: ignore[index]  # an AccountId
            if account.is_closed is is_open:
                self.fail(f"account {account_id}: open is {is_open}")
            for asset in sorted({key[1] for key in node.balances}):
                on_hold = held.get((account_id, asset), 0)
                model = (node.balances[account_id, asset] - on_hold, on_hold)
                real = _balance(account, Asset(asset))
                if model != real:
                    self.fail(f"account {account_id} {asset}: model {model}, state {real}")
        for order_id, order in node.orders.items():
            found: Any = state.find_order(order_id)  # type: ignore[arg-type]  # an OrderId
            model_order = (
                *(order.price, order.total, order.filled, offered(node, order), order.canceled),
                *(order.stamp, order.version, order.cost),
            )
            is_canceled = found.canceled and not order.is_rejected
            real_order = (
                *(found.price, found.total, found.filled, found.offered, is_canceled),
                *(found.stamp, found.version, found.cost),
            )
            if model_order != real_order:
                self.fail(f"order {order_id}: model {model_order}, state {real_order}")
            if (order_id in state.orders) is not is_live(node, order):
                self.fail(f"order {order_id} is in the wrong table")
            if hold(node, order)[1] != found.held:
                self.fail(f"order {order_id}: held {found.held}, model {hold(node, order)}")


_DERIVED = (
    *("open_by_account", "offers_by_taker", "offers_to", "offered_against", "acceptances_of"),
    "decimals",
)


def _balance(account: Account, asset: Asset) -> tuple[int, int]:
    return account.available.get(asset, 0), account.held.get(asset, 0)


__all__ = ["ChainHolds", "NothingLeavesEarly", "StateIsFold"]
