"""What `inspect` and `verify` take on a large log: X1, X2, X3.

The directory is made by the engine and the real store, with the forces of many frames put
together.  Each verb runs as a process of its own, as people run it; its CPU time counts the
processes that it starts, its memory is the most that one of them held.
"""

import random
import subprocess
import sys
from pathlib import Path

import msgspec

from bench.figures import Figure
from bench.growth import NOW
from exchange.domain.instruments import plain_ticker
from exchange.domain.orders import Side
from exchange.domain.units import AccountId, Lots, Micros, NodeId, Ticks, Units, make_id
from exchange.engine import inputs
from exchange.engine.engine import Engine, EngineConfig
from exchange.store.frames import Identity
from exchange.store.store import Limits, Store
from recovery.bulk import Unfinished

IDENTITY = Identity(cluster="bench", node_id=NodeId(1), nonce=b"0" * 16)
RECORDS = 1_000_000
TURN = 60  # orders: about 100 records a frame
ACCOUNTS = 1_000
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")


# A process begins with the peak of the one that starts it, so that one has to be small.
WATCH = """
import os, sys, time
start = time.perf_counter()
pid = os.fork()
if not pid:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(pid, 0)
print(status, time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


class Run(msgspec.Struct, frozen=True):
    """One run of a verb."""

    wall: float  # seconds
    cpu: float  # seconds, user and system, of all its processes
    peak: int  # bytes, of its largest process


def measure(directory: Path, *, scale: float) -> list[Figure]:
    """Make a log of a million records, inspect and verify it."""
    records = fill(directory / "node", int(RECORDS * scale))
    looked, checked = (run(verb, directory / "node") for verb in ("inspect", "verify"))
    note = f"{records} records; CPU {looked.cpu:.1f} s"
    rate = f"{checked.wall:.1f} s; CPU {checked.cpu:.1f} s; peak {checked.peak / 1e6:.0f} MB"
    return [
        Figure("X1", "inspect", looked.wall, "s", 10, note=note),
        Figure("X2", "inspect, peak memory", looked.peak / 1e6, "MB", 300),
        Figure(
            "X3", "verify with the auditor", records / checked.wall, "/s", 1e5, None, True, rate
        ),
    ]


def run(verb: str, path: Path) -> Run:
    """Run a verb of `exchange-recover` to its clean end."""
    command = [sys.executable, "-m", "recovery.command", verb, str(path), "-o", "json"]
    watched = [sys.executable, "-S", "-c", WATCH, *command]
    told = subprocess.run(watched, stdout=subprocess.PIPE, check=True).stdout
    status, wall, cpu, peak = map(float, told.split())
    assert not status, f"{verb} ended with status {status}"
    return Run(wall, cpu, int(peak) * 1024)


def fill(path: Path, records: int) -> int:
    """Make the directory of a node that has traded; return how many records its log has."""
    source = random.Random(3)
    with Unfinished(path, IDENTITY) as new:
        store = Store.open(new.disk, IDENTITY, Limits())
        store.boot(boot_id=b"first", ts=Micros(NOW))
        engine = Engine(store.state, EngineConfig())
        engine.begin(wall_us=NOW, mono_us=0)
        engine.handle(inputs.Tick())
        for symbol in SYMBOLS:
            engine.handle(inputs.ListInstrument(0, plain_ticker(symbol)))
        _open_accounts(engine)
        _force(store, engine)
        at = 0
        while store.state.lsn < records:
            at += TURN
            engine.begin(wall_us=NOW + at, mono_us=at)
            for number in range(at, at + TURN):
                engine.handle(_order(source, number))
            _force(store, engine)
        _force(store, engine, is_last=True)
        new.name_it()
        return store.proof.lsn


def _open_accounts(engine: Engine) -> None:
    for number in range(1, ACCOUNTS + 1):
        account = AccountId(make_id(1, number))
        engine.handle(inputs.OpenAccount(0, account, b"k" * 32))
        for asset in ("USD", *SYMBOLS):
            funds = inputs.MoveFunds(0, account, plain_ticker("AAA").quote, Units(10**12))
            engine.handle(funds if asset == "USD" else _shares(account, asset))


def _shares(account: AccountId, symbol: str) -> inputs.MoveFunds:
    return inputs.MoveFunds(0, account, plain_ticker(symbol).base, Units(10**9))


def _order(source: random.Random, number: int) -> inputs.PlaceOrder:
    account = AccountId(make_id(1, source.randint(1, ACCOUNTS)))
    symbol = plain_ticker(source.choice(SYMBOLS)).symbol
    side = source.choice((Side.BUY, Side.SELL))
    price, quantity = Ticks(source.randint(990, 1_010)), Lots(source.randint(1, 9))
    name = f"order-{number}" if number % 4 == 0 else ""
    return inputs.PlaceOrder(0, account, symbol, side, price, quantity, client_order_id=name)


def _force(store: Store, engine: Engine, *, is_last: bool = False) -> None:
    write = store.prepare(engine.drain(), ts=Micros(NOW), force_checkpoint=is_last)
    engine.forced(store.commit(write))
    store.committed(write)
