"""A certified peer that lies, against an honest node: both in memory, so 100,000 lies are cheap.

    python -m fuzz.hostile --peers --inputs 100000 --seed 1

The liar is a real engine, most of whose batches `fuzz.lies` changes on their way; they pass
the wire as a link would read them.  Both trade, the honest node is restarted in between, and
at the end of each round it must still serve its own clients.

    property     | broken by
    -------------+---------------------------------------------------------------------
    no crash     | any exception of the honest node, or of its restart
    no stop      | an effect that ends the honest node
    nothing lost | its assets do not sum to zero, `check` fails, or a trade among its own
                 | accounts is not made
"""

import time
import traceback
from collections import Counter
from random import Random

import msgspec

from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import (
    AccountId,
    Lots,
    Micros,
    NodeId,
    OrderId,
    Symbol,
    Ticks,
    make_id,
)
from exchange.engine import inputs
from exchange.engine.effects import Answer, CloseLink, Effect, OrderAnswer, Send, Stop, WantMore
from exchange.engine.engine import Engine, EngineConfig
from exchange.engine.messages import Batch, PeerMessage, Session
from exchange.store.store import Store
from exchange.wire.errors import RemoteProtocolError
from exchange.wire.peers import decode_batch, encode_batch
from fuzz.genesis import BORN_US, new_nodes
from fuzz.lies import lie
from fuzz.violation import Violation

LIES = 0.6  # of the liar's batches
ROUND = 60  # lies; then a new pair
TURNS_MAX = 60  # of a round without a lie
SYMBOL = Symbol("AAPL")
HONEST = 2
FINDINGS_MAX = 20


class Report(msgspec.Struct):
    """What a campaign came to."""

    lies: int
    kinds: Counter[str]  # the alarms of the honest node
    findings: list[str]
    seconds: float


def campaign(*, count: int, first_seed: int) -> Report:
    """Tell so many lies, and return what was found."""
    begun, seed = time.monotonic(), first_seed
    report = Report(0, Counter(), [], 0)
    while report.lies < count and len(report.findings) < FINDINGS_MAX:
        arena = Arena(seed)
        try:
            arena.run()
        except Exception as error:  # whatever ends a node is a finding
            place = traceback.extract_tb(error.__traceback__)[-1]
            told = f"{type(error).__name__} {error} at {place.filename}:{place.lineno}"
            report.findings.append(f"seed {seed}: {told}"[:2_000])
        report.lies += arena.lies
        report.kinds += arena.alarms
        seed += 1
    report.seconds = time.monotonic() - begun
    return report


class Node:
    """One node on its simulated disk."""

    def __init__(self, arena: "Arena", number: int, made: tuple[object, ...]) -> None:
        self.arena, self.number = arena, number
        self.identity, self.disk = made[0], made[1]
        self.boots = 0
        self.boot()

    def boot(self) -> None:
        """Start from what is on the disk."""
        self.boots += 1
        self.store = Store.open(self.disk, self.identity)  # type: ignore[arg-type]
        boot_id = bytes([self.number, self.boots]) * 4
        self.store.boot(boot_id=boot_id, ts=self.arena.wall_us)
        self.engine = Engine(
            self.store.state, EngineConfig(ack="durable"), has_proof=self.store.has_proof
        )
        self.engine.forced(self.store.proof)

    def turn(self, *items: inputs.Input) -> None:
        """Take inputs, force what was decided, and let the effects go."""
        left: list[inputs.Input] = list(items)
        is_first = True
        while left or is_first or self.engine.is_busy:
            is_first = False
            self.arena.now_us += 1_000
            self.engine.begin(wall_us=self.arena.wall_us, mono_us=self.arena.now_us)
            rests = [self.engine.handle(item) for item in left]
            left = [rest for rest in rests if rest is not None]
            self.engine.check()
            step = self.engine.drain()
            is_due = self.arena.random.random() < 0.1
            write = self.store.prepare(step, ts=self.arena.wall_us, force_checkpoint=is_due)
            self.engine.forced(self.store.commit(write))
            self.store.committed(write)
            self.arena.release(self, step.effects)


class Arena:
    """An honest node and a liar."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now_us = 0
        self.lies = self.tickets = self.sessions = 0
        self.alarms: Counter[str] = Counter()
        self.answers: dict[int, object] = {}
        self.wire: list[tuple[int, inputs.Input]] = []
        self.liar_number = self.random.choice((1, 3))  # it dials, or is dialed
        made = new_nodes(3, accounts=2, instruments=(plain_ticker(SYMBOL),))
        self.honest = Node(self, HONEST, made[HONEST - 1])
        self.liar = Node(self, self.liar_number, made[self.liar_number - 1])

    @property
    def wall_us(self) -> Micros:
        return Micros(BORN_US + 1_000_000 + self.now_us)

    def run(self) -> None:
        """Lie until the round is over, then look at the honest node."""
        self.link()
        for _ in range(TURNS_MAX):
            if self.lies >= ROUND:
                break
            self.act()
            self.settle()
            self.now_us += self.random.choice((1_000, 300_000, 1_100_000))
            for node in (self.honest, self.liar):
                node.turn(inputs.Tick())
            self.settle()
            self.come_again()
        self.check()

    def act(self) -> None:
        """Let both place an order."""
        for node in (self.honest, self.liar):
            side = self.random.choice((Side.BUY, Side.SELL))
            node.turn(self.order(node, side, self.random.randint(90, 110)))

    def come_again(self) -> None:
        """Restart or link again who has lost the other."""
        chance = self.random.random()
        if chance < 0.1:
            self.restart(self.honest)
        link = self.honest.engine.soft.links.get(NodeId(self.liar_number))
        if link is not None and (link.quarantine or chance > 0.95):
            self.restart(self.liar)  # a new boot epoch gets a new chance (B7)
        if link is None or link.session is None:
            self.link()

    def restart(self, node: Node) -> None:
        """Kill a node and start it from its disk."""
        other = self.liar if node is self.honest else self.honest
        self.wire.clear()
        node.boot()
        link = other.engine.soft.links.get(NodeId(node.number))
        if link is not None and link.session is not None:
            other.turn(inputs.LinkClosed(NodeId(node.number), link.session))

    def link(self) -> None:
        """Dial: the lower id does."""
        low, high = sorted((self.honest, self.liar), key=lambda node: node.number)
        self.wire.clear()
        self.sessions += 1
        session = Session(low.engine.state.scalars.epoch, self.sessions)
        known = inputs.KnowPeer(NodeId(high.number), b"", "")
        low.turn(known, inputs.LinkOpened(NodeId(high.number), session))
        self.settle()

    def order(self, node: Node, side: Side, price: int, account: int = 1) -> inputs.PlaceOrder:
        self.tickets += 1
        owner = AccountId(make_id(node.number, account))
        return inputs.PlaceOrder(
            ticket=self.tickets,
            account=owner,
            symbol=SYMBOL,
            side=side,
            price=Ticks(price),
            quantity=Lots(self.random.randint(1, 9)),
        )

    def settle(self) -> None:
        """Deliver what is on the wire, and what follows; a liar may make that endless."""
        for _ in range(200):
            if not self.wire:
                return
            number, item = self.wire.pop(0)
            (self.honest if number == HONEST else self.liar).turn(item)

    def release(self, node: Node, effects: list[Effect]) -> None:
        """Carry effects to where they go."""
        lines: dict[tuple[NodeId, Session], list[PeerMessage]] = {}
        is_honest = node.number == HONEST
        other = self.liar_number if is_honest else HONEST
        for effect in effects:
            match effect:
                case Stop(reason) if is_honest:
                    raise Violation("hostile", f"the honest node stopped: {reason}")
                case Send(peer, session, message):
                    lines.setdefault((peer, session), []).append(message)
                case WantMore(peer, session):
                    self.wire.append((node.number, inputs.SnapshotMore(peer, session)))
                case CloseLink(peer, session):
                    self.wire.append((other, inputs.LinkClosed(NodeId(node.number), session)))
                case Answer(ticket, body):
                    self.answers[ticket] = body
                case _ if is_honest and hasattr(effect, "code"):
                    self.alarms[effect.code] += 1
                case _:
                    pass
        engine = node.engine
        for (_, session), said in lines.items():
            batch = Batch(
                session, engine.clock, engine.proof, said, NodeId(node.number), engine.wall
            )
            if is_honest:
                self.wire.append((other, inputs.PeerBatch(batch)))
            else:
                self.wire += [(HONEST, item) for item in self.told(batch)]

    def told(self, batch: Batch) -> list[inputs.Input]:
        """Change a batch, perhaps, and read it from the wire as a link does."""
        if self.random.random() < LIES:
            batch = lie(batch, self.random)
            self.lies += 1
        try:
            lines = encode_batch(batch).splitlines()
            return [inputs.PeerBatch(decode_batch(line)) for line in lines]
        except (OverflowError, AssertionError):  # nobody can write that line
            return []
        except RemoteProtocolError as error:
            broke = inputs.PeerBroke(
                batch.sender, f"node {batch.sender} broke the protocol: {error}"
            )
            return [broke, inputs.LinkClosed(batch.sender, batch.session)]

    def check(self) -> None:
        """See that the honest node starts again, adds up, and serves its own clients."""
        self.restart(self.honest)
        self.liar.engine = None  # type: ignore[assignment]  # it is gone
        self.wire.clear()
        for _ in range(5):  # nobody comes: it goes on alone (C5)
            self.now_us += 1_000_000
            self.honest.turn(inputs.Tick())
        state = self.honest.engine.state
        totals = Counter({str(asset): int(one) for asset, one in state.scalars.external.items()})
        for peer in state.peers.values():
            totals.update({str(asset): int(amount) for asset, amount in peer.clearing.items()})
        for number in (1, 2):
            account = state.accounts.find(AccountId(make_id(HONEST, number)))
            assert account is not None, "an account is gone"
            totals.update({str(asset): int(amount) for asset, amount in account.available.items()})
            totals.update({str(asset): int(amount) for asset, amount in account.held.items()})
        if wrong := {asset: total for asset, total in totals.items() if total}:
            raise Violation("hostile", f"the honest node does not sum to zero: {wrong}")
        sell = self.order(self.honest, Side.SELL, 1, account=2)
        buy = msgspec.structs.replace(
            self.order(self.honest, Side.BUY, 200), quantity=sell.quantity
        )
        self.honest.turn(inputs.CancelAll(0, buy.account, None), sell)
        answer = self.answers.get(sell.ticket)
        if not isinstance(answer, OrderAnswer):
            raise Violation("hostile", f"an own client is answered {answer}")
        self.honest.turn(buy)
        own = self.honest.engine.state.find_order(OrderId(answer.order_id))
        if own is None or not own.filled:
            raise Violation("hostile", "own accounts do not trade any more")
