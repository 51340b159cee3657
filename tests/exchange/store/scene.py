"""What the tests of the store share: logs that real engines made, and stores to put them in."""

import random
from collections.abc import Mapping, Sequence
from functools import cache

import msgspec

from exchange.domain.orders import Side, TimeInForce
from exchange.domain.units import AccountId, Lots, Lsn, Micros, NodeId, Ticks, Units, make_id
from exchange.engine import inputs
from exchange.engine.apply import apply
from exchange.engine.messages import SealedProof
from exchange.engine.records import AccountOpened, Record, Transferred
from exchange.engine.state import State
from exchange.store.disk import Disk
from exchange.store.frames import Identity
from exchange.store.store import Limits, Store, Write
from exchange.store.verify import verify
from tests.support.engines import SYMBOL, Engines, redo

NODE = NodeId(1)
PEER = NodeId(2)
IDENTITY = Identity("test", NODE, bytes([1]) * 16)
EAGER = Limits(dirty=1)  # a checkpoint with every frame
LAZY = Limits(dirty=1_000_000)  # none unless it is asked for


class Step(msgspec.Struct):
    """What an engine would hand to the store."""

    records: list[Record]
    last_lsn: Lsn
    seen: Mapping[NodeId, SealedProof]


@cache
def traded(seed: int = 1, turns: int = 60) -> tuple[Record, ...]:
    """Return the log of a node that traded at random with another, was killed and came back."""
    engines, dice = Engines(2), random.Random(seed)
    account = AccountId(make_id(NODE, 2))
    engines.step(NODE, inputs.OpenAccount(0, account, b"key"))
    engines.step(NODE, inputs.CreateKey(0, account, "", bytes(32), 1, 0))
    engines.step(NODE, inputs.MoveFunds(0, account, "USD", Units(500_000), "wire-1"))  # type: ignore[arg-type]
    engines.step(NODE, inputs.SetSwitch(0, account, cancel_after=60, is_watched=True))
    for turn in range(turns):
        node = dice.choice((NODE, PEER))
        side, price = dice.choice(list(Side)), dice.randint(995, 1005)
        terms: dict[str, object] = {"client_order_id": f"c{turn}"} if turn % 2 else {}
        if turn % 5 == 0:
            terms["time_in_force"] = TimeInForce.IOC
        if node == NODE and dice.random() < 0.5:
            terms["account"] = account
        engines.step(node, engines.place(node, side, price, dice.randint(1, 90), **terms))
        live = sorted(engines.state(NODE).orders)
        if live and turn % 3 == 0:
            order = engines.state(NODE).orders[dice.choice(live)]
            cancel = inputs.CancelOrder(0, order.account, order.order_id)
            amend = inputs.AmendOrder(0, order.account, order.order_id, Ticks(price), Lots(50))
            engines.step(NODE, dice.choice((cancel, amend)))
        if turn % 4:
            engines.settle()
        if turn == turns // 2:
            engines.kill(NODE)
            engines.restart(NODE)
    return tuple(engines.log(NODE))


@cache
def unresolved() -> tuple[Record, ...]:
    """Return a log that ends with an offer out and an acceptance that is not forgotten."""
    log = list(traded())
    while not ((state := redo(NODE, log)).offers and state.acceptances):
        log.pop()
    return tuple(log)


def deposits(count: int, *, accounts: int = 1) -> list[Record]:
    """Return the smallest log: accounts, and deposits that go round them."""
    ids = [AccountId(make_id(NODE, number)) for number in range(1, accounts + 1)]
    opened: list[Record] = [AccountOpened(account, b"", Micros(1)) for account in ids]
    return opened + [
        Transferred(ids[number % accounts], "USD", Units(5), Micros(number))  # type: ignore[arg-type]
        for number in range(count)
    ]


def open_store(disk: Disk, limits: Limits = LAZY) -> Store:
    return Store.open(disk, IDENTITY, limits)


def prepare(
    store: Store,
    records: Sequence[Record],
    *,
    seen: Mapping[NodeId, SealedProof] | None = None,
    checkpoint: bool = False,
) -> Write:
    """Apply records as an engine does, and prepare their frame."""
    for record in records:
        apply(store.state, record)
        store.state.lsn = Lsn(store.state.lsn + 1)
    step = Step(list(records), store.state.lsn, seen or {})
    return store.prepare(step, ts=Micros(7), force_checkpoint=checkpoint)


def force(
    store: Store,
    records: Sequence[Record],
    *,
    seen: Mapping[NodeId, SealedProof] | None = None,
    checkpoint: bool = False,
) -> Write:
    """Apply and force records as one frame."""
    write = prepare(store, records, seen=seen, checkpoint=checkpoint)
    store.commit(write)
    store.committed(write)
    return write


def force_all(store: Store, records: Sequence[Record], *, size: int = 7) -> None:
    """Force a log in frames of `size` records."""
    for start in range(0, len(records), size):
        force(store, records[start : start + size])


def entries(state: State) -> dict[str, dict[object, object]]:
    """Return all that is in memory of a state, to be compared."""
    return {name: dict(table) for name, table in state.tables().items()}


def check(store: Store) -> None:
    """Verify log and tables; every test that opens a store ends with it."""
    store.check()
    assert not list(verify(store.disk, store.identity))


__all__ = [
    "EAGER",
    "IDENTITY",
    "LAZY",
    "NODE",
    "PEER",
    "SYMBOL",
    "Step",
    "check",
    "deposits",
    "entries",
    "force",
    "force_all",
    "open_store",
    "prepare",
    "traded",
    "unresolved",
]
