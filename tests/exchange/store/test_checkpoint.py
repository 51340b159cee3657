"""A checkpoint is the state at exactly one LSN."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.orders import FirstAnswer, Reason, SelfTrade, Side, TimeInForce
from exchange.domain.units import (
    AccountId,
    Lots,
    Micros,
    OrderId,
    Seq,
    Stamp,
    Symbol,
    Ticks,
    TradeId,
    make_id,
)
from exchange.engine.records import LocalTrade, OrderCanceled, OrderPlaced, Record
from exchange.store.checkpoint import RUN_MAX
from exchange.store.errors import DamagedTable
from exchange.store.store import Limits, Store
from exchange.store.tables import CODECS, Kind
from exchange.store.verify import fold
from fuzz.disk import SimulatedDisk
from tests.exchange.store.scene import (
    EAGER,
    IDENTITY,
    NODE,
    SYMBOL,
    check,
    deposits,
    force,
    force_all,
    open_store,
    prepare,
    traded,
    unresolved,
)

RESIDENT = {name for name in CODECS if CODECS[name].kind is Kind.RESIDENT}
RICH = AccountId(make_id(NODE, 1))


def a_market() -> Store:
    store = open_store(SimulatedDisk())
    force(store, traded()[:8])  # an instrument, an account, its funds
    assert SYMBOL in store.state.instruments
    return store


def placed(number: int, *, side: Side = Side.BUY, client_order_id: str = "") -> OrderPlaced:
    return OrderPlaced(
        OrderId(make_id(NODE, 1000 + number)),
        RICH,
        Symbol(SYMBOL),
        side,
        TimeInForce.GTC,
        SelfTrade.CANCEL_NEWEST,
        Ticks(1),
        Lots(10),
        Stamp(number << 20),
        client_order_id,
        FirstAnswer(),
        Micros(number),
    )


def canceled(number: int) -> OrderCanceled:
    return OrderCanceled(OrderId(make_id(NODE, 1000 + number)), Reason.CLIENT, Micros(number))


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=12),
    st.sampled_from([1, 5, 20, 60, 200]),
    st.sampled_from([0, 1, 50]),
)
def test_tables_are_the_fold_of_the_log_after_every_write(
    sizes: list[int], dirty: int, accounts: int
) -> None:
    """W5, E7: wherever frames end, whatever is evicted."""
    log, at = traded(), 0
    store = open_store(SimulatedDisk(), Limits(dirty=dirty, accounts=accounts))
    for size in sizes:
        force(store, log[at : at + size])
        at += size
        check(store)

    force(store, [], checkpoint=True)

    check(store)
    assert open_store(store.disk).redone == 0


def test_an_entry_that_is_gone_is_gone_after_the_checkpoint() -> None:
    """W5: deletions are rows like everything else."""
    store = a_market()
    force(store, [placed(number) for number in range(9)], checkpoint=True)
    force(store, [canceled(number) for number in range(8)])
    assert store.checkpoint_lsn < store.durable_lsn

    force(store, [], checkpoint=True)

    assert sorted(open_store(store.disk).state.orders) == [make_id(NODE, 1008)]
    check(store)


def test_an_order_that_lived_between_two_checkpoints_is_never_in_the_table() -> None:
    """W5: what came and went costs nothing but its history."""
    store = a_market()
    write = force(store, [placed(1), canceled(1)], checkpoint=True)

    assert not [change for change in write.changes if change[0] == "orders"]
    assert store.state.find_order(OrderId(make_id(NODE, 1001))) is not None
    check(store)


def test_entries_under_way_stay_in_memory() -> None:
    """E7: what the write has not made durable yet is not evicted."""
    store = open_store(SimulatedDisk(), Limits(dirty=1, accounts=0))
    write = prepare(store, deposits(3))
    store.evict()
    assert len(store.state.transfers) == 3

    store.commit(write)
    store.committed(write)

    assert not store.state.transfers
    assert not store.state.accounts
    check(store)


def test_entries_of_later_turns_stay_when_a_checkpoint_is_durable() -> None:
    """E7: only clean entries are evicted."""
    store = open_store(SimulatedDisk(), Limits(dirty=1, accounts=0))
    first = prepare(store, deposits(3))
    second = prepare(store, deposits(2)[1:])
    store.commit(first)
    store.committed(first)

    assert [key[1] for key in store.state.transfers] == [4, 5]
    assert list(store.state.accounts) == [RICH]
    store.commit(second)
    check(store)


def test_the_oldest_clean_accounts_leave_first() -> None:
    """E7: a bound on accounts in memory."""
    store = open_store(SimulatedDisk(), Limits(dirty=1, accounts=3))

    force(store, deposits(0, accounts=5))

    assert list(store.state.accounts) == [make_id(NODE, number) for number in (3, 4, 5)]
    assert store.state.accounts.find(RICH) is not None
    check(store)


def test_what_queries_have_read_is_let_go() -> None:
    """E7: reading history does not make memory grow."""
    store = open_store(SimulatedDisk(), EAGER)
    force(store, deposits(10))
    assert store.state.transfers.find((RICH, Seq(4))) is not None
    assert store.state.transfers

    store.evict()

    assert not store.state.transfers


def test_an_entry_deleted_by_the_write_under_way_is_not_read_from_the_disk() -> None:
    """E7: the disk still has the row, the state has not."""
    store = open_store(SimulatedDisk(), EAGER)
    force(store, deposits(1, accounts=2))
    store.state.accounts.drop(RICH)

    write = prepare(store, deposits(1, accounts=2)[1:2])

    assert ("accounts", CODECS["accounts"].pack(RICH), None) in write.changes
    assert store.state.accounts.find(RICH) is None


def test_history_is_written_in_runs() -> None:
    """W5: a row per account and checkpoint, and no row is long."""
    store = open_store(SimulatedDisk())

    force(store, deposits(2 * RUN_MAX + 1), checkpoint=True)
    force(store, deposits(3)[1:], checkpoint=True)

    keys = [CODECS["transfers"].open_key(key)[1] for key, _ in store.disk.scan("transfers")]
    assert keys == [1, RUN_MAX + 1, 2 * RUN_MAX + 1, 2 * RUN_MAX + 2]
    check(store)


def test_history_is_found_wherever_its_run_begins() -> None:
    """E7."""
    store = open_store(SimulatedDisk(), EAGER)
    for start in range(3):
        force(store, deposits(20, accounts=2) if not start else deposits(20, accounts=2)[2:])
    folded = fold(store.disk, IDENTITY)

    for key, transfer in folded.transfers.items():
        store.evict()
        assert store.state.transfers.find(key) == transfer
    for key in ((RICH, Seq(0)), (RICH, Seq(31)), (AccountId(make_id(NODE, 3)), Seq(1))):
        assert store.state.transfers.find(key) is None
    check(store)


def test_trades_of_different_symbols_are_told_apart() -> None:
    """E7: the symbol ends before the number begins."""
    store = a_market()
    trade = LocalTrade(
        TradeId(make_id(NODE, 2000)),
        placed(1).order_id,
        placed(2).order_id,
        Lots(4),
        Ticks(1),
        Micros(1),
    )
    force(store, [placed(1), placed(2, side=Side.SELL), trade], checkpoint=True)

    assert store.state.trades.find((Symbol(SYMBOL), Seq(1))) is not None
    assert store.state.trades.find((Symbol(SYMBOL[:-1]), Seq(1))) is None
    assert store.state.trades.find((Symbol(SYMBOL), Seq(2))) is None
    check(store)


@pytest.mark.parametrize("table", sorted(RESIDENT - {"heuristics"}))
def test_a_row_that_vanished_from_a_resident_table_is_noticed_at_the_start(table: str) -> None:
    """W5: counts and sums, not only the digests of the rows that are there."""
    disk = SimulatedDisk()
    store = open_store(disk, EAGER)
    force_all(store, unresolved())
    rows = list(disk.scan(table))
    disk.write([(table, rows[0][0], None)])

    with pytest.raises(DamagedTable) as refused:
        open_store(disk)

    assert refused.value.table == table


@pytest.mark.parametrize("table", sorted(CODECS.keys() - {"heuristics"}))
@pytest.mark.parametrize("log", [traded(), unresolved()], ids=["settled", "unresolved"])
def test_a_flipped_bit_in_any_row_is_noticed_when_it_is_read(
    table: str, log: tuple[Record, ...]
) -> None:
    """W5: a flipped balance does not slip past the chain by being checkpointed."""
    disk = SimulatedDisk()
    store = open_store(disk, EAGER)
    force_all(store, log)
    for key, row in list(disk.scan(table))[:3]:
        for bit in range(0, 8 * len(row), 29):
            rotten = disk.clone()
            rotten.flip_bit(table, key, bit)

            with pytest.raises(DamagedTable) as refused:
                _read(open_store(rotten), table, key)

            assert refused.value.exit_code == 4
            assert refused.value.table == table


def _read(store: Store, table: str, key: bytes) -> None:
    store.state.tables()[table].find(CODECS[table].open_key(key))
