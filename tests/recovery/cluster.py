"""A small cluster of real engines over real stores, one process, no sockets, no clock.

Messages travel when a test says so, and a node dies when a test says so: `kill` forgets all
that is in memory, `start` opens the directory again.  Time is counted, not read.
"""

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    AccountId,
    Asset,
    Lots,
    Micros,
    NodeId,
    OrderId,
    Symbol,
    Ticks,
    Units,
    make_id,
)
from exchange.engine import inputs
from exchange.engine.effects import (
    Alarm,
    Answer,
    AnswerBody,
    CloseLink,
    Effect,
    OrderAnswer,
    Send,
    Stop,
    WantMore,
)
from exchange.engine.engine import Engine, EngineConfig
from exchange.engine.messages import Batch, PeerMessage, Session
from exchange.store.directory import Directory
from exchange.store.frames import Identity
from exchange.store.store import Limits, Store

CLUSTER = "test"
WALL_ZERO_US = 1_700_000_000_000_000
TURN_US = 100_000
TURNS_MAX = 10_000
ACME = Symbol("ACME")
USD = Asset("USD")


class Node:
    """One node: its directory, and while it runs its engine."""

    def __init__(self, cluster: "Cluster", node_id: int, path: Path) -> None:
        self.cluster = cluster
        self.node_id = NodeId(node_id)
        self.path = path
        self.identity = Identity(CLUSTER, self.node_id, bytes([node_id]) * 16)
        self.sessions: dict[NodeId, Session] = {}
        self.counter = 0
        self.answers: dict[int, AnswerBody] = {}
        self.stopped = ""
        self.directory: Directory | None = None
        self.store: Store | None = None
        self.engine: Engine | None = None

    @property
    def is_up(self) -> bool:
        return self.engine is not None

    def start(self) -> None:
        self.directory = Directory.lock(self.path)
        if self.directory.identity() is None:
            self.directory.create(self.identity)
        self.store = Store.open(self.directory.open(), self.identity, self.cluster.limits)
        store = self.store
        self.cluster.counter += 1
        self.store.boot(
            boot_id=self.cluster.counter.to_bytes(8, "big"),
            ts=self.cluster.wall_us,
        )
        self.engine = Engine(
            store.state,
            EngineConfig(address=f"node{self.node_id}:1"),
            has_proof=store.has_proof,
        )
        self.engine.forced(store.proof)
        peers = [peer for peer in self.cluster.nodes if peer != self.node_id]
        self.turn([inputs.KnowPeer(peer, b"", f"node{peer}:1") for peer in peers])

    def turn(self, items: Sequence[inputs.Input]) -> list[Effect]:
        """Decide, force, let the effects go."""
        assert self.engine is not None, "the node is up"
        assert self.store is not None, "the node is up"
        now = self.cluster.now_us
        self.engine.begin(wall_us=self.cluster.wall_us, mono_us=now)
        for item in items:
            self.engine.handle(item)
        self.engine.check()
        step = self.engine.drain()
        write = self.store.prepare(step, ts=self.cluster.wall_us)
        self.engine.forced(self.store.commit(write))
        self.store.committed(write)
        self.cluster.release(self, step.effects)
        return step.effects

    def kill(self) -> None:
        """Lose everything that is not on disk."""
        if self.store is not None:
            self.store.disk.close()
        if self.directory is not None:
            self.directory.close()
        for peer in list(self.sessions):
            self.cluster.hang_up(self.node_id, peer)
        self.directory = self.store = self.engine = None

    def checkpoint(self) -> None:
        """Write the state tables now."""
        assert self.engine is not None and self.store is not None, "the node is up"  # noqa: PT018
        write = self.store.prepare(
            self.engine.drain(),
            ts=self.cluster.wall_us,
            force_checkpoint=True,
        )
        self.engine.forced(self.store.commit(write))
        self.store.committed(write)


class Cluster:
    """The nodes, the links between them, and the clients."""

    def __init__(self, path: Path, *, nodes: int = 2, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.now_us = 0
        self.counter = 0
        self.tickets = 0
        self.alarms: list[Alarm] = []
        self.wire: dict[tuple[NodeId, NodeId], deque[Batch]] = {}
        self.nodes = {NodeId(n): Node(self, n, path / f"node{n}") for n in range(1, nodes + 1)}

    @property
    def wall_us(self) -> Micros:
        return Micros(WALL_ZERO_US + self.now_us)

    @property
    def paths(self) -> list[Path]:
        return [node.path for node in self.nodes.values()]

    def start(self) -> "Cluster":
        for node in self.nodes.values():
            node.start()
        self.link_all()
        self.settle()
        return self

    def link_all(self) -> None:
        """Dial every pair that has no link; the lower id dials (S6)."""
        pairs = [(low, high) for low in self.nodes.values() for high in self.nodes.values()]
        for low, high in pairs:
            is_apart = low.node_id < high.node_id and high.node_id not in low.sessions
            if is_apart and low.is_up and high.is_up:
                self.dial(low, high)

    def dial(self, low: Node, high: Node) -> None:
        assert low.engine is not None, "the dialer is up"
        low.counter += 1
        session = Session(low.engine.state.scalars.epoch, low.counter)
        low.sessions[high.node_id] = high.sessions[low.node_id] = session
        self.wire[low.node_id, high.node_id] = deque()
        self.wire[high.node_id, low.node_id] = deque()
        low.turn([inputs.LinkOpened(high.node_id, session)])

    def hang_up(self, one: NodeId, other: NodeId) -> None:
        """End a link: what is on the wire is lost."""
        for near, far in ((one, other), (other, one)):
            session = self.nodes[near].sessions.pop(far, None)
            self.wire.pop((near, far), None)
            node = self.nodes[near]
            if session is not None and node.is_up and near != one:
                node.turn([inputs.LinkClosed(far, session)])

    def release(self, node: Node, effects: Sequence[Effect]) -> None:
        assert node.engine is not None, "the node is up"
        messages: dict[NodeId, list[PeerMessage]] = {}
        more: list[inputs.Input] = []
        for effect in effects:
            match effect:
                case Send():
                    if node.sessions.get(effect.peer) == effect.session:
                        messages.setdefault(effect.peer, []).append(effect.message)
                case Answer():
                    node.answers[effect.ticket] = effect.body
                case CloseLink():
                    if node.sessions.get(effect.peer) == effect.session:
                        self.hang_up(node.node_id, effect.peer)
                case Stop():
                    node.stopped = effect.reason
                case WantMore():
                    more.append(inputs.SnapshotMore(effect.peer, effect.session))
                case Alarm():
                    self.alarms.append(effect)
                case _:
                    pass
        for peer, batch in messages.items():
            session = node.sessions.get(peer)
            if session is not None:
                self.wire[node.node_id, peer].append(
                    Batch(session, node.engine.clock, node.engine.proof, batch, node.node_id)
                )
        if more:
            node.turn(more)

    def deliver(self, source: int, target: int) -> bool:
        """Deliver one batch; tell whether there was one."""
        queue = self.wire.get((NodeId(source), NodeId(target)))
        node = self.nodes[NodeId(target)]
        if not queue or not node.is_up:
            return False
        node.turn([inputs.PeerBatch(queue.popleft())])
        return True

    def settle(self) -> None:
        """Deliver everything, tick, until nothing more happens."""
        for _ in range(TURNS_MAX):
            self.now_us += 1_000
            if not any(self.deliver(*pair) for pair in sorted(self.wire)):
                break
        self.tick()
        while any(self.deliver(*pair) for pair in sorted(self.wire)):
            self.now_us += 1_000

    def tick(self, *, by_us: int = TURN_US) -> None:
        self.now_us += by_us
        for node in self.nodes.values():
            if node.is_up:
                node.turn([inputs.Tick()])

    # What clients do.

    def ticket(self) -> int:
        self.tickets += 1
        return self.tickets

    def list_instrument(self, symbol: str = "ACME") -> None:
        for node in self.nodes.values():
            node.turn([inputs.ListInstrument(self.ticket(), plain_ticker(symbol))])

    def open_account(self, node_id: int, number: int) -> AccountId:
        account = AccountId(make_id(node_id, number))
        self.nodes[NodeId(node_id)].turn([inputs.OpenAccount(self.ticket(), account, b"")])
        return account

    def fund(self, account: AccountId, **amounts: int) -> None:
        node = self.nodes[NodeId(account >> 50)]
        for asset, amount in amounts.items():
            node.turn([inputs.MoveFunds(self.ticket(), account, Asset(asset), Units(amount))])

    def place(
        self,
        account: AccountId,
        side: Side,
        quantity: int,
        price: int,
        *,
        symbol: str = "ACME",
        client_order_id: str = "",
        time_in_force: TimeInForce = TimeInForce.GTC,
        self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST,
    ) -> int:
        """Place an order and do not deliver anything; return the ticket."""
        ticket = self.ticket()
        self.now_us += 1_000
        self.nodes[NodeId(account >> 50)].turn(
            [
                inputs.PlaceOrder(
                    ticket,
                    account,
                    Symbol(symbol),
                    side,
                    Ticks(price),
                    Lots(quantity),
                    time_in_force,
                    self_trade,
                    client_order_id,
                )
            ]
        )
        return ticket

    def put(
        self,
        account: AccountId,
        side: Side,
        quantity: int,
        price: int,
        *,
        client_order_id: str = "",
    ) -> None:
        """Place an order and deliver everything."""
        self.place(account, side, quantity, price, client_order_id=client_order_id)
        self.settle()

    def place_many(self, account: AccountId, side: Side, count: int) -> None:
        """Place many orders in one turn, so that they share a frame."""
        self.now_us += 1_000
        self.nodes[NodeId(account >> 50)].turn(
            [
                inputs.PlaceOrder(self.ticket(), account, ACME, side, Ticks(500 + number), Lots(1))
                for number in range(count)
            ]
        )

    def newest_order(self, node_id: int) -> OrderId:
        """Return the id of the newest live order of a node."""
        engine = self.nodes[NodeId(node_id)].engine
        assert engine is not None, "the node is up"
        return max(engine.state.orders)

    def order_answer(self, node_id: int, ticket: int) -> OrderAnswer:
        body = self.nodes[NodeId(node_id)].answers[ticket]
        assert isinstance(body, OrderAnswer), f"not an order: {body}"
        return body

    def kill_all(self) -> None:
        for node in self.nodes.values():
            if node.is_up:
                node.kill()


def a_market(path: Path, *, nodes: int = 2, limits: Limits | None = None) -> Cluster:
    """Start a cluster with ACME listed and two funded accounts on each node."""
    cluster = Cluster(path, nodes=nodes, limits=limits).start()
    cluster.list_instrument()
    for node in cluster.nodes:
        for number in (1, 2):
            account = cluster.open_account(node, number)
            cluster.fund(account, USD=10_000_000, ACME=10_000)
    cluster.settle()
    return cluster


def account_of(node_id: int, number: int = 1) -> AccountId:
    """Return one of the accounts that `a_market` opens."""
    return AccountId(make_id(node_id, number))


def plain_account(cluster: Cluster, node_id: int) -> AccountId:
    """Open one funded account, with as few records as possible."""
    account = cluster.open_account(node_id, 1)
    cluster.fund(account, **({"ACME": 50} if node_id == 1 else {"USD": 5_000}))
    return account
