"""Orders, fills and trades for other programs, exact (interfaces 2)."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exchange.domain.orders import Side
from recovery.directory import DataDirectory
from recovery.export import CannotExport, Exporter, Row, write_csv, write_jsonl, write_parquet
from tests.recovery.cluster import Cluster, account_of


def export(path: Path, what: str) -> list[Row]:
    with DataDirectory.open(path) as directory:
        return list(Exporter(directory).rows(what))


def rows(path: Path, what: str) -> list[dict[str, Any]]:
    return [msgspec.structs.asdict(row) for row in export(path, what)]


def test_rows_come_from_tables_and_from_the_log_behind_them(market: Cluster) -> None:
    """W5: some are in the checkpoint, some behind it, some changed since."""
    market.place(account_of(1, 1), Side.SELL, 10, 1_055)
    market.place(account_of(1, 2), Side.BUY, 4, 1_055)
    market.nodes[1].checkpoint()  # type: ignore[index]
    market.place(account_of(1, 2), Side.BUY, 3, 1_060, client_order_id="=cmd()")
    market.kill_all()

    orders = {row["order_id"]: row for row in rows(market.paths[0], "orders")}
    assert len(orders) == 3
    assert orders["1-1"]["filled_quantity"] == "7"
    assert orders["1-1"]["price"] == "10.55"
    assert orders["1-1"]["status"] == "partially_filled"
    fills = rows(market.paths[0], "fills")
    assert [(row["user_id"], row["seq"], row["role"]) for row in fills] == [
        ("1-1", 1, "maker"),
        ("1-2", 1, "taker"),
        ("1-1", 2, "maker"),
        ("1-2", 2, "taker"),
    ]
    assert [row["quantity"] for row in rows(market.paths[0], "trades")] == ["4", "3"]
    text = io.StringIO()
    write_csv(export(market.paths[0], "orders"), text, "orders")
    assert "'=cmd()" in text.getvalue()


def test_lines_and_csv_hold_the_same(traded: Cluster) -> None:
    """Issue, item 6."""
    found = export(traded.paths[0], "trades")
    binary, text = io.BytesIO(), io.StringIO()
    assert write_jsonl(found, binary) == write_csv(found, text, "trades") == 1

    (line,) = binary.getvalue().splitlines()
    (row,) = csv.DictReader(io.StringIO(text.getvalue()))
    assert {name: str(value) for name, value in json.loads(line).items()} == row


def test_parquet_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue, item 6: extra `analytics`."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(CannotExport, match="analytics"):
        write_parquet([], tmp_path / "x.parquet", "fills")


def test_parquet_holds_every_row(
    traded: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue, item 6: in as many batches as it takes."""
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("recovery.export.BATCH_ROWS", 1)
    found = [row for path in traded.paths for row in export(path, "fills")]
    assert write_parquet(found, tmp_path / "fills.parquet", "fills") == len(found) == 2

    read = parquet.read_table(tmp_path / "fills.parquet").to_pylist()
    assert read == [msgspec.structs.asdict(row) for row in found]


@pytest.mark.parametrize("what", ["orders", "fills", "trades"])
def test_what_is_empty_has_its_columns_all_the_same(tmp_path: Path, what: str) -> None:
    """A query over the files of all nodes must not fail for one that has no trades yet."""
    parquet = pytest.importorskip("pyarrow.parquet")
    text = io.StringIO()
    assert write_csv([], text, what) == 0
    assert write_parquet([], tmp_path / "x.parquet", what) == 0

    columns = text.getvalue().strip().split(",")
    assert parquet.read_table(tmp_path / "x.parquet").column_names == columns
