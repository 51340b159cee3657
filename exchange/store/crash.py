"""Named crash points: places where a test kills the process, named for what has happened.

`crash_point(name)` does nothing, unless

  - `crash.hook` is set: the simulator and in-process tests are called with the name, or
  - the process was started with `EXCHANGE_CRASH_POINT=name` or `name:k`: it kills itself with
    SIGKILL at the first, or k-th, passage.

`docs/recovery.md` has a row for each name; a test compares the two lists.
"""

import os
import signal
from collections.abc import Callable

CRASH_POINTS: dict[str, str] = {
    # exchange.store.directory
    "directory_locked_store_absent": "The directory is locked; nothing else is in it yet.",
    "new_store_forced_not_renamed": "The new environment is complete under its temporary name.",
    "new_store_renamed_directory_unforced": "It has its real name, in memory alone.",
    "store_created_identity_file_absent": "The store is durable, its plain marker is not there.",
    "ballast_released": "The disk was full; the ballast file is gone, the force failed.",
    # exchange.store.store: start
    "tables_loaded_log_not_redone": "The resident tables are in memory.",
    "frame_redone": "One frame of the tail is applied again.",
    "log_redone_epoch_unforced": "All of the tail is applied; the boot epoch is the old one.",
    "epoch_forced_nobody_told": "The new boot epoch is durable; no peer has heard of it.",
    # exchange.store.store: the life of a frame
    "frame_encoded_unforced": "Decided, applied, encoded; nothing of it is on the disk.",
    "checkpoint_encoded_unforced": "The dirty entries are encoded with the frame they belong to.",
    "write_begun_uncommitted": "Frame and entries are in the LMDB write; it is not committed.",
    "frame_forced_effects_held": "The frame is durable; no effect of it has left.",
    "checkpoint_forced_effects_held": "Frame and checkpoint are durable; no effect has left.",
    "checkpoint_forced_entries_kept": "The engine goes on; clean entries are not evicted yet.",
}

Hook = Callable[[str], None]
hook: Hook | None = None  # set by tests and by the simulator


def crash_point(name: str) -> None:
    """Die here, if a test asked for it."""
    if hook is not None:
        assert name in CRASH_POINTS, f"crash point {name} is not in the list"
        hook(name)


class KillAt:
    """A hook that kills this process at the k-th passage of one point."""

    def __init__(self, name: str, passage: int = 1) -> None:
        self._name = name
        self._left = passage

    def __call__(self, name: str) -> None:
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def hook_from(setting: str) -> Hook | None:
    """Make the hook that `EXCHANGE_CRASH_POINT` asks for; an unknown name is an error."""
    if not setting:
        return None
    name, _, passage = setting.partition(":")
    if name not in CRASH_POINTS or not (passage or "1").isdecimal():
        raise ValueError(f"EXCHANGE_CRASH_POINT={setting} names no crash point")
    return KillAt(name, int(passage or "1"))


hook = hook_from(os.environ.get("EXCHANGE_CRASH_POINT", ""))
