"""Keys sort as what they stand for, and no change to a row goes unseen."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.names import CLIENT_ORDER_ID_MAX, SYMBOL_PATTERN, is_symbol
from exchange.engine.records import OfferId
from exchange.engine.state import State
from exchange.store.errors import DamagedTable
from exchange.store.tables import CODECS, check_entry, digest_sum, key_text, seal
from tests.exchange.store.scene import NODE, traded, unresolved
from tests.support.engines import redo

KEY_MAX = 511  # LMDB's bound (faults.md section 1)
NUMBERS = st.integers(0, 2**63 - 1)
SYMBOLS = st.from_regex(SYMBOL_PATTERN).filter(is_symbol)
KEYS: dict[str, st.SearchStrategy[Any]] = {
    "scalars": st.just("node"),
    "instruments": SYMBOLS,
    "accounts": NUMBERS,
    "orders": NUMBERS,
    "done": NUMBERS,
    "account_orders": st.tuples(NUMBERS, NUMBERS),
    "client_keys": st.tuples(NUMBERS, st.text(min_size=1, max_size=CLIENT_ORDER_ID_MAX)),
    "fills": st.tuples(NUMBERS, NUMBERS),
    "transfers": st.tuples(NUMBERS, NUMBERS),
    "trades": st.tuples(SYMBOLS, NUMBERS),
    "offers": st.tuples(NUMBERS, st.builds(OfferId, NUMBERS, NUMBERS)),
    "heuristics": st.tuples(NUMBERS, st.builds(OfferId, NUMBERS, NUMBERS)),
    "acceptances": st.tuples(NUMBERS, st.builds(OfferId, NUMBERS, NUMBERS)),
    "peers": NUMBERS,
    "keys": st.tuples(NUMBERS, st.text(min_size=1, max_size=16)),
    "switches": NUMBERS,
    "transfer_keys": st.tuples(NUMBERS, st.text(min_size=1, max_size=CLIENT_ORDER_ID_MAX)),
    "boots": NUMBERS,
}


def test_every_table_of_the_state_is_on_the_disk() -> None:
    """W5."""
    state = State(node_id=NODE, cluster="", nonce=b"")

    assert list(CODECS) == list(state.tables()) == list(KEYS)


@pytest.mark.parametrize("table", KEYS)
@given(st.data())
def test_keys_come_back_sort_like_numbers_and_fit_into_lmdb(
    table: str, data: st.DataObject
) -> None:
    """E7, faults.md section 1: ids are bounded before they are keys."""
    codec = CODECS[table]
    first, second = data.draw(KEYS[table]), data.draw(KEYS[table])

    assert codec.open_key(codec.pack(first)) == first
    assert 0 < len(codec.pack(first)) <= KEY_MAX
    assert (codec.pack(first) == codec.pack(second)) is (first == second)
    if table not in {"client_keys", "trades", "instruments", "keys", "transfer_keys"}:
        assert (codec.pack(first) < codec.pack(second)) is (first < second)
    assert key_text(table, codec.pack(first))


@pytest.mark.parametrize("log", [traded(), unresolved()], ids=["settled", "unresolved"])
def test_every_entry_comes_back_as_it_was_written(log: tuple[Any, ...]) -> None:
    """W5."""
    for name, table in redo(NODE, list(log)).tables().items():
        codec = CODECS[name]
        for key, entry in table.items():
            packed = codec.pack(key)
            row = [entry] if codec.kind.name == "HISTORY" else entry

            assert codec.open(packed, seal(packed, row)) == row


def test_a_row_belongs_to_its_key() -> None:
    """W5: the digest is over key and bytes, so a row that moved is noticed."""
    row = seal(b"a key", [1, "two"])

    assert check_entry("accounts", b"a key", row) + row[-16:] == row
    with pytest.raises(DamagedTable):
        check_entry("accounts", b"b key", row)


def test_damage_names_table_and_key() -> None:
    """W5: as people write the key."""
    codec = CODECS["client_keys"]
    key = codec.pack((5, "my order"))
    row = seal(key, "no client key at all")

    for bad in (row, row[:-1], b""):
        with pytest.raises(DamagedTable) as refused:
            codec.open(key, bad)

        assert (refused.value.table, refused.value.key) == ("client_keys", "5 my order")
        assert "table client_keys, key 5 my order" in str(refused.value)


@pytest.mark.parametrize("table", KEYS)
@pytest.mark.parametrize("key", [b"", b"\xff", bytes(7), b"\xff" * 9, b"\xff" * 511])
def test_what_is_no_key_is_damage_or_text(table: str, key: bytes) -> None:
    """W5: whatever is on the disk, the error is ours."""
    with suppress(DamagedTable):
        CODECS[table].open_key(key)
    assert isinstance(key_text(table, key), str)


@given(st.lists(st.binary(min_size=16, max_size=40)))
def test_sums_add_up_the_digests(rows: list[bytes]) -> None:
    """W5: additive, so that it is kept without reading the table."""
    assert digest_sum(rows) == sum(int.from_bytes(row[-16:], "big") for row in rows)
