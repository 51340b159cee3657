"""Write to the log of a node that does not run: what the operator decides, as ordinary records.

The directory is locked as a node locks it (W6), loaded and redone as a node does it, and gets
one more frame.  The epoch stays: nobody has spoken for this node.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from exchange.domain.units import Lsn, Micros, NodeId
from exchange.engine.apply import apply
from exchange.engine.messages import Proof, SealedProof
from exchange.engine.records import Record
from exchange.engine.state import State
from exchange.store.directory import STORE, UNACCEPTED, Directory
from exchange.store.errors import StoreError
from exchange.store.store import BootStep, Store
from recovery.directory import COORDINATORS, marked
from recovery.problems import EXIT_USAGE


class NotOfNode(StoreError):  # noqa: N818 - what the user gave us
    """There is no data of a node here."""

    exit_code = EXIT_USAGE


class OfflineNode:
    """A locked directory, open for writing.  Use it in a `with` block."""

    def __init__(self, directory: Directory, store: Store) -> None:
        self.directory = directory
        self.store = store

    @classmethod
    def open(cls, path: Path) -> Self:
        """Lock and load; DataDirInUse, or any error that keeps a node from starting."""
        found = marked(path)
        if found is not None and found.cluster == COORDINATORS:
            what = f"{path} is the directory of a coordinator; it has no trades"
            raise NotOfNode(what, remedy="give the --data-dir of a node")
        if not (path / STORE).exists() and not (path / UNACCEPTED).exists():
            remedy = "give the --data-dir of a node"
            raise NotOfNode(f"{path} is no data directory", remedy=remedy)
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

    def __exit__(self, *_: object) -> None:
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
        seen: Mapping[NodeId, SealedProof] | None = None,
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
