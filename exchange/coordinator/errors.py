"""What can be wrong with a coordinator, or with reaching one.  Each error knows its exit code.

exit code | meaning                              | errors
----------+--------------------------------------+------------------------------------
    1     | it cannot be used just now           | RegistrationRefused, process.errors.ListenFailed
    2     | it is not what you meant             | process.errors.BadAddress
    3     | nobody answers there                 | CoordinatorUnreachable
    4     | it must not be used as it is         | DamagedRegistry, IdentityRefused
    5     | another process has it               | store.errors.DataDirInUse
"""

from pathlib import Path

from exchange.process.errors import ProcessError
from exchange.store.errors import StoreError


class CoordinatorError(ProcessError):
    """Base of what is wrong with a coordinator, or with reaching one."""


class CoordinatorUnreachable(CoordinatorError):  # noqa: N818 - errors are named by fault
    """A new node cannot do without its coordinator."""

    exit_code = 3

    def __init__(self, address: str, why: str) -> None:
        super().__init__(
            f"no coordinator answers at {address}: {why}",
            remedy="start one with `exchange-coordinator --data-dir PATH --listen "
            f"{address}`, or give the right --coordinator, with --tls if that one has it; "
            "a new node needs it once, to get its id",
        )


class RegistrationRefused(CoordinatorError):  # noqa: N818
    """The coordinator does not let this node in; asked again later it might."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"the coordinator refused this node ({code})", remedy=detail)
        self.code = code


class IdentityRefused(RegistrationRefused):
    """Must not go on: the node is an old copy, or one of two (C3)."""

    exit_code = 4


class DamagedRegistry(StoreError):  # noqa: N818
    """The registry is not what was written (W4)."""

    exit_code = 4

    def __init__(self, place: str, what: str, directory: str = "its data directory") -> None:
        super().__init__(
            f"the registry of the coordinator in {directory} is damaged at {place}: {what}",
            remedy="move that directory away, put the cluster.secret of any node into an empty one "
            "and start again: an empty coordinator learns the cluster from its nodes as they come "
            "back; let all of them return before new ones join",
        )
        self._place, self._found = place, what

    def inside(self, directory: Path) -> "DamagedRegistry":
        """Return the error with the directory named."""
        return DamagedRegistry(self._place, self._found, str(directory))


IDENTITY_CODES = frozenset({"old_epoch", "other_boot", "other_nonce", "other_id", "state_lost"})


def refused(code: str, detail: str) -> RegistrationRefused:
    """Return the error for a refused registration; some refusals mean: never go on (C3)."""
    kind = IdentityRefused if code in IDENTITY_CODES else RegistrationRefused
    return kind(code, detail)
