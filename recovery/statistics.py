"""Count what is in a log: records by kind, frames by size, the time it spans."""

from collections import Counter

import msgspec

from exchange.engine.records import OrderPlaced
from exchange.store.frames import Frame
from recovery.show import time_text


class Statistics(msgspec.Struct):
    """What `log --stats` prints."""

    records: int = 0
    frames: int = 0
    first_lsn: int = 0
    last_lsn: int = 0
    first_ts: str = ""
    last_ts: str = ""
    boots: int = 0
    largest_frame: int = 0  # records
    records_per_frame: float = 0.0
    by_type: dict[str, int] = {}
    orders_by_symbol: dict[str, int] = {}


class Counting:
    """Counts frames; `result` may be asked for at any time."""

    def __init__(self) -> None:
        self.result = Statistics()
        self._types: Counter[str] = Counter()
        self._symbols: Counter[str] = Counter()

    def add(self, frame: Frame) -> None:
        """Count a frame."""
        result = self.result
        if not result.frames:
            result.first_lsn, result.first_ts = frame.first_lsn, time_text(frame.ts)
        result.frames += 1
        result.records += frame.count
        result.last_lsn, result.last_ts = frame.last_lsn, time_text(frame.ts)
        result.largest_frame = max(result.largest_frame, frame.count)
        for record in frame.records:
            self._types[type(record).__name__] += 1
            if isinstance(record, OrderPlaced):
                self._symbols[record.symbol] += 1

    def finish(self) -> Statistics:
        """Return the counts, the most frequent first."""
        result = self.result
        result.boots = self._types["Booted"]
        result.by_type = dict(self._types.most_common())
        result.orders_by_symbol = dict(self._symbols.most_common())
        if result.frames:
            result.records_per_frame = round(result.records / result.frames, 2)
        return result
