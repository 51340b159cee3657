"""The log is the state, and the chain holds (E2, W4, W5)."""

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from exchange.domain.orders import Account
from exchange.domain.units import AccountId, Asset, Seq, Symbol
from exchange.engine.engine import Step
from exchange.engine.state import State
from exchange.store.chain import Budget
from exchange.store.frames import read_frame
from exchange.store.redo import redo_frame
from exchange.store.store import Limits, Store
from exchange.store.tables import CODECS, Kind
from fuzz.checkers.base import Checker
from fuzz.model import Node, hold, holds, is_live, offered
from fuzz.process import Process

if TYPE_CHECKING:
    from fuzz.hardware import Machine

UNCHECKED = Limits(history=Budget(frames=0))  # `ChainHolds` walks the whole chain
_encode = msgspec.msgpack.Encoder().encode


class ChainHolds(Checker):
    """Every frame carries the digest over all before it; reckoned here once more (W4)."""

    def at_end(self) -> None:
        """Walk every log."""
        for machine in self.cluster.machines.values():
            identity = machine.identity
            head = _encode([identity.cluster, identity.node_id, identity.nonce])
            digest = _blake(head)
            lsn = 0
            for key, value in machine.frames():
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
            live = process.engine.state
            again = Store.open(machine.disk.clone(), machine.identity, UNCHECKED)
            # Without a checkpoint redo has begun at LSN 0 itself.
            folded = self._fold(machine) if again.checkpoint_lsn else again.state
            lives, redone = live.tables(), again.state.tables()
            for name, table in folded.tables().items():
                both = (("live", lives[name]), ("redone", redone[name]))
                for key, entry in table.items():
                    expected = _encode(entry)
                    for what, other in both:
                        found = other.find(key)
                        if found is None or _encode(found) != expected:
                            self.fail(f"node {machine.node}: {name} {key}: {what} {found}, {entry}")
                extra = lives[name].keys() - table.keys()
                if extra:
                    self.fail(f"node {machine.node}: {name} has {extra}, the log has not")
            self._tables(machine, folded)
            self._derived(machine, live, folded)
            self._model(self.exchange.node(machine.node), folded)

    def _fold(self, machine: "Machine") -> State:
        identity = machine.identity
        state = State(node_id=identity.node_id, cluster=identity.cluster, nonce=identity.nonce)
        for key, value in machine.frames():
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

    def begin(self) -> None:
        """Count moments at which nothing is ahead of the log."""
        self._level = 0

    def on_decided(self, process: Process, step: Step) -> None:
        """Compare with the naive model now and then, when nothing is ahead of the log."""
        node = self.exchange.node(process.node)
        if not step.records and process.engine.state.lsn == node.lsn:
            self._level += 1
            if self._level % 16 == 0:
                self._model(node, process.engine.state)

    def on_booted(self, process: Process) -> None:
        """Compare what redo has made with the naive model, doubts and all."""
        self._model(self.exchange.node(process.node), process.store.state)

    def _peers(self, node: Node, state: State) -> None:
        """Compare what is kept of the peers, what is outside, and the tapes."""
        for peer_id, peer in state.peers.items():
            real = (peer.last_offer, peer.mark, peer.forgotten)
            model = (node.last_offer[peer_id], node.mark[peer_id], node.forgotten[peer_id])
            if real != model:
                self.fail(f"node {node.node} knows {real} of {peer_id}, model {model}")
            cleared = {asset: amount for asset, amount in peer.clearing.items() if amount}
            for asset in {asset for _, asset in node.clearing} | set(cleared):
                if cleared.get(Asset(asset), 0) != node.clearing[peer_id, asset]:
                    self.fail(f"node {node.node} clears {cleared} with {peer_id}")
        for asset, amount in node.external.items():
            if state.scalars.external.get(Asset(asset), 0) != amount:
                self.fail(f"node {node.node}: {asset} outside: {state.scalars.external}")
        for symbol, trade_ids in node.tape.items():
            tape = [state.trades.find((Symbol(symbol), Seq(1 + n))) for n in range(len(trade_ids))]
            is_longer = state.instruments[Symbol(symbol)].trade_seq != len(trade_ids)
            if is_longer or [trade and trade.trade_id for trade in tape] != trade_ids:
                self.fail(f"node {node.node}: the tape of {symbol} is {tape}, not {trade_ids}")
        for account_id, fills in node.fills.items():
            rows = [
                state.fills.find((AccountId(account_id), Seq(1 + n))) for n in range(len(fills))
            ]
            if [
                row and (row.trade_id, row.order_id, row.quantity, row.price) for row in rows
            ] != fills:
                self.fail(f"account {account_id}: fills are {rows}, not {fills}")

    def _model(self, node: Node, state: State) -> None:
        """Compare with the naive model."""
        self._peers(node, state)
        switches = {
            account: (row.cancel_after, row.is_watched, row.ts)
            for account, row in state.switches.items()
        }
        if switches != node.switches:
            self.fail(f"node {node.node}: switches are {switches}, not {node.switches}")
        for key, moved in node.transfer_keys.items():
            known = state.transfer_keys.find((AccountId(key[0]), key[1]))
            if known is None or (known.asset, known.amount) != moved:
                self.fail(f"node {node.node}: client key {key} is {known}, not {moved}")
        held = holds(node)
        for account_id, is_open in node.accounts.items():
            account = state.accounts.find(AccountId(account_id))
            if account is None:
                self.fail(f"account {account_id} is gone")
                continue
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
