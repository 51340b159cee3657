"""Why a node cannot go on.  Each error knows its exit code (interfaces section 4)."""

from typing import TypeVar

Found = TypeVar("Found", bound=BaseException)


class NodeError(Exception):
    """Base: a message of what, where and remedy, and an exit code."""

    exit_code = 1

    def __init__(self, what: str, *, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")


class OldCopy(NodeError):  # noqa: N818 - errors are named by fault
    """The data directory is an old copy of itself: it must not go on (C3)."""

    exit_code = 4

    def __init__(self, reason: str) -> None:
        """Take what the engine says; it names the remedy."""
        super().__init__(reason, remedy="nothing it acknowledged since is in it")


class BadSetting(NodeError):  # noqa: N818
    """A setting that cannot be."""

    exit_code = 2


class Stalled(Exception):  # noqa: N818
    """The other side of a connection has not read anything for too long (faults 3)."""


def contains(error: BaseException, kind: type[BaseException]) -> bool:
    """Tell whether an error is of a kind, or a group that holds one."""
    return first_of(error, kind) is not None


def first_of(error: BaseException, kind: type[Found]) -> Found | None:
    """Return the first error of a kind in a tree of groups."""
    if isinstance(error, kind):
        return error
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            found = first_of(part, kind)
            if found is not None:
                return found
    return None
