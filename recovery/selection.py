"""Choose records: by LSN, kind, account, order, symbol; what `log` and `export` print.

Most records name an order, not its account or symbol, so a selection by these follows the log
from its first record (`recovery.subjects`).
"""

from collections.abc import Iterable, Iterator

import msgspec

from exchange.domain.units import Lsn, node_of, parse_id
from exchange.engine import records
from exchange.engine.records import Record
from exchange.store.frames import Frame
from recovery.amounts import amounts
from recovery.show import describe, time_text
from recovery.subjects import Subjects

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
    amounts: dict[str, str] = {}  # its prices, quantities and amounts, as people read them


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
        self.subjects = Subjects()

    def rows(self, frame: Frame) -> Iterator[Row]:
        """Yield the wanted records of a frame."""
        for lsn, record in enumerate(frame.records, frame.first_lsn):
            if self.wants(Lsn(lsn), record):
                name, fields = describe(record)
                text = amounts(record, self.subjects)
                yield Row(lsn, frame.epoch, time_text(frame.ts), name, fields, text)
            self.subjects.forget(record)

    def wants(self, lsn: Lsn, record: Record) -> bool:
        """Tell whether a record is wanted, and remember what later ones will name."""
        self.subjects.learn(record)
        if lsn < self.first_lsn or (self.last_lsn is not None and lsn > self.last_lsn):
            return False
        if self.kinds and not isinstance(record, self.kinds):
            return False
        return self._concerns(record)

    def _concerns(self, record: Record) -> bool:
        """Tell whether a record is about all that was asked for: order, account, symbol."""
        subjects = self.subjects
        if self.order is not None and self.order not in subjects.orders(record):
            return False
        if self.account is not None and self.account not in subjects.accounts(record):
            return False
        return self.symbol is None or self.symbol == subjects.symbol(record)


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
