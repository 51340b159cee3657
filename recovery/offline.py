"""Write to the log of a node that does not run: what the operator decides, as ordinary records.

The directory is locked as a node locks it (W6), loaded and redone as a node does it, and gets
one more frame.  The epoch stays: nobody has spoken for this node.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from exchange.domain.units import Lsn, Micros, NodeId
from exchange.engine.apply import apply
from exchange.engine.messages import Proof
from exchange.engine.records import Record
from exchange.engine.state import State
from exchange.store.directory import STORE, Directory
from exchange.store.errors import DirectoryUnusable
from exchange.store.store import BootStep, Store


class OfflineNode:
    """A locked directory, open for writing.  Use it in a `with` block."""

    def __init__(self, directory: Directory, store: Store) -> None:
        self.directory = directory
        self.store = store

    @classmethod
    def open(cls, path: Path) -> Self:
        """Lock and load; DataDirInUse, or any error that keeps a node from starting."""
        if not (path / STORE).exists():
            raise DirectoryUnusable(f"{path} is no data directory", remedy="give the right path")
        directory = Directory.lock(path)
        try:
            identity = directory.identity()
            assert identity is not None, "the directory has a store"
            return cls(directory, Store.open(directory.open(), identity))
        except BaseException:
            directory.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.store.disk.close()
        self.directory.close()

    @property
    def state(self) -> State:
        """Return the state at the end of the log."""
        return self.store.state

    @property
    def proof(self) -> Proof:
        """Return the end of the log."""
        return self.store.proof

    def append(
        self,
        records: Sequence[Record],
        *,
        seen: Mapping[NodeId, Proof] | None = None,
        is_seen_replaced: bool = False,
        ts: Micros,
    ) -> Proof:
        """Apply records and force them as one frame; `seen` goes into its header if it is newer."""
        assert records, "a frame has records"
        state = self.state
        for record in records:
            apply(state, record)
            state.lsn = Lsn(state.lsn + 1)
        told = {
            peer: proof
            for peer, proof in (seen or {}).items()
            if is_seen_replaced or proof.lsn > state.peer(peer).seen_lsn
        }
        write = self.store.prepare(BootStep(list(records), state.lsn, told), ts=ts)
        proof = self.store.commit(write)
        self.store.committed(write)
        state.touched.clear()
        return proof

    def checkpoint(self) -> None:
        """Write the tables as they are now, if the log has grown since the last time."""
        step = BootStep([], self.state.lsn)
        write = self.store.prepare(step, ts=now(), force_checkpoint=True)
        self.store.commit(write)
        self.store.committed(write)


def now() -> Micros:
    """Return the wall clock."""
    return Micros(time.time_ns() // 1_000)
