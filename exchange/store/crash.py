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
    # exchange.node.birth
    "birth_nonce_forced_unregistered": "The nonce of a new node is durable; nobody knows it.",
    "node_registered_store_absent": "The coordinator has given an id; the node has no store yet.",
    # exchange.node.crashes: decided, and in memory alone
    "order_decided_unforced": "An order is applied in memory; its record is not forced.",
    "offer_decided_unforced": "A taker is reserved in memory; the offer is not forced.",
    "acceptance_decided_unforced": "A maker is filled in memory; the acceptance is not forced.",
    "settlement_decided_unforced": "A reply is applied in memory; the settlement is not forced.",
    # exchange.node.crashes: forced, and nobody told
    "account_forced_coordinator_untold": "An account is durable; its id is not answered.",
    "order_forced_answer_unsent": "An order is durable; its client has no answer.",
    "cancel_forced_answer_unsent": "A cancel is durable; its client has no answer.",
    "offer_forced_unsent": "An offer is durable; the decider has not heard of it.",
    "acceptance_forced_reply_unsent": "The trade is committed; the proposer does not know.",
    "decline_forced_reply_unsent": "The offer is declined for ever; the proposer does not know.",
    "settlement_forced_ack_unsent": "The proposer is out of doubt; the decider does not know.",
    "peer_forced_hello_unsent": "A peer's incarnation is durable; its hello is not answered.",
    # exchange.node.crashes: the kernel has it
    "hello_sent": "A hello has left.",
    "events_sent": "Events of the own stream have left.",
    "snapshot_sent": "The end of a snapshot has left.",
    "offer_sent": "An offer has left.",
    "reply_sent": "A reply to an offer has left.",
    "ack_sent": "A watermark has left; the decider may forget.",
    "answer_sent": "An answer to a client has left.",
    # exchange.node.life
    "drained_checkpoint_absent": "A graceful stop has drained; its checkpoint is not made.",
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
