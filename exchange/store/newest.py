"""Is what LMDB takes for the newest state the newest?  Read from its two meta pages.

LMDB keeps two meta pages, written in turn, and believes the one with the higher transaction
number.  They have no checksum.  A flipped bit in a number makes LMDB believe the older one:
a state that is whole and in order, but lacks the last force (W4).  Until two more writes have
happened the state behind the other meta page is whole as well, so the end of the log in both
can be compared: it never goes back.

    page     number u64, pad u16, flags u16, lower u16, upper u16; then offsets of nodes, u16
    meta     at 16: magic u32, version u32, address u64, map size u64, free db, main db,
             last page u64, transaction u64
    db       pad u32 (page size, in the free db), flags u16, depth u16, counters 4 x u64, root u64
    node     low u16, high u16, flags u16, key size u16, key, data; in a branch page low, high
             and flags are the number of the child
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

HEADER = 16
META_SIZE = HEADER + 136
BRANCH = 0x01
NO_PAGE = (1 << 64) - 1
DEPTH_MAX = 32
PAGES_MAX = 64  # of the database of databases; it has one
PAGE_SIZE_MAX = 1 << 16

_META = struct.Struct("<II16x I44x 40xQ QQ")  # magic, version, page size, main root, last, txn
_PAGE = struct.Struct("<QHHHH")
_NODE = struct.Struct("<HHHH")
_ROOT_AT = 40  # in a db record


class Meta(msgspec.Struct, frozen=True):
    """What one meta page says."""

    transaction: int
    page_size: int
    root: int  # of the database of databases


def is_newest(file: Path) -> bool:
    """Tell whether the state that LMDB would read has the end of the log; True if unreadable."""
    with file.open("rb") as opened:
        first = _meta(opened, 0)
        second = first and _meta(opened, first.page_size)
        if not first or not second:
            return True  # no LMDB file: that is found elsewhere
        older, newer = sorted([first, second], key=lambda meta: meta.transaction)
        return _last_key(opened, newer) >= _last_key(opened, older)


def _meta(file: BinaryIO, at: int) -> Meta | None:
    file.seek(at)
    page = file.read(META_SIZE)
    if len(page) < META_SIZE:
        return None
    _, _, page_size, root, _, transaction = _META.unpack_from(page, HEADER)
    if not META_SIZE < page_size <= PAGE_SIZE_MAX:
        return None
    return Meta(transaction, page_size, root)


def _last_key(file: BinaryIO, meta: Meta) -> bytes:
    """Return the last key of table `log` as one meta page has it; empty if there is none."""
    try:
        for key, data in _leaf(file, meta, meta.root, is_last=False):
            if key == b"log":
                root = int.from_bytes(data[_ROOT_AT : _ROOT_AT + 8], "little")
                *_, (last, _) = _leaf(file, meta, root, is_last=True)
                return last
    except (struct.error, ValueError, OSError, OverflowError):
        pass  # not the structure of LMDB: the other checks name it
    return b""


def _leaf(
    file: BinaryIO, meta: Meta, number: int, *, is_last: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, data) of the leaf at the end of a tree, or of every leaf of a small tree."""
    pages = [number]
    for _ in range(DEPTH_MAX):
        if not 0 < len(pages) <= PAGES_MAX or NO_PAGE in pages:
            return
        images = [_page(file, meta, number) for number in pages]
        if not _PAGE.unpack_from(images[0])[2] & BRANCH:
            for image in images:
                for at in _nodes(image):
                    yield _entry(image, at)
            return
        pages = [_child(image, at) for image in images for at in _nodes(image)]
        if is_last:
            pages = pages[-1:]


def _page(file: BinaryIO, meta: Meta, number: int) -> bytes:
    file.seek(number * meta.page_size)
    return file.read(meta.page_size)


def _nodes(page: bytes) -> tuple[int, ...]:
    lower = _PAGE.unpack_from(page)[3]
    return struct.unpack_from(f"<{(lower - HEADER) // 2}H", page, HEADER)


def _child(page: bytes, at: int) -> int:
    low, high, flags, _ = _NODE.unpack_from(page, at)
    number: int = low | high << 16 | flags << 32
    return number


def _entry(page: bytes, at: int) -> tuple[bytes, bytes]:
    low, high, _, size = _NODE.unpack_from(page, at)
    begin = at + _NODE.size
    return page[begin : begin + size], page[begin + size : begin + size + (low | high << 16)]
