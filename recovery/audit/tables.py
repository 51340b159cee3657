"""What the checkpoint tables must hold: the fold of the log, compared row by row (W5).

History and finished orders can be as long as the log, so they are not kept: of each row a hash
goes into a sum as the log is read, and another one as the table is read.  Sums that differ are
looked into by a second reading that keeps the rows of that table (`Rows.keep`).  Hashes are
Python's own, 64 bits: they find faults, the store's digests are there for malice.
"""

import types
from collections.abc import Callable, Iterable, Iterator
from itertools import count, repeat
from typing import Any

import msgspec

TABLES = (
    "scalars",
    "instruments",
    "accounts",
    "orders",
    "done",
    "account_orders",
    "client_keys",
    "fills",
    "transfers",
    "trades",
    "offers",
    "heuristics",
    "acceptances",
    "peers",
    "keys",
    "switches",
    "transfer_keys",
    "boots",
)

Row = tuple[Any, Any]  # key, content


class Rows:
    """The rows that the log makes, as counts and sums; kept whole where that is asked for.

    What will not change any more is appended to `pending[table]` as (key, content).
    """

    def __init__(self, checkpoint_lsn: int) -> None:
        self.checkpoint_lsn = checkpoint_lsn  # 0: there are no tables to compare
        self.counts = dict.fromkeys(TABLES, 0)
        self.sums = dict.fromkeys(TABLES, 0)
        self.kept: dict[str, dict[Any, Any]] = {}
        self.pending: dict[str, list[Row]] = {table: [] for table in TABLES}
        self.is_standing = not checkpoint_lsn  # the log has reached the checkpoint

    def keep(self, table: str) -> None:
        """Keep the rows of a table, to say which of them differ."""
        self.kept[table] = {}

    def flush(self) -> None:
        """Add up the rows of a frame; those behind the checkpoint are in no table."""
        for table, rows in self.pending.items():
            if not rows:
                continue
            if not self.is_standing:
                self.counts[table] += len(rows)
                self.sums[table] += sum(map(hash, rows))
                if table in self.kept:
                    self.kept[table].update(rows)
            rows.clear()

    def stand(self, trades: Any) -> None:  # noqa: ANN401 - Trades, which builds on this module
        """Add the rows that change, as they are at the checkpoint."""
        for table, rows in _living(trades):
            self.pending[table].extend(rows)
        self.flush()
        self.is_standing = True


def frozen(value: Any) -> Any:  # noqa: ANN401 - any row
    """Return a row as it can be hashed: lists as tuples, amounts without zeros, sorted."""
    if type(value) is list:
        return tuple([frozen(item) for item in value])
    if type(value) is dict:
        return amounts(value)
    return value


def amounts(value: dict[str, int]) -> tuple[tuple[str, int], ...]:
    """Return amounts by asset without zeros."""
    return tuple(sorted(item for item in value.items() if item[1]))


def reader_of(table: str) -> Callable[[bytes, bytes], Iterable[Row]]:
    """Return what reads one entry of a table: key and MessagePack to rows, a run in history."""
    if table == "trades":
        return lambda key, body: _run(key[:-9].decode(), key[-8:], _decode_run(body))
    if table == "account_orders":
        return lambda key, body: _run(int.from_bytes(key[:8]), key[8:], _decode_numbers(body))
    if table in ("fills", "transfers"):
        return lambda key, body: _run(int.from_bytes(key[:8]), key[8:], _decode_run(body))
    if table in ("done", "orders"):
        return lambda key, body: ((int.from_bytes(key), _decode_order(body)),)
    if table in ("client_keys", "keys", "transfer_keys"):
        return lambda key, body: (
            ((int.from_bytes(key[:8]), key[8:].decode()), _decode_flat(body)),
        )
    return lambda key, body: ((_key(table, key), frozen(_decode(body))),)


def _run(owner: int | str, first: bytes, contents: list[Any]) -> Iterable[Row]:
    """Return the rows of an owner, numbered from the first on."""
    return zip(zip(repeat(owner), count(int.from_bytes(first))), contents, strict=False)


# Typed so that what is hashed comes out of the decoder as tuples.
_ORDER_FIELDS = 23
_FIRST_ANSWER = 21
_FIELDS = tuple([tuple if n == _FIRST_ANSWER else Any for n in range(_ORDER_FIELDS)])
_ORDER: Any = types.GenericAlias(tuple, _FIELDS)
_decode = msgspec.msgpack.Decoder().decode
_decode_flat = msgspec.msgpack.Decoder(tuple).decode
_decode_run = msgspec.msgpack.Decoder(list[tuple]).decode  # type: ignore[type-arg]
_decode_numbers = msgspec.msgpack.Decoder(list[int]).decode
_decode_order = msgspec.msgpack.Decoder(_ORDER).decode


def _key(table: str, key: bytes) -> Any:  # noqa: ANN401 - keys have many forms
    if table in ("scalars", "instruments"):
        return key.decode()
    if table in ("offers", "heuristics", "acceptances"):
        parts = (key[:8], key[8:16], key[16:])
        return tuple(int.from_bytes(part) for part in parts)
    return int.from_bytes(key)


def _living(trades: Any) -> Iterator[tuple[str, Iterable[Row]]]:  # noqa: ANN401 - Trades
    clock = trades.stamp >> 13
    scalars = (
        trades.epoch,
        trades.boot_id,
        trades.number,
        trades.account_number,
        clock,
        trades.trade_count,
        amounts(trades.external),
        trades.open_accounts,
    )
    yield "scalars", [("node", scalars)]
    yield (
        "instruments",
        [
            (name, (item.row, item.trades, item.trade_ts))
            for name, item in trades.instruments.items()
        ],
    )
    yield (
        "accounts",
        (
            (
                account.account,
                (
                    account.account,
                    amounts(account.available),
                    amounts(account.held),
                    account.key_hash,
                    account.is_closed,
                    account.order_seq,
                    account.fill_seq,
                    account.transfer_seq,
                ),
            )
            for account in trades.accounts.values()
        ),
    )
    yield "orders", ((order.order_id, order.row()) for order in trades.orders.values())
    yield "offers", trades.out.items()
    yield "heuristics", trades.decided.items()
    yield (
        "acceptances",
        (
            ((peer.peer, *offer_id), row)
            for peer in trades.peers.values()
            for offer_id, row in peer.accepted.items()
        ),
    )
    yield "keys", trades.keys.items()
    yield "switches", trades.switches.items()
    yield "boots", ((row[0], row) for row in trades.boots)
    yield (
        "peers",
        (
            (
                peer.peer,
                (
                    peer.peer,
                    peer.nonce,
                    peer.epoch,
                    peer.boot_id,
                    peer.address,
                    peer.last_offer,
                    peer.answered,
                    peer.mark,
                    peer.forgotten,
                    peer.seen_lsn,
                    peer.seen_digest,
                    peer.seen_boot,
                    peer.seen_mac,
                    amounts(peer.clearing),
                ),
            )
            for peer in trades.peers.values()
        ),
    )
