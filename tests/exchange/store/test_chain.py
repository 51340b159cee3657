"""What is older than the checkpoint is checked backwards, as far as the budget goes."""

import pytest

from exchange.domain.units import Lsn
from exchange.engine.messages import Proof
from exchange.store.chain import Budget, check_history
from exchange.store.errors import DamagedLog
from exchange.store.frames import genesis, log_key
from exchange.store.meta import BASE
from exchange.store.store import Store
from exchange.store.tables import seal
from exchange.store.verify import verify
from fuzz.disk import SimulatedDisk
from tests.exchange.store.scene import IDENTITY, check, deposits, force, open_store

FRAMES = 10
NEWEST = 2 * FRAMES + 1  # LSN
BEGINNING = Proof(Lsn(0), genesis(IDENTITY))


def a_history() -> tuple[SimulatedDisk, Store]:
    """Make ten frames of two records each (the first has three), and a checkpoint behind them."""
    store = open_store(SimulatedDisk())
    force(store, deposits(2))
    for _ in range(FRAMES - 1):
        force(store, deposits(2)[1:])
    force(store, [], checkpoint=True)
    assert isinstance(store.disk, SimulatedDisk)
    return store.disk, store


def test_an_intact_history_is_proven_to_its_beginning() -> None:
    """W4."""
    disk, store = a_history()

    assert check_history(disk, store.proof, BEGINNING, Budget()) == 1
    check(store)


def test_the_budget_bounds_what_is_checked() -> None:
    """W4: at a start, the newest part of a long log."""
    disk, store = a_history()

    assert check_history(disk, store.proof, BEGINNING, Budget(frames=3)) == NEWEST - 5
    assert check_history(disk, store.proof, BEGINNING, Budget(size=1)) == NEWEST + 1


@pytest.mark.parametrize("place", range(FRAMES))
def test_damage_anywhere_in_the_history_is_found_and_named(place: int) -> None:
    """W4: a broken frame long before the checkpoint still means that the disk lies."""
    disk, store = a_history()
    key, value = list(disk.scan("log"))[place]
    for bit in range(0, 8 * len(value), 53):
        rotten = disk.clone()
        rotten.flip_bit("log", key, bit)

        with pytest.raises(DamagedLog) as refused:
            check_history(rotten, store.proof, BEGINNING, Budget())

        assert abs(refused.value.lsn - int.from_bytes(key, "big")) <= 3


@pytest.mark.parametrize("place", range(FRAMES))
def test_a_frame_missing_from_the_history_is_found(place: int) -> None:
    """W4: LSNs are dense."""
    disk, store = a_history()
    keys = [key for key, _ in disk.scan("log")]
    disk.write([("log", keys[place], None)])

    with pytest.raises(DamagedLog):
        check_history(disk, store.proof, BEGINNING, Budget())
    assert [problem.code for problem in verify(disk, IDENTITY)]


def test_a_log_that_ends_before_the_checkpoint_is_refused() -> None:
    """W4: a log restored from elsewhere does not fit the tables."""
    disk, _ = a_history()
    disk.write([("log", key, None) for key, _ in disk.scan("log")])

    with pytest.raises(DamagedLog) as refused:
        open_store(disk)

    assert refused.value.lsn == NEWEST


def test_a_log_may_begin_behind_a_base() -> None:
    """W5: what is archived is gone, never past the checkpoint."""
    disk, store = a_history()
    (first, _), (_, value), (third, _), *_ = disk.scan("log")
    base = Proof(Lsn(int.from_bytes(third, "big") - 1), value[-16:])
    second = log_key(4)
    disk.write([("log", first, None), ("log", second, None), ("meta", BASE, seal(BASE, base))])

    again = open_store(disk)

    assert again.proof == store.proof
    assert again.digest_at(base.lsn) == base.digest
    assert again.digest_at(Lsn(3)) is None
    assert [problem.severity for problem in verify(disk, IDENTITY)] == ["note"]


def test_a_frame_before_the_base_is_refused() -> None:
    """W4."""
    disk, _ = a_history()
    base = Proof(Lsn(5), next(iter(list(disk.scan("log"))[1:]))[1][-16:])
    disk.write([("meta", BASE, seal(BASE, base))])

    with pytest.raises(DamagedLog):
        open_store(disk)
