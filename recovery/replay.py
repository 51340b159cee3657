"""Point in time: a directory as the node was after an LSN, or at a time (E2).

All frames up to there are applied again and written as they were written first, so digests and
chain are the same.  A frame is cut only where the LSN lies inside of it.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from exchange.store.frames import Frame
from recovery.bulk import NewDirectory
from recovery.chain import Chain
from recovery.directory import DataDirectory
from recovery.problems import EXIT_DAMAGED


class Replayed(msgspec.Struct):
    """What the new directory holds."""

    path: str
    node: int
    lsn: int
    digest: str
    is_cut: bool  # the last frame was cut: no peer has ever seen this digest
    left_out: int  # records of the old log behind it


class CannotReplay(Exception):  # noqa: N818 - a refusal with an exit code
    """Why no directory was made."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = code


def whole_chain(source: DataDirectory, archive: Path | None) -> Chain:
    """Return the log of a directory from its first record, unread."""
    if archive is not None:
        source.add_archive(archive)
    chain = Chain(source.base(), source.place)
    if chain.base.lsn:
        told = f"its log through LSN {chain.base.lsn} is archived; give --archive DIR"
        raise CannotReplay(f"{source.place}: {told}")
    return chain


def check_intact(chain: Chain) -> None:
    """Refuse a log that was read and is broken somewhere."""
    if chain.problems:
        found = chain.problems[0]
        remedy = "salvage it first, and give what that makes"
        raise CannotReplay(f"{found.place}: {found.detail}; {remedy}", EXIT_DAMAGED)


def replay(
    path: Path,
    to: Path,
    *,
    until_lsn: int | None = None,
    until_ts: int | None = None,
    archive: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """Build `to` from the log of `path`; NoDirectory or a StoreError where that is not possible."""
    with DataDirectory.open(path) as source:
        chain = whole_chain(source, archive)
        is_cut, is_over, left_out = False, False, 0
        with NewDirectory(to, source.identity) as new:
            for frame in chain.frames(source.log):
                if until_ts is not None and frame.ts > until_ts:
                    is_over = True
                if is_over or (until_lsn is not None and frame.first_lsn > until_lsn):
                    left_out += frame.count
                    continue
                if until_lsn is not None and frame.last_lsn > until_lsn:
                    left_out += frame.last_lsn - until_lsn
                    frame, is_cut = _cut(frame, until_lsn), True
                new.add(frame)
                progress(frame.count)
            if not is_over and not _reached(new, until_lsn):
                check_intact(chain)
            if until_lsn is not None and not _reached(new, until_lsn):
                end = f"its log ends at LSN {new.store.state.lsn}"
                raise CannotReplay(f"{source.place}: {end}; give no later --until")
            proof = new.finish()
        digest = proof.digest.hex()
        return Replayed(str(to), source.node_id, proof.lsn, digest, is_cut, left_out)


def _cut(frame: Frame, lsn: int) -> Frame:
    count = lsn - frame.first_lsn + 1
    return msgspec.structs.replace(frame, count=count, records=frame.records[:count])


def _reached(new: NewDirectory, until_lsn: int | None) -> bool:
    return until_lsn is not None and new.store.state.lsn == until_lsn
