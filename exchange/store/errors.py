"""What can be wrong with a data directory.  Each error knows its exit code and names a remedy.

exit code | meaning                        | errors
----------+--------------------------------+------------------------------------------
    1     | it cannot be used just now     | StoreFailed, DirectoryUnusable
    2     | it is not the one you meant    | WrongDirectory
    4     | it must not be used as it is   | DamagedLog, DamagedTable, DamagedDirectory,
          |                                | NewerFormat
    5     | another process has it         | DataDirInUse
"""

from pathlib import Path


class StoreError(Exception):
    """Base of all errors of the store: a message of what, where and remedy, and an exit code."""

    exit_code = 1

    def __init__(self, what: str, *, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy


class StoreFailed(StoreError):  # noqa: N818 - the word of design rule E4
    """A force failed, its outcome is unknown: close, reopen, redo, go on (E4)."""

    def __init__(self, what: str, *, is_full: bool = False) -> None:
        remedy = "make room on the disk" if is_full else "check the disk"
        super().__init__(what, remedy=f"{remedy}, then start again: nothing acknowledged is lost")
        self.is_full = is_full


class DirectoryUnusable(StoreError):  # noqa: N818
    """The directory cannot be read or written: permissions, a read-only or a full disk."""


class WrongDirectory(StoreError):  # noqa: N818
    """The directory is in order, but of another node or another cluster (C3)."""

    exit_code = 2


class DamagedLog(StoreError):  # noqa: N818
    """The log is broken at `lsn`; a node never starts on it (W4)."""

    exit_code = 4

    def __init__(self, lsn: int, what: str) -> None:
        super().__init__(
            f"the log is damaged at LSN {lsn}: {what}",
            remedy="do not start the node; run `exchange-recover verify` on the directory",
        )
        self.lsn = lsn


class DamagedTable(StoreError):  # noqa: N818
    """An entry of a checkpoint table is not what was written (W5)."""

    exit_code = 4

    def __init__(self, table: str, key: str, what: str) -> None:
        place = f"table {table}, key {key}" if key else f"table {table}"
        super().__init__(
            f"{place}: {what}",
            remedy="do not start the node; run `exchange-recover verify` on the directory",
        )
        self.table = table
        self.key = key


class DamagedDirectory(StoreError):  # noqa: N818
    """Files are missing, do not belong together, or are no database (W4, W6)."""

    exit_code = 4

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            f"data directory {path}: {what}",
            remedy="do not start the node; run `exchange-recover verify` on the directory",
        )
        self.path = path


class NewerFormat(StoreError):  # noqa: N818
    """Written by a later version of this program."""

    exit_code = 4

    def __init__(self, found: int, *, known: int) -> None:
        super().__init__(
            f"the data is in store format {found}, this program reads up to {known}",
            remedy="start it with the newer version, or convert it with that version's "
            "`exchange-recover dump`",
        )
        self.found = found


class DataDirInUse(StoreError):  # noqa: N818
    """Another process holds the lock of the directory (W6)."""

    exit_code = 5

    def __init__(self, path: Path, *, holder: int | None) -> None:
        process = f"process {holder}" if holder else "another process"
        super().__init__(
            f"data directory {path} is in use by {process}",
            remedy="stop that process first, or give another directory",
        )
        self.path = path
        self.holder = holder
