"""The simulated disk keeps what was forced, whole or not at all."""

import pytest

from exchange.store.errors import StoreFailed
from fuzz.disk import Failure, SimulatedDisk


def a_disk() -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.write([("t", b"b", b"2"), ("t", b"a", b"1"), ("t", b"d", b"4")])
    return disk


def test_scan_is_in_order_from_both_ends() -> None:
    disk = a_disk()

    assert list(disk.scan("t")) == [(b"a", b"1"), (b"b", b"2"), (b"d", b"4")]
    assert list(disk.scan("t", b"b")) == [(b"b", b"2"), (b"d", b"4")]
    assert list(disk.scan("t", b"c")) == [(b"d", b"4")]
    assert list(disk.scan("t", b"c", reverse=True)) == [(b"b", b"2"), (b"a", b"1")]
    assert list(disk.scan("t", b"b", reverse=True)) == [(b"b", b"2"), (b"a", b"1")]
    assert next(iter(disk.scan("t", reverse=True))) == (b"d", b"4")
    assert list(disk.scan("empty")) == []


def test_deleted_key_is_gone_and_a_new_one_is_in_its_place() -> None:
    disk = a_disk()
    disk.write([("t", b"b", None), ("t", b"c", b"3")])

    assert disk.get("t", b"b") is None
    assert [key for key, _ in disk.scan("t")] == [b"a", b"c", b"d"]


@pytest.mark.parametrize(
    ("failure", "found"), [(Failure.LOST, None), (Failure.KEPT, b"3"), (Failure.FULL, None)]
)
def test_failed_force_tells_nothing_about_its_outcome(failure: Failure, found: bytes) -> None:
    """E4."""
    disk = a_disk()
    disk.failure = failure

    with pytest.raises(StoreFailed) as raised:
        disk.write([("t", b"c", b"3")])
    assert raised.value.is_full is (failure is Failure.FULL)
    assert disk.get("t", b"c") == found
    disk.write([("t", b"e", b"5")])


def test_clone_and_original_go_their_own_ways() -> None:
    disk = a_disk()
    copy = disk.clone()
    disk.write([("t", b"a", b"9")])
    copy.flip_bit("t", b"b", 0)

    assert copy.get("t", b"a") == b"1"
    assert (disk.get("t", b"b"), copy.get("t", b"b")) == (b"2", b"3")
