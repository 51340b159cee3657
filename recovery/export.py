"""Orders, fills and trades of a node, for other programs: JSON lines, CSV, Parquet.

Prices and quantities are decimal text, as everywhere outside (interfaces 2): exact, and cast by
whoever reads them.  The rows are those of the state at the end of the log: from the checkpoint
tables, and from the log behind them.
"""

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
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


class OrderRow(msgspec.Struct, frozen=True):
    order_id: str
    client_order_id: str
    user_id: str
    symbol: str
    side: str
    type: str
    time_in_force: str
    price: str
    quantity: str
    filled_quantity: str
    remaining_quantity: str
    in_doubt_quantity: str
    status: str
    reason: str
    created: str
    updated: str


class FillRow(msgspec.Struct, frozen=True):
    user_id: str
    seq: int
    trade_id: str
    order_id: str
    symbol: str
    side: str
    price: str
    quantity: str
    role: str
    ts: str


class TradeRow(msgspec.Struct, frozen=True):
    node: int
    seq: int
    trade_id: str
    symbol: str
    price: str
    quantity: str
    aggressor: str
    ts: str


Row = OrderRow | FillRow | TradeRow
ROWS: dict[str, type[Row]] = {"orders": OrderRow, "fills": FillRow, "trades": TradeRow}


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
        return OrderRow(
            order_id=format_id(order.order_id),
            client_order_id=order.client_order_id,
            user_id=format_id(order.account),
            symbol=order.symbol,
            side=Side(order.side).name.lower(),
            type="limit",
            time_in_force=TimeInForce(order.time_in_force).name.lower(),
            price=rule.tick.text(order.price),
            quantity=rule.lot.text(order.quantity),
            filled_quantity=rule.lot.text(order.filled),
            remaining_quantity=rule.lot.text(order.open + order.offered),
            in_doubt_quantity=rule.lot.text(order.offered),
            status=str(order.status),
            reason=str(order.reason),
            created=time_text(order.created),
            updated=time_text(order.updated),
        )

    def _fill(self, account: int, fill: Fill) -> Row:
        rule = self._rule(fill.symbol)
        return FillRow(
            user_id=format_id(account),
            seq=fill.seq,
            trade_id=format_id(fill.trade_id),
            order_id=format_id(fill.order_id),
            symbol=fill.symbol,
            side=Side(fill.side).name.lower(),
            price=rule.tick.text(fill.price),
            quantity=rule.lot.text(fill.quantity),
            role="maker" if fill.is_maker else "taker",
            ts=time_text(fill.ts),
        )

    def _trade(self, trade: Trade) -> Row:
        rule = self._rule(trade.symbol)
        return TradeRow(
            node=self.node,
            seq=trade.seq,
            trade_id=format_id(trade.trade_id),
            symbol=trade.symbol,
            price=rule.tick.text(trade.price),
            quantity=rule.lot.text(trade.quantity),
            aggressor=Side(trade.aggressor).name.lower(),
            ts=time_text(trade.ts),
        )


def write_jsonl(rows: Iterable[Row], file: IO[bytes]) -> int:
    """Write rows as JSON lines; return how many."""
    count = 0
    for row in rows:
        file.write(msgspec.json.encode(row) + b"\n")
        count += 1
    return count


def write_csv(rows: Iterable[Row], file: IO[str], what: str) -> int:
    """Write rows as CSV, with a header even where there are none; return how many."""
    count, writer = 0, csv.writer(file, lineterminator="\n")
    writer.writerow(ROWS[what].__struct_fields__)
    for row in rows:
        writer.writerow(map(_harmless, msgspec.structs.astuple(row)))
        count += 1
    return count


def write_parquet(rows: Iterable[Row], file: Path, what: str) -> int:
    """Write rows as Parquet, even where there are none; CannotExport without `analytics`."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise CannotExport(
            "Parquet needs pyarrow: pip install 'stock-exchange[analytics]'", 2
        ) from None
    types = {int: arrow.int64(), str: arrow.string()}
    columns = msgspec.structs.fields(ROWS[what])
    schema = arrow.schema([(column.name, types[column.type]) for column in columns])
    count, left = 0, iter(rows)
    with parquet.ParquetWriter(file, schema) as writer:
        while batch := [msgspec.structs.asdict(row) for row in islice(left, BATCH_ROWS)]:
            writer.write_table(arrow.Table.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


def _harmless(value: object) -> object:
    """Keep text that a spreadsheet would run as a formula from being one."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value
