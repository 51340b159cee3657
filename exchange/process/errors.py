"""Why a process cannot start or go on.  Each error knows its exit code (interfaces section 4)."""

from typing import TypeVar

INTERRUPTED = 130  # the exit code of a process that was asked to end at once
Found = TypeVar("Found", bound=BaseException)


class ProcessError(Exception):
    """Base: a message of what, where and remedy, and an exit code."""

    exit_code = 1

    def __init__(self, what: str, *, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")


class BadAddress(ProcessError):  # noqa: N818 - errors are named by fault
    """An address that is none, or one that must not be listened on."""

    exit_code = 2


class ListenFailed(ProcessError):  # noqa: N818
    """The port is taken, or not ours to take."""


def leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions in a tree of groups; one that is no group is its own leaf."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for part in error.exceptions for leaf in leaves(part)]


def first_of(error: BaseException, kind: type[Found]) -> Found | None:
    """Return the first error of a kind in a tree of groups."""
    return next((leaf for leaf in leaves(error) if isinstance(leaf, kind)), None)
