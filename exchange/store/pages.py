"""The page structure of an LMDB file, checked before LMDB itself sees it.

LMDB trusts its file: a damaged page can crash the process that maps it.  `lmdb.verify` walks
the pages in Python and reports instead.  It proves structure, not content: a flipped bit in a
value is the business of our own digests (faults.md section 1).
"""

from pathlib import Path

import lmdb.verify

from exchange.store.errors import DamagedDirectory
from exchange.store.newest import is_newest

FORCE_FAILED = "force_failed"  # beside data.mdb, from a failed force until the next good one
WALKED_MAX = 1 << 25  # bytes walked at a start: under a second
SHOWN_MAX = 3  # problems named in the error; `exchange-recover verify` lists them all


def page_problems(file: Path) -> list[str]:
    """Return what is wrong with the pages of a data file at rest."""
    try:
        problems: list[str] = lmdb.verify.verify(str(file), subdir=False)  # type: ignore[no-untyped-call]
    except lmdb.verify.VerifyError as error:
        return [str(error)]
    return problems + meta_problems(file)


def meta_problems(file: Path) -> list[str]:
    """Return what is wrong with the meta pages, as far as it is seen in no time.

    After a force that failed the older page may speak of more than the newer: LMDB takes a meta
    page back by its number alone.  Nobody was told of that force, and the next one replaces it.
    """
    if (file.parent / FORCE_FAILED).exists():
        return []
    return [] if is_newest(file) else ["a meta page is damaged: it hides the last force"]


def check_pages(file: Path) -> None:
    """Raise DamagedDirectory if the pages are not in order.

    A large file is not walked: that takes 25 ms a MiB.
    """
    is_small = file.stat().st_size <= WALKED_MAX
    problems = page_problems(file) if is_small else meta_problems(file)
    if problems:
        shown = "; ".join(problems[:SHOWN_MAX])
        raise DamagedDirectory(file.parent.parent, f"pages of {file.name} are damaged: {shown}")
