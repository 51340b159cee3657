"""Problems: what the tools found, as rows that an operator can act on.

    severity | meaning                                            | exit code
    ---------+----------------------------------------------------+----------
    damage   | data is lost, changed or contradicts other data    | 4
    usage    | a path that is not what the verb takes             | 2
    doubt    | a trade whose outcome is not on disk on both sides | 6
    note     | worth knowing, nothing to do                       | 0

`CODES` lists every code; `docs/operating.md` explains each, and a test compares the lists.
"""

from enum import StrEnum

import msgspec

from recovery.audit.findings import RULES

EXIT_CLEAN = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DAMAGED = 4
EXIT_IN_USE = 5
EXIT_IN_DOUBT = 6

DETAIL_MAX = 400  # characters: what stands in a damaged file may be long

_RESTORE = "do not start the node; salvage into a new directory, then compare with its peers"
_REBUILD = "do not start the node; rebuild the tables with `replay`, or recover-node from peers"
_REBUILD_NODE = "do not start a new node over it; find the copy, or recover-node from peers"
_OURS = "keep both directories as they are and report it: this is a fault of the exchange"

# code: what it means, what to do about it
CODES: dict[str, tuple[str, str]] = {
    "not_a_data_directory": ("There is no data of a node here.", "give the --data-dir of a node"),
    "store_missing": ("A directory has lost the data of its node.", _REBUILD_NODE),
    "unreadable": ("A file cannot be opened.", "check its owner and permissions"),
    "newer_format": ("Written by a later version.", "use that version of exchange-recover"),
    "page_damaged": ("A page of the data file is not what LMDB writes.", _RESTORE),
    "identity_damaged": ("It is not readable whose data this is.", _RESTORE),
    "other_store": (
        "The store in a directory is not the one that was made there.",
        "do not start it; put each `store/` back beside its own file `identity`",
    ),
    "frame_damaged": ("A frame is not what was written.", _RESTORE),
    "chain_broken": ("A frame does not follow the frame before it.", _RESTORE),
    "lsn_gap": ("Records are missing in the middle of the log.", _RESTORE),
    "log_behind_checkpoint": ("The log ends before the checkpoint.", _RESTORE),
    "record_impossible": ("A record cannot follow from those before it.", _OURS),
    "table_damaged": ("An entry of a checkpoint table is not what was written.", _REBUILD),
    "table_count": ("Entries of a checkpoint table are missing or too many.", _REBUILD),
    "table_unknown": ("The data file holds a table that no version writes.", _REBUILD),
    "ledger_unbalanced": ("An asset does not sum to zero over the node.", _OURS),
    "same_node_twice": ("Two directories are of one node.", "give each node once"),
    "archive_damaged": (
        "An archived segment is missing, or is not what was written.",
        "give the directory that `archive --to` has named, or another copy of it",
    ),
    "other_cluster": ("The directories are of different clusters.", "give one cluster's nodes"),
    "halves_differ": ("The two nodes of a trade wrote different terms.", _OURS),
    "half_missing": (
        "One node counts on a half of a trade that the other does not have.",
        "one of the directories is an old copy: find the newer one, or recover-node",
    ),
    "old_copy": (
        "A peer has seen a later log of this node than this one.",
        "do not start it: find the newer directory, or use recover-node to bring it forward",
    ),
    "in_doubt": ("An offer has no answer on disk at its proposer.", "start both nodes"),
    "heuristic_unchecked": (
        "An operator decided a trade; its decider has not been heard yet.",
        "start both nodes: the decider's answer is compared with the decision",
    ),
    "trade_frozen": (
        "An operator and the decider decided a trade differently.",
        "see `timeline`; correct the balances by deposit and withdrawal, then `forget` it",
    ),
    "unaccepted": (
        "Rebuilt by `recover-node`, and not accepted yet.",
        "read recovery.json in it, then `recover-node --accept`",
    ),
    "moving": ("The node is running and changed what was being read.", "stop it and run again"),
    "unread": ("A part could not be checked.", "see the detail"),
}

CODES |= {code: (f"The auditor: {rule}.", _OURS) for code, rule in RULES.items()}


class Severity(StrEnum):
    DAMAGE = "damage"
    USAGE = "usage"
    DOUBT = "doubt"
    NOTE = "note"


class Problem(msgspec.Struct, frozen=True):
    """One row: what, where, what to do."""

    severity: Severity
    code: str
    place: str
    detail: str
    remedy: str

    @property
    def sentence(self) -> str:
        """Return all of it on one line."""
        return f"{self.place}: {self.detail}; {self.remedy}"


SEVERITIES = {
    "not_a_data_directory": Severity.USAGE,
    "same_node_twice": Severity.USAGE,
    "other_cluster": Severity.USAGE,
    "unreadable": Severity.USAGE,
    "in_doubt": Severity.DOUBT,
    "heuristic_unchecked": Severity.DOUBT,
    "unaccepted": Severity.DOUBT,
    "moving": Severity.NOTE,
    "unread": Severity.NOTE,
}  # the others are damage


def problem(code: str, place: str, detail: str, *, severity: Severity | None = None) -> Problem:
    """Make a row; the remedy belongs to the code."""
    severity = severity or SEVERITIES.get(code, Severity.DAMAGE)
    return Problem(severity, code, place, printable(detail), CODES[code][1])


def printable(text: str) -> str:
    """Make text from a file fit for a terminal: bounded, and no control characters."""
    clean = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return clean if len(clean) <= DETAIL_MAX else clean[:DETAIL_MAX] + "..."


def exit_code(problems: list[Problem]) -> int:
    """Return the exit code that the problems ask for: the worst wins."""
    severities = {found.severity for found in problems}
    if Severity.DAMAGE in severities:
        return EXIT_DAMAGED
    if Severity.USAGE in severities:
        return EXIT_USAGE
    return EXIT_IN_DOUBT if Severity.DOUBT in severities else EXIT_CLEAN
