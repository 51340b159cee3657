"""Choose records: by LSN, kind, account, order, symbol; what `log` and `export` print.

Most records name an order, not its account or symbol, so a selection by these follows the log
from its first record and remembers the orders it has met.
"""

from collections.abc import Iterable, Iterator

import msgspec

from exchange.domain.units import Lsn, node_of, parse_id
from exchange.engine import records
from exchange.engine.records import OrderPlaced, OrderRejected, Record
from exchange.store.frames import Frame
from recovery.show import describe, time_text

KINDS: dict[str, type] = {
    name: kind
    for name, kind in vars(records).items()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__struct_config__.tag
}


class Row(msgspec.Struct, frozen=True):
    """One record, as it is shown."""

    lsn: int
    epoch: int
    ts: str
    type: str
    record: dict[str, object]


class Selection:
    """Which records are wanted.  Feed it every frame, in order."""

    def __init__(
        self,
        *,
        first_lsn: int = 1,
        last_lsn: int | None = None,
        kinds: Iterable[str] = (),
        account: str | None = None,
        order: str | None = None,
        symbol: str | None = None,
    ) -> None:
        """Raise ValueError where an id or a kind is none."""
        self.first_lsn = first_lsn
        self.last_lsn = last_lsn
        self.kinds = tuple(_kind(name) for name in kinds)
        self.account = _id(account)
        self.order = _id(order)
        self.symbol = symbol
        self._orders: set[int] = set() if self.order is None else {self.order}
        self._trades: set[tuple[object, object]] = set()  # offers of wanted orders

    def rows(self, frame: Frame) -> Iterator[Row]:
        """Yield the wanted records of a frame."""
        for lsn, record in enumerate(frame.records, frame.first_lsn):
            if self.wants(Lsn(lsn), record):
                name, fields = describe(record)
                yield Row(lsn, frame.epoch, time_text(frame.ts), name, fields)

    def wants(self, lsn: Lsn, record: Record) -> bool:
        """Tell whether a record is wanted, and remember what later ones will name."""
        concerned = self._concerns(record)
        if lsn < self.first_lsn or (self.last_lsn is not None and lsn > self.last_lsn):
            return False
        return concerned and (not self.kinds or isinstance(record, self.kinds))

    def _concerns(self, record: Record) -> bool:
        """Tell whether a record is about the account, order or symbol."""
        if self.account is None and self.order is None and self.symbol is None:
            return True
        if isinstance(record, OrderPlaced | OrderRejected):
            if self._is_one_of_ours(record):
                self._orders.add(record.order_id)
            return record.order_id in self._orders
        named = {getattr(record, name, None) for name in ("order_id", "maker", "taker")}
        peer = getattr(record, "decider", getattr(record, "proposer", None))
        offer = (peer, getattr(record, "offer_id", None))
        if not named.isdisjoint(self._orders):
            self._trades.add(offer)
            return True
        if offer[1] is not None and offer in self._trades:
            return True
        if self.order is not None:
            return False
        if self.account is not None:
            return getattr(record, "account", None) == self.account
        instrument = getattr(record, "instrument", None)
        return instrument is not None and instrument.symbol == self.symbol

    def _is_one_of_ours(self, record: OrderPlaced | OrderRejected) -> bool:
        if self.order is not None:
            return record.order_id == self.order
        if self.account is not None and record.account != self.account:
            return False
        return self.symbol is None or record.symbol == self.symbol


def _kind(name: str) -> type:
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError(f"{name} is no kind of record; there are {', '.join(sorted(KINDS))}")
    return kind


def _id(text: str | None) -> int | None:
    if text is None:
        return None
    packed = parse_id(text)
    if packed is None or not node_of(packed):
        raise ValueError(f"{text!r} is no id; ids look like 3-17")
    return packed
