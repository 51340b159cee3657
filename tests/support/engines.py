"""A few real engines and the messages between them, under the test's control.

What a node has forced is `log`; `restart` rebuilds the node from it by the same `apply`.
Messages wait in `wire` until they are delivered, so a test can hold, drop or repeat them.
"""

from dataclasses import dataclass, field
from hashlib import blake2b

from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import (
    AccountId,
    Epoch,
    Lots,
    Lsn,
    Micros,
    NodeId,
    OrderId,
    Ticks,
    Units,
    make_id,
)
from exchange.engine import effects, inputs
from exchange.engine.apply import apply
from exchange.engine.effects import Answer, CloseLink, Effect, Send, WantMore
from exchange.engine.engine import Engine, EngineConfig
from exchange.engine.messages import DIGEST_SIZE, Batch, PeerMessage, Proof, SealedProof, Session
from exchange.engine.proofs import SECRET_SIZE
from exchange.engine.records import Booted, Record
from exchange.engine.state import State

SYMBOL = "AAPL"
START_US = 1_790_000_000_000_000  # some day in 2026


@dataclass
class Machine:
    """One node: what is on its disk, and the engine while it runs."""

    node_id: NodeId
    config: EngineConfig
    log: list[Record] = field(default_factory=list)
    engine: Engine | None = None
    sessions: int = 0

    def boot(self) -> None:
        """Redo the log and force the next epoch (W6)."""
        state = redo(self.node_id, self.log)
        epoch = Epoch(state.scalars.epoch + 1)
        booted = Booted(epoch, bytes([self.node_id, epoch]), Micros(0))
        self.log.append(booted)
        apply(state, booted)
        state.lsn = Lsn(len(self.log))
        self.engine = Engine(state, self.config, has_proof=self.has_proof)
        self.engine.forced(self.proof())

    def proof(self) -> Proof:
        """Return a proof of the whole log: here its length and a digest of its last record."""
        return self.proof_at(len(self.log))

    def proof_at(self, lsn: int) -> Proof:
        text = repr(self.log[lsn - 1]).encode()
        return Proof(Lsn(lsn), blake2b(text, digest_size=DIGEST_SIZE).digest())

    def has_proof(self, proof: SealedProof) -> bool:
        return proof.lsn <= len(self.log) and self.proof_at(proof.lsn).digest == proof.digest


def redo(node_id: int, log: list[Record]) -> State:
    """Fold a log into a state, as the store does."""
    state = State(
        node_id=NodeId(node_id),
        cluster="test",
        nonce=bytes([node_id]) * 16,
        secret=bytes([node_id]) * SECRET_SIZE,
    )
    for record in log:
        apply(state, record)
        state.lsn = Lsn(state.lsn + 1)
    state.derive()
    return state


class Engines:
    """Engines with ids 1..n, one instrument, one rich account each (`account(n)`)."""

    def __init__(self, count: int, *, linked: bool = True, **config: object) -> None:
        self.now_us = 0
        self.wall_back_us = 0  # how far the wall clocks were set back
        self.wire: list[tuple[int, int, inputs.Input]] = []  # from, to, input
        self.answers: dict[int, effects.AnswerBody] = {}
        self.effects: list[tuple[int, Effect]] = []
        self.tickets = 0
        self.machines = {
            number: Machine(
                NodeId(number),
                EngineConfig(**config),  # type: ignore[arg-type]  # a test names the fields
            )
            for number in range(1, count + 1)
        }
        for number, machine in self.machines.items():
            machine.boot()
            for other in self.machines:
                if other != number:
                    self.step(number, inputs.KnowPeer(NodeId(other), b"", ""))
            self.step(number, inputs.ListInstrument(0, plain_ticker(SYMBOL)))
            account = self.account(number)
            self.step(number, inputs.OpenAccount(0, account, b""))
            for asset in ("USD", SYMBOL):
                funds = inputs.MoveFunds(0, account, asset, Units(1_000_000))  # type: ignore[arg-type]
                self.step(number, funds)
        if linked:
            self.link_all()

    def engine(self, node: int) -> Engine:
        engine = self.machines[node].engine
        assert engine is not None, "the node is down"
        return engine

    def state(self, node: int) -> State:
        return self.engine(node).state

    def log(self, node: int, kind: type | None = None) -> list[Record]:
        """Return what a node has forced, or only the records of one kind."""
        log = self.machines[node].log
        return [record for record in log if kind is None or isinstance(record, kind)]

    def account(self, node: int) -> AccountId:
        return AccountId(make_id(node, 1))

    def link_all(self) -> None:
        """Dial every pair that has no session, deliver everything, let time tick."""
        for low in self.machines:
            for high in self.machines:
                if low < high and self.is_up(low) and self.is_up(high):
                    self.dial(low, high)
        self.settle()
        for node in self.machines:
            if self.is_up(node):
                self.step(node, inputs.Tick())
        self.settle()

    def is_up(self, node: int) -> bool:
        return self.machines[node].engine is not None

    def dial(self, low: int, high: int) -> Session:
        machine = self.machines[low]
        machine.sessions += 1
        session = Session(self.state(low).scalars.epoch, machine.sessions)
        self.step(low, inputs.LinkOpened(NodeId(high), session))
        return session

    def step(
        self, node: int, *items: inputs.Input, forced: bool = True, sent: bool = True
    ) -> list[Record]:
        """Run one turn; without `forced` or `sent` the node dies before that."""
        machine, engine = self.machines[node], self.engine(node)
        self.now_us += 1_000
        wall_us = START_US + self.now_us - self.wall_back_us
        engine.begin(wall_us=wall_us, mono_us=self.now_us)
        left: list[inputs.Input] = []  # for the next turn, in order
        for item in items:
            rest = item if left else engine.handle(item)
            if rest is not None:
                left.append(rest)
            engine.check()
        step = engine.drain()
        if forced:
            machine.log.extend(step.records)
            assert step.last_lsn == len(machine.log)
            engine.forced(machine.proof())
        if forced and sent:
            self.release(node, step.effects)
            if left or engine.is_busy:
                return step.records + self.step(node, *left)
        else:
            self.kill(node)
        return step.records

    def release(self, node: int, released: list[Effect]) -> None:
        lines: dict[tuple[NodeId, Session], list[PeerMessage]] = {}
        for effect in released:
            self.effects.append((node, effect))
            if isinstance(effect, Send):
                lines.setdefault((effect.peer, effect.session), []).append(effect.message)
            elif isinstance(effect, Answer):
                self.answers[effect.ticket] = effect.body
            elif isinstance(effect, WantMore):
                more = inputs.SnapshotMore(effect.peer, effect.session)
                self.wire.append((node, node, more))
            elif isinstance(effect, CloseLink):
                self._say(node, effect.peer, effect.session, lines)
                closed = inputs.LinkClosed(NodeId(node), effect.session)
                self.wire.append((node, effect.peer, closed))
        for peer, session in list(lines):
            self._say(node, peer, session, lines)

    def _say(
        self,
        node: int,
        peer: NodeId,
        session: Session,
        lines: dict[tuple[NodeId, Session], list[PeerMessage]],
    ) -> None:
        """Put what a node has to say to a peer on the wire."""
        engine, messages = self.engine(node), lines.pop((peer, session), [])
        if messages:
            batch = Batch(session, engine.clock, engine.proof, messages, NodeId(node), engine.wall)
            self.wire.append((node, peer, inputs.PeerBatch(batch)))

    def settle(self, turns_max: int = 2_000) -> None:
        """Deliver everything that is on the wire, and what follows from it."""
        for _ in range(turns_max):
            if not self.wire:
                return
            self.deliver()
        raise AssertionError("the nodes never come to rest")

    def deliver(self) -> None:
        """Deliver the oldest message."""
        _, to, item = self.wire.pop(0)
        if self.is_up(to):
            self.step(to, item)

    def messages(self, kind: type) -> list[PeerMessage]:
        """Return the messages of a kind that are on the wire."""
        return [
            message
            for _, _, item in self.wire
            if isinstance(item, inputs.PeerBatch)
            for message in item.batch.messages
            if isinstance(message, kind)
        ]

    def kill(self, node: int) -> None:
        """Kill a node: what was not forced, and what is on the wire to it, is gone."""
        self.machines[node].engine = None
        self.wire = [entry for entry in self.wire if entry[1] != node]
        for other in self.machines:
            if other != node and self.is_up(other):
                session = self.engine(other).soft.links[NodeId(node)].session
                if session is not None:
                    self.wire.append((node, other, inputs.LinkClosed(NodeId(node), session)))

    def restart(self, node: int) -> None:
        self.machines[node].boot()
        self.link_all()

    def pass_time(self, us: int) -> None:
        """Let time pass in ticks, delivering what is said."""
        end = self.now_us + us
        while self.now_us < end:
            self.now_us += 250_000
            for node in self.machines:
                if self.is_up(node):
                    self.step(node, inputs.Tick())
            self.settle()

    def ask(self, node: int, query: inputs.Query) -> effects.AnswerBody:
        self.tickets += 1
        self.step(node, inputs.Ask(self.tickets, query))
        return self.answers[self.tickets]

    def place(
        self, node: int, side: Side, price: int, quantity: int, **terms: object
    ) -> inputs.PlaceOrder:
        """Make an order of the node's own account, with a new ticket."""
        self.tickets += 1
        terms.setdefault("account", self.account(node))
        return inputs.PlaceOrder(
            ticket=self.tickets,
            symbol=SYMBOL,  # type: ignore[arg-type]  # a Symbol
            side=side,
            price=Ticks(price),
            quantity=Lots(quantity),
            **terms,  # type: ignore[arg-type]
        )

    def buy(self, node: int, price: int, quantity: int, **terms: object) -> OrderId:
        return self.order(node, self.place(node, Side.BUY, price, quantity, **terms))

    def sell(self, node: int, price: int, quantity: int, **terms: object) -> OrderId:
        return self.order(node, self.place(node, Side.SELL, price, quantity, **terms))

    def order(self, node: int, item: inputs.PlaceOrder) -> OrderId:
        """Place an order, deliver everything, and return the id it was answered with."""
        self.step(node, item)
        self.settle()
        answer = self.answers[item.ticket]
        assert isinstance(answer, effects.OrderAnswer), answer
        return answer.order_id

    def filled(self, order_id: OrderId) -> int:
        order = self.state(order_id >> 50).find_order(order_id)
        assert order is not None
        return order.filled

    def balance(self, node: int, asset: str) -> int:
        """Return available + held of the node's account."""
        account = self.state(node).accounts[self.account(node)]
        name = asset
        return account.available.get(name, 0) + account.held.get(name, 0)  # type: ignore[call-overload,no-any-return]

    def check_quiet(self) -> None:
        """Assert what must hold when nothing is under way: S13, B1, and one outcome a trade."""
        assert not self.wire, "messages are under way"
        for node, machine in self.machines.items():
            state, engine = self.state(node), self.engine(node)
            assert not state.offers, "a trade is in doubt"
            assert redo(node, machine.log).scalars == state.scalars, "state is not fold(log)"
            totals = {str(asset): int(amount) for asset, amount in state.scalars.external.items()}
            for peer in state.peers.values():
                for asset, amount in peer.clearing.items():
                    totals[asset] = totals.get(asset, 0) + amount
                    if self.is_up(peer.peer):
                        mirror = self.state(peer.peer).peer(machine.node_id).clearing
                        assert mirror.get(asset, 0) == -amount, "two halves of a trade differ"
            for account in state.accounts.values():
                for asset in {*account.available, *account.held}:
                    owned = account.available.get(asset, 0) + account.held.get(asset, 0)
                    totals[asset] = totals.get(asset, 0) + owned
            assert not any(totals.values()), f"node {node} is out of balance: {totals}"
            for peer_id, link in engine.soft.links.items():
                if self.is_up(peer_id):
                    assert link.replica.sum == self.engine(peer_id).soft.own.sum, "books differ"
