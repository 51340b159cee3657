"""Why a node cannot go on.  Each error knows its exit code (interfaces section 4)."""

from exchange.process.errors import ProcessError


class NodeError(ProcessError):
    """Base of what keeps a node from going on."""


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
