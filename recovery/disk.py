"""A data file as the store's disk: reads alone, through pages, beside a running node."""

from collections.abc import Iterator, Sequence

from exchange.store.disk import Change
from exchange.store.errors import DamagedDirectory
from recovery.pages import BadFile, PageFile, Walk


class PageDisk:
    """What `exchange.store` needs to load a state, without LMDB and without a lock.

    Each call looks at the newest committed version, as a read transaction would.
    """

    def __init__(self, pages: PageFile) -> None:
        self.pages = pages

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the durable value of a key."""
        try:
            self.pages.refresh()
            return self.pages.get(table, key)
        except BadFile as damage:
            raise DamagedDirectory(self.pages.path, str(damage)) from damage

    def scan(
        self, table: str, start: bytes = b"", *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in order; DamagedDirectory at the first damaged page."""
        walk = Walk()
        try:
            self.pages.refresh()
            for entry in self.pages.scan(table, walk, start=start, reverse=reverse):
                yield entry.key, entry.value
                if walk.damage:
                    break
        except BadFile as damage:
            raise DamagedDirectory(self.pages.path, str(damage)) from damage
        if walk.damage:
            page, detail = walk.damage[0]
            raise DamagedDirectory(self.pages.path, f"page {page} of table {table}: {detail}")

    def write(self, changes: Sequence[Change]) -> None:
        """Refuse: a reading verb never writes."""
        raise AssertionError("a directory opened for reading is written to")

    def close(self) -> None:
        """Close the data file."""
        self.pages.close()
