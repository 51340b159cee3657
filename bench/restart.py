"""How long a node takes to come back, and what it holds in memory: R1, R2, M2."""

import gc
import os
import random
import time
from pathlib import Path

from bench.figures import Figure
from bench.growth import NOW, TURN, events
from exchange.domain.book import OwnerBook
from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import AccountId, Lots, Micros, NodeId, Ticks, Units, make_id
from exchange.engine import inputs
from exchange.engine.engine import Engine, EngineConfig
from exchange.store.directory import Directory
from exchange.store.frames import Identity
from exchange.store.store import Limits, Store

IDENTITY = Identity(cluster="bench", node_id=NodeId(1), nonce=b"0" * 16)


def measure(directory: Path, *, scale: float) -> list[Figure]:
    """Measure in this process: the store, redo and the engine, without sockets."""
    figures = [_redo(directory / "redo", int(200_000 * scale))]
    accounts, orders = int(1_000_000 * scale), int(100_000 * scale)
    _fill(directory / "large", accounts, orders)
    gc.collect()
    before = _resident()
    start = time.perf_counter()
    with Directory.lock(directory / "large") as owned:
        store = Store.open(owned.open(), IDENTITY)
        store.boot(boot_id=b"again", ts=Micros(NOW))
        engine = Engine(store.state, EngineConfig())
        engine.begin(wall_us=NOW, mono_us=0)
        engine.handle(inputs.Tick())
        assert engine.is_ready
        took = time.perf_counter() - start
        replica = _replica(int(1_000_000 * scale))
        _touch(engine, accounts)
        held = _resident() - before
        assert len(replica.orders) == int(1_000_000 * scale)
        store.disk.close()
    note = f"{accounts} accounts, {orders} own open orders, checkpointed"
    figures.append(Figure("R2", "restart to serving", took, "s", 5, 1, note=note))
    what = "resident: + 10^4 active accounts, 10^6 replicated orders"
    figures.append(
        Figure(
            "M2",
            what,
            held / 1e6,
            "MB",
            900,
            300,
            note=f"the process before it: {before / 1e6:.0f} MB",
        )
    )
    return figures


def _redo(directory: Path, orders: int) -> Figure:
    """Compare the rate of redo with that of taking orders in the first place."""
    source = random.Random(1)
    with Directory.lock(directory) as owned:
        owned.create(IDENTITY)
        limits = Limits(dirty=1 << 40, tail=1 << 40)  # no checkpoint: redo has it all to do
        store, engine = _start(owned, limits)
        _open_accounts(store, engine, 100)
        first = store.durable_lsn
        start = time.perf_counter()
        for at in range(0, orders, TURN):
            engine.begin(wall_us=NOW + at, mono_us=at)
            for _ in range(TURN):
                engine.handle(_order(source, 100))
            _force(store, engine)
        took = time.perf_counter() - start
        records = store.durable_lsn - first
        store.disk.close()
        gc.collect()
        start = time.perf_counter()
        again = Store.open(owned.open(), IDENTITY, limits)
        redo = time.perf_counter() - start
        assert again.redone == store.durable_lsn
        again.disk.close()
    ratio = (again.redone / redo) / (records / took)
    note = f"redo {again.redone / redo:.0f} records/s, taken at {records / took:.0f}/s"
    return Figure("R1", "redo, against the rate of taking orders", ratio, "x", 3, 8, True, note)


def _fill(directory: Path, accounts: int, orders: int) -> None:
    """Make a directory of a large node, checkpointed."""
    source = random.Random(2)
    with Directory.lock(directory) as owned:
        owned.create(IDENTITY)
        store, engine = _start(owned, Limits())
        _open_accounts(store, engine, accounts)
        for at in range(0, orders, TURN):
            engine.begin(wall_us=NOW + at, mono_us=at)
            for _ in range(min(TURN, orders - at)):
                engine.handle(_order(source, accounts))
            _force(store, engine)
        _force(store, engine, is_last=True)
        store.disk.close()


def _start(owned: Directory, limits: Limits) -> tuple[Store, Engine]:
    store = Store.open(owned.open(), IDENTITY, limits)
    store.boot(boot_id=b"first", ts=Micros(NOW))
    engine = Engine(store.state, EngineConfig())
    engine.begin(wall_us=NOW, mono_us=0)
    engine.handle(inputs.Tick())
    engine.handle(inputs.ListInstrument(0, plain_ticker("AAPL")))
    _force(store, engine)
    return store, engine


def _open_accounts(store: Store, engine: Engine, count: int) -> None:
    cash = plain_ticker("AAPL").quote
    for number in range(1, count + 1):
        account = AccountId(make_id(1, number))
        engine.handle(inputs.OpenAccount(0, account, b"k" * 32))
        engine.handle(inputs.MoveFunds(0, account, cash, Units(10**9)))
        if number % 2_000 == 0 or number == count:
            _force(store, engine)


def _force(store: Store, engine: Engine, *, is_last: bool = False) -> None:
    write = store.prepare(engine.drain(), ts=Micros(NOW), force_checkpoint=is_last)
    engine.forced(store.commit(write))
    store.committed(write)


def _order(source: random.Random, accounts: int) -> inputs.PlaceOrder:
    account = AccountId(make_id(1, source.randint(1, accounts)))
    price, quantity = Ticks(source.randint(900, 1_100)), Lots(source.randint(1, 9))
    symbol = plain_ticker("AAPL").symbol
    return inputs.PlaceOrder(0, account, symbol, Side.BUY, price, quantity)


def _replica(count: int) -> OwnerBook:

    replica = OwnerBook()
    for event in events(count, 4):
        replica.update(event)
    return replica


def _touch(engine: Engine, accounts: int) -> None:
    """Make 10^4 accounts active."""
    for number in range(1, min(10_000, accounts) + 1):
        assert engine.state.accounts.find(AccountId(make_id(1, number))) is not None


def _resident() -> int:
    for row in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if row.startswith("VmRSS"):
            return int(row.split()[1]) * 1024
    return 0
