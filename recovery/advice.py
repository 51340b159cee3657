"""What to type next: each hint leads on, none leads back (interfaces 5).

found                                      | next
-------------------------------------------+---------------------------------------------
no data of a node, permissions, a version  | the remedy itself: nothing to type
`store/` is gone                           | recover-node, from the others
pages, frames, chain, identity             | salvage
rows of tables, the log in order           | replay: the log makes them anew
an old copy                                | recover-node with it as the backup
frozen trades                              | timeline
numbers wrong and every digest right       | bisect
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from recovery.directory import marked
from recovery.problems import Problem, Severity
from recovery.proof import Outcome, Verdict

OTHERS = "DIRS_OF_ALL_OTHER_NODES"

_SALVAGE = {
    "page_damaged",
    "identity_damaged",
    "frame_damaged",
    "chain_broken",
    "lsn_gap",
    "log_behind_checkpoint",
}
_REPLAY = {"table_damaged", "table_count", "table_unknown"}
_BRING_FORWARD = {"old_copy", "half_missing"}


class Looked(Protocol):
    """An inspection or a verification."""

    @property
    def paths(self) -> Sequence[str]:
        """Return what was asked for."""

    @property
    def in_doubt(self) -> Sequence[Verdict]:
        """Return the trades in doubt."""

    @property
    def problems(self) -> Sequence[Problem]:
        """Return what was found."""


def next_step(looked: Looked, *, is_verified: bool) -> str:
    """Return the command to type next, or what else to do."""
    for severity in (Severity.DAMAGE, Severity.USAGE):
        for found in looked.problems:
            if found.severity is severity:
                return _lead_on(found, looked.paths)
    codes = {found.code for found in looked.problems}
    paths = quoted(*looked.paths)
    for found in looked.problems:
        if found.code == "unaccepted":
            return f"exchange-recover recover-node --accept {found.place} {OTHERS} COORDINATOR_DIR"
    if any(verdict.verdict is not Outcome.UNDECIDED for verdict in looked.in_doubt):
        return f"exchange-recover resolve {paths} --plan plan.json   (or start both nodes)"
    if looked.in_doubt:
        return "start both nodes of each trade, or give the missing directory as well"
    if "heuristic_unchecked" in codes:
        return "start both nodes: the decider's answer is compared with the decision"
    return "nothing to do" if is_verified else f"exchange-recover verify {paths}"


def quoted(*paths: str) -> str:
    """Write paths as a shell takes them."""
    return " ".join(map(shlex.quote, paths))


def _lead_on(found: Problem, paths: Sequence[str]) -> str:
    path = path_of(found, paths)
    code = found.code
    if code == "trade_frozen":
        trade = found.place.removeprefix("trade ").partition(",")[0]
        return f"exchange-recover timeline {trade} {quoted(*paths)}"
    if found.severity is Severity.USAGE or path is None:
        return found.remedy
    if code in _SALVAGE:
        return f"exchange-recover salvage {quoted(path)} --to NEW_DIR"
    if code in _REPLAY:
        return f"exchange-recover replay {quoted(path)} --to NEW_DIR"
    if code == "store_missing":
        return f"exchange-recover recover-node --node {_number(path)} --to NEW_DIR {OTHERS}"
    if code in _BRING_FORWARD:
        start = f"exchange-recover recover-node --node {_number(path)} --backup"
        return f"{start} {quoted(path)} --to NEW_DIR {OTHERS}"
    if code == "ledger_unbalanced":
        return f"exchange-recover bisect {quoted(path)} --invariant ledger"
    if code.startswith("audit_") or code == "record_impossible":
        return f"exchange-recover bisect {quoted(path)} --invariant audit"
    return found.remedy


def _number(path: str) -> str:
    found = marked(Path(path))
    return str(found.node_id) if found else "N"


def path_of(found: Problem, paths: Sequence[str]) -> str | None:
    """Return the directory in which a problem stands, the longest name that fits."""
    fitting = [path for path in paths if found.place == path or found.place.startswith(f"{path} ")]
    return max(fitting, key=len, default=None)
