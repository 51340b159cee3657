"""The chain of frames before the checkpoint, checked backwards from what is known (W4).

Redo checks every frame behind the checkpoint.  The frames before it are history: nothing of
them is redone, but a broken one means that this disk lies, so the newest of them are checked
at every start, and all of them by `exchange-recover verify`.
"""

import msgspec

from exchange.domain.units import Lsn
from exchange.engine.messages import Proof
from exchange.store.disk import Disk
from exchange.store.errors import DamagedLog
from exchange.store.frames import DIGEST_SIZE, check_frame, log_key, span_of


class Budget(msgspec.Struct, frozen=True):
    """How much history is checked at a start."""

    size: int = 1 << 30  # bytes: about a second of hashing
    frames: int = 400_000  # small frames cost by number: about a second of Python


def check_history(disk: Disk, newest: Proof, base: Proof, budget: Budget) -> Lsn:
    """Check the log from `newest` back; return the first LSN that is proven in order.

    Raises DamagedLog where a frame does not follow the one before it.
    """
    last, size = newest.lsn, 0
    younger: tuple[bytes, bytes] | None = None
    frames = disk.scan("log", log_key(newest.lsn), reverse=True)
    for number, (key, value) in enumerate(frames, 1):
        if last == base.lsn:
            raise DamagedLog(last, "a frame before the beginning of the log")
        first, count = span_of(key, value)
        if first + count - 1 != last:
            raise DamagedLog(last, f"missing: the frame before ends at LSN {first + count - 1}")
        digest = value[-DIGEST_SIZE:]
        if younger is not None:
            check_frame(*younger, digest)
        elif digest != newest.digest:
            raise DamagedLog(first, "not the frame that the checkpoint was made with")
        younger, last = (key, value), Lsn(first - 1)
        size += len(value)
        if size > budget.size or number > budget.frames:
            return Lsn(last + count + 1)
    if last != base.lsn:
        raise DamagedLog(last, "missing: the log begins behind it")
    if younger is not None:
        check_frame(*younger, base.digest)
    return Lsn(base.lsn + 1)
