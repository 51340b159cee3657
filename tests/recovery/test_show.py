"""Values are shown as people read them."""

import pytest

from exchange.domain.units import AccountId, Micros, make_id
from exchange.engine.records import AccountOpened
from recovery.show import counted, describe, size_text, time_text


def test_ids_times_and_bytes_are_text() -> None:
    """Interfaces 2."""
    record = AccountOpened(AccountId(make_id(3, 17)), b"\x01\xff", Micros(1_700_000_000_000_001))

    assert describe(record) == (
        "AccountOpened",
        {"account": "3-17", "key_hash": "01ff", "ts": "2023-11-14T22:13:20.000001Z"},
    )


@pytest.mark.parametrize("micros", [-(10**30), 10**30, 2**63])
def test_an_impossible_time_is_shown_as_its_number(micros: int) -> None:
    """Faults 3: a damaged file may hold any number."""
    assert time_text(micros) == str(micros)


def test_sizes_have_units() -> None:
    """Style: a number has its unit."""
    assert [size_text(size) for size in (0, 1023, 1024, 1 << 40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1024.0 GiB",
    ]


def test_one_of_a_thing_is_not_many() -> None:
    """Issue, item 8: written for people."""
    assert [counted(number, "lot") for number in (0, 1, 2)] == ["0 lots", "1 lot", "2 lots"]
    assert counted(1, "directory", "directories") == "1 directory"
    assert counted(2, "directory", "directories") == "2 directories"
