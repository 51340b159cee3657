"""What an order costs as the market grows, at home and elsewhere: G1, G2, M1."""

import gc
import random
import time
import tracemalloc

from bench.figures import Figure
from exchange.domain.book import OrderEvent, OwnerBook
from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import (
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
    Symbol,
    Ticks,
    Units,
    make_id,
    make_stamp,
)
from exchange.engine import inputs
from exchange.engine.apply import apply
from exchange.engine.engine import Engine, EngineConfig
from exchange.engine.messages import (
    Batch,
    Events,
    Hello,
    SealedProof,
    Session,
    SnapshotBegin,
    SnapshotEnd,
)
from exchange.engine.records import BEFORE_ANY, Booted
from exchange.engine.state import State
from exchange.wire.peers import decode_batch, encode_batch

NOW = 1_790_000_000_000_000
TURN = 256  # orders


def measure(*, scale: float) -> list[Figure]:
    """Measure engines in this process: CPU time only, no disk and no sockets."""
    rounds = [(_order_us(1, 1_000), _order_us(10_000, int(1_000_000 * scale))) for _ in range(3)]
    small, large = min(pair[0] for pair in rounds), min(pair[1] for pair in rounds)
    note = f"{large:.1f} us against {small:.1f} us, engine alone"
    return [
        Figure(
            "G1",
            "cost of an order, large market / small",
            large / small,
            "x",
            1.5,
            1.1,
            False,
            note,
        ),
        Figure("G2", "CPU per order owned elsewhere", _event_us(), "us", 10, 4),
        Figure("M1", "bytes per replicated resting order", _replica_bytes(200_000), "", 400, 130),
    ]


def an_engine(symbols: int) -> Engine:
    """Return a ready one-node engine with listed instruments and 32 rich accounts."""
    state = State(node_id=NodeId(1), cluster="bench", nonce=b"")
    apply(state, Booted(Epoch(1), b"", Micros(0)))
    state.lsn = Lsn(1)
    engine = Engine(state, EngineConfig())
    engine.begin(wall_us=NOW, mono_us=0)
    engine.handle(inputs.Tick())
    for number in range(symbols):
        engine.handle(inputs.ListInstrument(0, plain_ticker(_symbol(number))))
    for number in range(1, 33):
        account = AccountId(make_id(1, number))
        engine.handle(inputs.OpenAccount(0, account, b""))
        engine.handle(inputs.MoveFunds(0, account, plain_ticker("X").quote, Units(10**14)))
    engine.drain()
    return engine


def _symbol(number: int) -> str:
    return f"S{number}"


def _orders(symbols: int, count: int, seed: int) -> list[inputs.PlaceOrder]:
    source = random.Random(seed)
    return [
        inputs.PlaceOrder(
            0,
            AccountId(make_id(1, source.randint(1, 32))),
            Symbol(_symbol(source.randrange(symbols))),
            Side.BUY,
            Ticks(source.randint(900, 1_100)),
            Lots(1),
        )
        for _ in range(count)
    ]


def _order_us(symbols: int, resting: int) -> float:
    """Return the CPU of an order in a market of that size."""
    engine = an_engine(symbols)
    _place(engine, _orders(symbols, resting, 1))
    engine.state.mark_clean()
    gc.collect()
    gc.freeze()
    orders = _orders(symbols, 20_000, 2)
    start = time.process_time()
    _place(engine, orders)
    took = time.process_time() - start
    gc.unfreeze()
    return took / len(orders) * 1e6


def _place(engine: Engine, orders: list[inputs.PlaceOrder]) -> None:
    for first in range(0, len(orders), TURN):
        engine.begin(wall_us=NOW + first, mono_us=first)
        for order in orders[first : first + TURN]:
            engine.handle(order)
        engine.drain()


def events(count: int, seed: int) -> list[OrderEvent]:
    source = random.Random(seed)
    return [
        OrderEvent(
            OrderId(make_id(2, number)),
            Symbol("S0"),
            Side.BUY,
            Ticks(source.randint(900, 1_100)),
            Lots(source.randint(1, 1_000)),
            Stamp(make_stamp(number, 2)),
            1,
            AccountId(make_id(2, 1)),
        )
        for number in range(1, count + 1)
    ]


def _event_us() -> float:
    """Return the CPU of decoding and applying one event of a peer's stream."""
    engine = an_engine(1)
    session, clock = Session(Epoch(1), 1), Clock(NOW - 1_577_836_800_000_000)
    proof = SealedProof(Lsn(1), bytes(16), bytes(8), bytes(16))

    def say(*messages: object) -> bytes:
        batch = Batch(session, clock, proof, list(messages), NodeId(2))  # type: ignore[arg-type]
        lines = encode_batch(batch)
        return lines if isinstance(lines, bytes) else b"".join(lines)

    def hear(text: bytes) -> None:
        engine.begin(wall_us=NOW, mono_us=1)
        for part in text.splitlines():
            engine.handle(inputs.PeerBatch(decode_batch(part)))
        engine.drain()

    engine.handle(inputs.LinkOpened(NodeId(2), session))
    hello = Hello(
        "bench", b"", Epoch(1), b"", "", BEFORE_ANY, BEFORE_ANY, BEFORE_ANY, None, b"", None
    )
    hear(say(hello, SnapshotBegin(Epoch(1), Seq(0)), SnapshotEnd(Epoch(1), Seq(0), 0, "0" * 32)))
    stream = events(50_000, 3)
    texts = [
        say(Events(Epoch(1), Seq(first + 1), stream[first : first + TURN]))
        for first in range(0, len(stream), TURN)
    ]
    start = time.process_time()
    for text in texts:
        hear(text)
    took = time.process_time() - start
    assert len(engine.soft.links[NodeId(2)].replica.orders) == len(stream)
    return took / len(stream) * 1e6


def _replica_bytes(count: int) -> float:
    """Return the memory of one order in a replica."""
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    replica = OwnerBook()
    for event in events(count, 4):
        replica.update(event)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / count
