"""Orders, fills and trades for other programs, exact (interfaces 2)."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from exchange.domain.orders import Side
from recovery.directory import DataDirectory
from recovery.export import CannotExport, Exporter, Row, write_csv, write_jsonl, write_parquet
from tests.recovery.cluster import Cluster, account_of


def rows(path: Path, what: str) -> list[Row]:
    with DataDirectory.open(path) as directory:
        return list(Exporter(directory).rows(what))


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
    write_csv(orders.values(), text)
    assert "'=cmd()" in text.getvalue()


def test_lines_and_csv_hold_the_same(traded: Cluster) -> None:
    """Issue, item 6."""
    found = rows(traded.paths[0], "trades")
    binary, text = io.BytesIO(), io.StringIO()
    assert write_jsonl(found, binary) == write_csv(found, text) == 1

    (line,) = binary.getvalue().splitlines()
    (row,) = csv.DictReader(io.StringIO(text.getvalue()))
    assert {name: str(value) for name, value in json.loads(line).items()} == row


def test_parquet_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue, item 6: extra `analytics`."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(CannotExport, match="analytics"):
        write_parquet([{"a": 1}], tmp_path / "x.parquet")


def test_parquet_holds_every_row(traded: Cluster, tmp_path: Path) -> None:
    """Issue, item 6."""
    parquet = pytest.importorskip("pyarrow.parquet")
    found = rows(traded.paths[1], "fills")
    assert write_parquet(found, tmp_path / "fills.parquet") == len(found)

    assert parquet.read_table(tmp_path / "fills.parquet").to_pylist() == found
