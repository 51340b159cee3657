"""The store keeps what was forced, and refuses what is damaged."""

from pathlib import Path

import msgspec

from exchange.domain.instruments import plain_ticker
from exchange.domain.units import Asset, Lsn, Micros, NodeId, Units, make_id
from exchange.engine.apply import apply
from exchange.engine.messages import Proof
from exchange.engine.records import AccountOpened, InstrumentListed, Record, Transferred
from exchange.store.directory import Directory
from exchange.store.frames import Identity
from exchange.store.store import Store

IDENTITY = Identity("test", NodeId(1), b"n" * 16)


class Step(msgspec.Struct):
    records: list[Record]
    last_lsn: Lsn
    seen: dict[NodeId, Proof]


def force(store: Store, *records: Record) -> None:
    for record in records:
        apply(store.state, record)
        store.state.lsn = Lsn(store.state.lsn + 1)
    write = store.prepare(Step(list(records), store.state.lsn, {}), ts=Micros(1))
    store.commit(write)
    store.committed(write)


def test_forced_records_are_there_after_a_restart(tmp_path: Path) -> None:
    """W2, W6."""
    account = make_id(1, 1)
    with Directory.lock(tmp_path / "data") as directory:
        directory.create(IDENTITY)
        disk = directory.open()
        store = Store.open(disk, IDENTITY)
        store.boot(boot_id=b"b" * 8, ts=Micros(1))
        force(store, InstrumentListed(plain_ticker("AAPL"), Micros(1)))
        force(store, AccountOpened(account, b"", Micros(1)))  # type: ignore[arg-type]
        force(store, Transferred(account, Asset("USD"), Units(5), Micros(1)))  # type: ignore[arg-type]
        disk.close()
        disk = directory.open()

        again = Store.open(disk, IDENTITY)

        assert again.proof == store.proof
        assert again.state.accounts == store.state.accounts
        assert again.boot(boot_id=b"c" * 8, ts=Micros(2)) == 2
        disk.close()
