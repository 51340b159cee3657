"""The beginning of every run: nodes with accounts, instruments and funds, made once per shape."""

from functools import lru_cache
from typing import TYPE_CHECKING

from exchange.domain.instruments import Instrument
from exchange.domain.units import AccountId, Micros, NodeId, Units, make_id
from exchange.engine.engine import Engine, EngineConfig
from exchange.engine.inputs import Input, ListInstrument, MoveFunds, OpenAccount
from exchange.engine.records import Booted, Record
from exchange.store.frames import Identity
from exchange.store.store import Store
from fuzz.disk import SimulatedDisk

if TYPE_CHECKING:
    from fuzz.cluster import Cluster

CLUSTER = "simulated"
BORN_US = Micros(1_767_225_000_000_000)  # before any run begins

Genesis = list[tuple[Identity, SimulatedDisk, list[Record]]]


def genesis(cluster: "Cluster") -> Genesis:
    """Return who the nodes are, a disk for each, and the records that are on it."""
    plan = cluster.plan
    made = _make(plan.nodes, plan.accounts, cluster.listed, plan.cash, plan.shares)
    return [(identity, disk.clone(), records) for identity, disk, records in made]


def new_nodes(nodes: int, *, accounts: int, instruments: tuple[Instrument, ...]) -> Genesis:
    """Return nodes with funds for a harness that is no cluster."""
    made = _make(nodes, accounts, instruments, 1_000_000, 1_000_000)
    return [(identity, disk.clone(), records) for identity, disk, records in made]


@lru_cache(maxsize=256)
def _make(
    nodes: int, accounts: int, instruments: tuple[Instrument, ...], cash: int, shares: int
) -> Genesis:
    made: Genesis = []
    for node in range(1, nodes + 1):
        identity = Identity(
            CLUSTER, NodeId(node), node.to_bytes(16, "big"), secret=node.to_bytes(32, "little")
        )
        disk = SimulatedDisk()
        records = _fill(disk, identity, accounts, instruments, cash, shares)
        made.append((identity, disk, records))
    return made


def _fill(
    disk: SimulatedDisk,
    identity: Identity,
    accounts: int,
    instruments: tuple[Instrument, ...],
    cash: int,
    shares: int,
) -> list[Record]:
    """Open the accounts and give them funds, through a real engine and a real store."""
    store = Store.open(disk, identity)
    boot_id = b"genesis."
    epoch = store.boot(boot_id=boot_id, ts=BORN_US)
    engine = Engine(store.state, EngineConfig(ack="durable"))
    engine.begin(wall_us=BORN_US, mono_us=0)
    items: list[Input] = [ListInstrument(0, instrument) for instrument in instruments]
    for number in range(1, accounts + 1):
        account = AccountId(make_id(identity.node_id, number))
        items.append(OpenAccount(0, account, b""))
        for instrument in instruments:
            rule = instrument.rule
            paid = Units(cash * rule.tick_value)
            items.append(MoveFunds(0, account, instrument.quote, paid))
            items.append(MoveFunds(0, account, instrument.base, Units(shares * rule.lot_value)))
    for item in items:
        engine.handle(item)
    step = engine.drain()
    write = store.prepare(step, ts=BORN_US)
    store.commit(write)
    store.committed(write)
    return [Booted(epoch, boot_id, BORN_US), *step.records]
