"""Logs that no honest node writes: frames changed, dropped or added, and chained anew."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import lmdb
import msgspec

from exchange.domain.units import Lsn
from exchange.engine.records import Record
from exchange.store.frames import FORMAT_VERSION, Frame, genesis, log_key, read_frame, seal_frame
from recovery.directory import DataDirectory
from recovery.pages import Walk

T = TypeVar("T")
Edit = Callable[[list[Frame]], list[Frame]]


def read_frames(path: Path) -> list[Frame]:
    """Return the frames of a directory's log."""
    with DataDirectory.open(path) as directory:
        entries = directory.pages.scan("log", Walk())
        return [read_frame(entry.key, entry.value) for entry in entries]


def rewrite(path: Path, edit: Edit) -> None:
    """Replace the log by an edited one with a right chain; the tables stay as they are."""
    with DataDirectory.open(path) as directory:
        digest = genesis(directory.identity)
    frames = edit(read_frames(path))
    with lmdb.open(str(path / "store"), max_dbs=32, map_size=1 << 26) as env:
        table = env.open_db(b"log")
        with env.begin(write=True, db=table) as txn:
            txn.drop(table, delete=False)
            for frame in frames:
                value, digest = seal_frame(frame, digest)
                txn.put(log_key(frame.first_lsn), value)


def append(*records: Record) -> Edit:
    """Add a frame with records at the end of the log."""

    def edit(frames: list[Frame]) -> list[Frame]:
        last = frames[-1]
        first_lsn = Lsn(last.last_lsn + 1)
        added = list(records)
        frame = Frame(FORMAT_VERSION, first_lsn, len(added), last.epoch, last.ts, last.seen, added)
        return [*frames, frame]

    return edit


def change(kind: type, make: Callable[[Record], Record]) -> Edit:
    """Change the last record of a kind."""

    def edit(frames: list[Frame]) -> list[Frame]:
        for index in range(len(frames) - 1, -1, -1):
            records = list(frames[index].records)
            for place in range(len(records) - 1, -1, -1):
                if isinstance(records[place], kind):
                    records[place] = make(records[place])
                    frames[index] = msgspec.structs.replace(frames[index], records=records)
                    return frames
        raise AssertionError(f"the log holds no {kind.__name__}")

    return edit


def drop_last_of(kind: type) -> Edit:
    """Drop the last frame that holds a record of a kind; LSNs leave a gap."""

    def edit(frames: list[Frame]) -> list[Frame]:
        for index in range(len(frames) - 1, -1, -1):
            if any(isinstance(record, kind) for record in frames[index].records):
                return frames[:index] + frames[index + 1 :]
        raise AssertionError(f"the log holds no {kind.__name__}")

    return edit


def records_of(path: Path, kind: "type[T]") -> Sequence[T]:
    """Return all records of a kind."""
    frames = read_frames(path)
    return [record for frame in frames for record in frame.records if isinstance(record, kind)]
