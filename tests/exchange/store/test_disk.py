"""Any disk will do that keeps the small interface."""

from exchange.store.disk import Disk, get_many
from fuzz.disk import SimulatedDisk


class ManyAtOnce(SimulatedDisk):
    """A disk that has a faster way."""

    def get_many(self, table: str, keys: list[bytes]) -> list[bytes | None]:
        return [b"many at once"] * len(keys)


def test_many_keys_are_read_from_any_disk() -> None:
    """W5: a disk may have a faster way, none needs one."""
    disk: Disk = SimulatedDisk()
    disk.write([("t", b"1", b"one"), ("t", b"3", b"three")])

    assert not hasattr(disk, "get_many")
    assert get_many(disk, "t", []) == []
    assert get_many(disk, "t", [b"3", b"2", b"1"]) == [b"three", None, b"one"]
    assert get_many(ManyAtOnce(), "t", [b"1"]) == [b"many at once"]
