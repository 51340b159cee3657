"""Orders, fills and trades of a node, for other programs: JSON lines, CSV, Parquet.

Prices and quantities are decimal text, as everywhere outside (interfaces 2): exact, and cast by
whoever reads them.  The rows are those of the state at the end of the log: from the checkpoint
tables, and from the log behind them.
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from exchange.domain.instruments import Rule
from exchange.domain.orders import Fill, Order, Side, TimeInForce, Trade
from exchange.domain.units import format_id
from exchange.engine.state import State
from exchange.engine.table import Table
from exchange.store.chain import Budget
from exchange.store.disk import Disk
from exchange.store.store import Limits, Store
from exchange.store.tables import CODECS, Kind
from recovery.directory import DataDirectory
from recovery.show import time_text

BATCH_ROWS = 50_000  # rows of Parquet in memory at once

Row = dict[str, object]


class CannotExport(Exception):  # noqa: N818 - a refusal with an exit code
    """Why nothing was written."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = code


class Exporter:
    """The rows of one node."""

    def __init__(self, directory: DataDirectory) -> None:
        limits = Limits(history=Budget(size=0, frames=0))
        self.node = directory.node_id
        self.disk: Disk = directory.disk
        self.state: State = Store.open(directory.disk, directory.identity, limits).state

    def rows(self, what: str) -> Iterator[Row]:
        """Yield orders, fills or trades, oldest first within each table."""
        makers = {"orders": self._orders, "fills": self._fills, "trades": self._trades}
        return makers[what]()

    def _orders(self) -> Iterator[Row]:
        for table in ("done", "orders"):
            for _, order in self._entries(table):
                yield self._order(order)

    def _fills(self) -> Iterator[Row]:
        for (account, _), fill in self._entries("fills"):
            yield self._fill(account, fill)

    def _trades(self) -> Iterator[Row]:
        for _, trade in self._entries("trades"):
            yield self._trade(trade)

    def _entries(self, table: str) -> Iterator[tuple[Any, Any]]:
        """Yield the rows of a table as they are at the end of the log."""
        held = self.state.tables()[table]
        gone = held.dirty if isinstance(held, Table) else ()
        codec = CODECS[table]
        for key, sealed in self.disk.scan(table):
            entry = codec.open(key, sealed)
            first = codec.open_key(key)
            if codec.kind is Kind.HISTORY:
                owner, seq = first
                found = [((owner, seq + n), item) for n, item in enumerate(entry)]
            else:
                found = [(first, entry)]
            for at, item in found:
                if at not in held and at not in gone:
                    yield at, item
        yield from sorted(held.items(), key=lambda item: item[0])

    def _rule(self, symbol: str) -> Rule:
        return self.state.instruments[symbol].instrument.rule  # type: ignore[index]  # a Symbol

    def _order(self, order: Order) -> Row:
        rule = self._rule(order.symbol)
        return {
            "order_id": format_id(order.order_id),
            "client_order_id": order.client_order_id,
            "user_id": format_id(order.account),
            "symbol": order.symbol,
            "side": Side(order.side).name.lower(),
            "type": "limit",
            "time_in_force": TimeInForce(order.time_in_force).name.lower(),
            "price": rule.tick.text(order.price),
            "quantity": rule.lot.text(order.quantity),
            "filled_quantity": rule.lot.text(order.filled),
            "remaining_quantity": rule.lot.text(order.open + order.offered),
            "in_doubt_quantity": rule.lot.text(order.offered),
            "status": str(order.status),
            "reason": str(order.reason),
            "created": time_text(order.created),
            "updated": time_text(order.updated),
        }

    def _fill(self, account: int, fill: Fill) -> Row:
        rule = self._rule(fill.symbol)
        return {
            "user_id": format_id(account),
            "seq": fill.seq,
            "trade_id": format_id(fill.trade_id),
            "order_id": format_id(fill.order_id),
            "symbol": fill.symbol,
            "side": Side(fill.side).name.lower(),
            "price": rule.tick.text(fill.price),
            "quantity": rule.lot.text(fill.quantity),
            "role": "maker" if fill.is_maker else "taker",
            "ts": time_text(fill.ts),
        }

    def _trade(self, trade: Trade) -> Row:
        rule = self._rule(trade.symbol)
        return {
            "node": self.node,
            "seq": trade.seq,
            "trade_id": format_id(trade.trade_id),
            "symbol": trade.symbol,
            "price": rule.tick.text(trade.price),
            "quantity": rule.lot.text(trade.quantity),
            "aggressor": Side(trade.aggressor).name.lower(),
            "ts": time_text(trade.ts),
        }


def write_jsonl(rows: Iterable[Row], file: IO[bytes]) -> int:
    """Write rows as JSON lines; return how many."""
    count = 0
    for row in rows:
        file.write(msgspec.json.encode(row) + b"\n")
        count += 1
    return count


def write_csv(rows: Iterable[Row], file: IO[str]) -> int:
    """Write rows as CSV with a header; return how many."""
    count, writer = 0, None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow({name: _harmless(value) for name, value in row.items()})
        count += 1
    return count


def write_parquet(rows: Iterable[Row], file: Path) -> int:
    """Write rows as Parquet; CannotExport without the extra `analytics`."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise CannotExport(
            "Parquet needs pyarrow: pip install 'stock-exchange[analytics]'", 2
        ) from None
    count, writer = 0, None
    batch: list[Row] = []

    def flush() -> None:
        nonlocal writer
        table = arrow.Table.from_pylist(batch, schema=writer.schema if writer else None)
        writer = writer or parquet.ParquetWriter(file, table.schema)
        writer.write_table(table)
        batch.clear()

    for row in rows:
        batch.append(row)
        count += 1
        if len(batch) == BATCH_ROWS:
            flush()
    if batch:
        flush()
    if writer is not None:
        writer.close()
    return count


def _harmless(value: object) -> object:
    """Keep text that a spreadsheet would run as a formula from being one."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value
