"""docs/log-format.md, the code, and a reader made from the document alone agree."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

import msgspec
import pytest

from exchange.domain import instruments, orders
from exchange.domain.units import OrderId
from exchange.engine import records, state
from exchange.engine.proofs import seal
from exchange.engine.records import Record
from exchange.store.checkpoint import RUN_MAX
from exchange.store.directory import STORE, Directory
from exchange.store.frames import FORMAT_VERSION, Frame
from exchange.store.tables import CODECS, Kind
from exchange.store.verify import fold
from tests.exchange.store.auditor import HISTORY, Auditor, Plain
from tests.exchange.store.scene import IDENTITY, PEER, check, force, force_all, open_store, traded

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "log-format.md").read_text()
ARRAYS = dict(re.findall(r"^    (\w+) +\[([^\]]+)\]$", TEXT, re.MULTILINE))
NESTED = {"Instrument", "FirstAnswer", "OfferId"}


def structs(*modules: ModuleType) -> Iterator[type[msgspec.Struct]]:
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, msgspec.Struct):
                yield value


def fields_of(struct: type[msgspec.Struct]) -> list[str]:
    tag = struct.__struct_config__.tag
    return ([] if tag is None else [str(tag)]) + list(struct.__struct_fields__)


def test_every_record_is_described_field_by_field() -> None:
    """W2: the log is the audit trail; who audits it needs nothing of ours."""
    for record in get_args(Record):
        assert ARRAYS[record.__name__].split(", ") == fields_of(record)


def test_every_table_is_described() -> None:
    """W5."""
    row = r"^\| `(\w+)` \| (resident|cold|once|history) \| [^|]+ \| ([\w ]+) \|$"
    found = {name: (kind, entry) for name, kind, entry in re.findall(row, TEXT, re.MULTILINE)}
    expected = {
        name: (codec.kind.name.lower(), getattr(codec.entry, "__name__", ""))
        for name, codec in CODECS.items()
    }
    expected["account_orders"] = ("history", "order id")
    assert CODECS["account_orders"].entry is OrderId

    assert found == expected


def test_every_entry_is_described_field_by_field() -> None:
    """W5."""
    described = {struct.__name__: struct for struct in structs(records, state, orders, instruments)}
    entries = {codec.entry for codec in CODECS.values()} - {OrderId}
    for name in {entry.__name__ for entry in entries} | NESTED:  # type: ignore[attr-defined]
        assert ARRAYS[name].split(", ") == fields_of(described[name])


def test_nothing_is_described_that_is_not_there() -> None:
    """W2, W5."""
    known = {struct.__name__ for struct in structs(records, state, orders, instruments)}

    assert set(ARRAYS) <= known


def test_figures_of_the_document_are_those_of_the_code() -> None:
    """W2, W5."""
    frame = ", ".join(Frame.__struct_fields__)
    assert f"store format **{FORMAT_VERSION}**" in TEXT
    assert f"body     MessagePack [{frame}]" in TEXT
    assert f"array of 1 to {RUN_MAX} entries" in TEXT
    assert {name for name, codec in CODECS.items() if codec.kind is Kind.HISTORY} == HISTORY
    for side in orders.Side:
        assert f"{side.value} {side.name.lower()}" in TEXT


def test_the_reader_imports_nothing_of_ours() -> None:
    """W4: an independent witness."""
    tree = ast.parse((ROOT / "tests" / "exchange" / "store" / "auditor.py").read_text())
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    ]

    assert not [name for name in imported if name and name.startswith(("exchange", "recovery"))]


@pytest.mark.parametrize("size", [1, 9, 1000])
def test_a_reader_made_from_the_document_finds_everything(tmp_path: Path, size: int) -> None:
    """W2, W4, W5, C3: records, chain, proofs of peers, every entry of every table."""
    with Directory.lock(tmp_path / "data") as directory:
        directory.create(IDENTITY)
        disk = directory.open()
        store = open_store(disk)
        force_all(store, traded()[:30], size=size)
        force(store, traded()[30:60], seen={PEER: seal(store.state, store.proof)}, checkpoint=True)
        force_all(store, traded()[60:], size=size)
        folded = fold(disk, IDENTITY, until=store.checkpoint_lsn)
        check(store)
        disk.close()
    auditor = Auditor(tmp_path / "data" / STORE)

    assert auditor.names == sorted(["meta", "log", *CODECS])
    assert auditor.records() == plain(traded())
    assert list(auditor.seen()) == [PEER]
    assert auditor.meta(b"checkpoint")[0] == 60
    for name, table in folded.tables().items():
        codec = CODECS[name]
        expected = {codec.pack(key): plain(entry) for key, entry in table.items()}
        assert auditor.table(name) == expected
    auditor.close()


def plain(value: object) -> Plain:
    """Turn structs into what MessagePack makes of them, read back without a type."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))
