"""Read an LMDB data file without LMDB: safe on hostile files, and beside a running node.

Theory of operation
===================
The recovery tools must not trust the file they look at, and must not disturb who uses it.
LMDB maps the file and follows its page numbers blindly, so a damaged file can kill the
process; and a reader that LMDB knows of pins pages.  This module reads pages with `pread`,
checks every offset before using it, takes no lock and opens nothing for writing.

    page    | number u64, pad u16, flags u16, lower u16, upper u16 (overflow: pages u32), ...
    branch  | node: child page in 48 bits (low u16, high u16, flags u16), key size u16, key
    leaf    | node: data size u32 (low, high), flags u16, key size u16, key, data
    meta    | magic, version, address, map size, tree of free pages, main tree, last page, txnid

Pages are copied on write.  What a committed tree reaches is not overwritten by the next two
commits, so a reader that finds the transaction number at most one higher *after* reading a
leaf has read one consistent version of it.  Else it looks up its place in the new tree and
goes on: the log only grows, so a walk over it loses nothing by that.  A walk over tables
mixes two versions and says so in `Walk.moved`.

The layout is that of LMDB 0.9 on 64-bit hosts in native byte order, which is what W1 uses.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Self

MAGIC = 0xBEEFC0DE
VERSION = 1
HEADER = 16  # bytes before the content of a page
META_SIZE = 136
DEPTH_MAX = 32
ATTEMPTS_MAX = 200  # a node would have to commit twice within each of so many short reads
BRANCH, LEAF, OVERFLOW, META = 0x01, 0x02, 0x04, 0x08
BIG_DATA, SUB_DATA, DUPLICATES = 0x01, 0x02, 0x04
INVALID = (1 << 64) - 1
PAGE_SIZE = 4096  # what LMDB takes on every host we know; the meta pages say it
VALUE_MAX = 1 << 30  # above any frame; a size field above it is damage

_PAGE = struct.Struct("=QHHHH")
_NODE = struct.Struct("=HHHH")
_U32 = struct.Struct("=I")
_U64 = struct.Struct("=Q")
_TREE = struct.Struct("=IHHQQQQQ")
_META = struct.Struct("=IIQQ")


class BadFile(Exception):  # noqa: N818 - it is a finding, not an error of ours
    """The file is not what LMDB writes; the message says where."""


class Tree:
    """One B-tree as its parent describes it."""

    __slots__ = ("depth", "entries", "flags", "pad", "pages", "root")

    def __init__(self, raw: bytes) -> None:
        self.pad, self.flags, self.depth, *pages, self.entries, self.root = _TREE.unpack(raw)
        self.pages: int = sum(pages)


class Meta:
    """A meta page: which version of the trees is committed."""

    __slots__ = ("free", "last_page", "main", "map_size", "page_size", "txnid")

    last_page: int
    txnid: int
    map_size: int

    def __init__(self, raw: bytes, number: int) -> None:
        magic, version, _, self.map_size = _META.unpack_from(raw, HEADER)
        if magic != MAGIC:
            raise BadFile(f"meta page {number} has no LMDB magic number")
        if version != VERSION:
            raise BadFile(f"meta page {number} is of LMDB format {version}, not {VERSION}")
        self.free = Tree(raw[HEADER + 24 : HEADER + 72])
        self.main = Tree(raw[HEADER + 72 : HEADER + 120])
        self.last_page, self.txnid = struct.unpack_from("=QQ", raw, HEADER + 120)
        self.page_size: int = self.free.pad

    @classmethod
    def unknown(cls, pages: int) -> Self:
        """Return what stands for a meta page where none is readable: no trees, all pages."""
        empty = _TREE.pack(PAGE_SIZE, 0, 0, 0, 0, 0, 0, INVALID)
        head = bytes(HEADER) + _META.pack(MAGIC, VERSION, 0, 0)
        return cls(head + empty + empty + struct.pack("=QQ", max(pages - 1, 1), 0), 0)


class Entry:
    """A key and its value, and the page where the key stands."""

    __slots__ = ("key", "page", "value")

    def __init__(self, key: bytes, value: bytes, page: int) -> None:
        self.key, self.value, self.page = key, value, page


class Walk:
    """What a walk over one tree came across."""

    def __init__(self) -> None:
        self.damage: list[tuple[int, str]] = []  # page, what is wrong with it
        self.moved = False  # the tree changed under the walk
        self.entries = 0


class PageFile:
    """A data file, opened for reading only.  Close it, or use it in a `with` block."""

    def __init__(self, path: Path, *, is_lenient: bool = False) -> None:
        """Open a file; BadFile if its meta pages are no good, unless `is_lenient`."""
        self.path = path
        self._is_lenient = is_lenient
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.meta = self._read_meta()
            self.page_size = self.meta.page_size
            self._heads = b""  # of both meta pages when `meta` was chosen, or before
            self.refresh()
        except BaseException:
            os.close(self._file)
            raise
        self._tables: tuple[int, dict[str, Tree]] = (-1, {})  # of which version

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    @property
    def size(self) -> int:
        """Return the size of the file in bytes."""
        return os.fstat(self._file).st_size

    def refresh(self) -> None:
        """Look at the newest committed version from now on."""
        self._heads = self._read_heads()
        self.meta = self._read_meta()

    def has_moved(self) -> bool:
        """Tell whether pages of the version in `meta` may have been overwritten since."""
        if self._read_heads() == self._heads:
            return False
        return self._read_meta().txnid > self.meta.txnid + 1

    def _read_heads(self) -> bytes:
        return os.pread(self._file, self.page_size + HEADER + META_SIZE, 0)

    def tables(self) -> dict[str, Tree]:
        """Return the named tables of the main tree."""
        if self._tables[0] == self.meta.txnid:
            return self._tables[1]
        found: dict[str, Tree] = {}
        for _ in range(ATTEMPTS_MAX):
            walk, found = Walk(), {}
            for entry in self._entries(self.meta.main, b"", walk, sub_data=True):
                found[entry.key.decode("utf-8", "backslashreplace")] = Tree(entry.value)
            if not self.has_moved():
                if walk.damage:
                    page, detail = walk.damage[0]
                    raise BadFile(f"page {page} of the main tree: {detail}")
                self._tables = (self.meta.txnid, found)
                return found
            self.refresh()
        return found

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the value of a key; BadFile where the way to it is damaged."""
        walk = Walk()
        for entry in self.scan(table, walk, start=key):
            return entry.value if entry.key == key else None
        if walk.damage:
            raise BadFile(f"page {walk.damage[0][0]} of table {table}: {walk.damage[0][1]}")
        return None

    def scan(
        self, table: str, walk: Walk, *, start: bytes = b"", reverse: bool = False
    ) -> Iterator[Entry]:
        """Yield the entries of a table from a key on, in order, and note damage in `walk`.

        In reverse: from the last key <= `start` down; an empty `start` is the last key.
        """
        after: bytes | None = None  # the last key that was yielded
        while True:  # each pass but the last yields something, or finds a new tree
            tree = self.tables().get(table)
            if tree is None:
                return
            damage_before = len(walk.damage)
            moved, is_first_leaf = False, True
            place = start if after is None else after
            for leaf in self._leaves(tree, place, walk, reverse=reverse):
                if self.has_moved():
                    moved = True
                    break
                if is_first_leaf:  # later ones hold wanted keys alone
                    leaf = [
                        entry
                        for entry in leaf
                        if _is_wanted(entry.key, start=start, after=after, reverse=reverse)
                    ]
                    is_first_leaf = not leaf
                walk.entries += len(leaf)
                for entry in reversed(leaf) if reverse else leaf:
                    after = entry.key
                    yield entry
            if not moved and not self.has_moved():
                return
            del walk.damage[damage_before:]
            walk.moved = walk.moved or after is not None
            self.refresh()

    def raw_page(self, number: int) -> bytes:
        """Return the bytes of a page; shorter at the end of the file."""
        return os.pread(self._file, self.page_size, number * self.page_size)

    def raw_extent(self, number: int, pages: int) -> bytes:
        """Return the bytes of several pages that stand together."""
        return os.pread(self._file, self.page_size * pages, number * self.page_size)

    def leaf_entries(self, raw: bytes, number: int, walk: Walk) -> list[Entry]:
        """Return what can be read of a leaf page; `salvage` calls it for pages out of any tree."""
        return self._leaf(raw, number, walk, sub_data=False)

    def _entries(
        self, tree: Tree, start: bytes, walk: Walk, *, sub_data: bool = False
    ) -> Iterator[Entry]:
        for leaf in self._leaves(tree, start, walk, sub_data=sub_data):
            yield from leaf

    def _leaves(
        self,
        tree: Tree,
        start: bytes,
        walk: Walk,
        *,
        sub_data: bool = False,
        reverse: bool = False,
    ) -> Iterator[list[Entry]]:
        if tree.root == INVALID:
            return
        seen: set[int] = set()
        stack = [(tree.root, 1)]
        while stack:
            number, depth = stack.pop()
            try:
                raw, flags = self._page(number, depth, seen)
                if flags & LEAF:
                    yield self._leaf(raw, number, walk, sub_data=sub_data)
                else:
                    children = self._children(raw, start, reverse=reverse)
                    stack.extend((child, depth + 1) for child in children)
            except BadFile as damage:
                walk.damage.append((number, str(damage)))

    def _page(self, number: int, depth: int, seen: set[int]) -> tuple[bytes, int]:
        if number in seen:
            raise BadFile("the page is reached twice")
        seen.add(number)
        if depth > DEPTH_MAX:
            raise BadFile(f"the tree is deeper than {DEPTH_MAX}")
        if not 2 <= number <= self.meta.last_page:
            raise BadFile("the page number is outside of the file's pages")
        raw = self.raw_page(number)
        if len(raw) < self.page_size:
            raise BadFile("the page is beyond the end of the file")
        own_number, _, flags, _, _ = _PAGE.unpack_from(raw)
        if own_number != number:
            raise BadFile(f"the page says it is number {own_number}")
        if flags & ~0x10 not in (BRANCH, LEAF):
            raise BadFile(f"the page has flags {flags:#x}, neither branch nor leaf")
        return raw, flags

    def _nodes(self, raw: bytes) -> list[int]:
        lower, upper = struct.unpack_from("=HH", raw, 12)
        if lower < HEADER or lower % 2 or not lower <= upper <= self.page_size:
            raise BadFile("the bounds of the page are impossible")
        offsets = list(struct.unpack_from(f"={(lower - HEADER) // 2}H", raw, HEADER))
        if any(offset < upper or offset + 8 > self.page_size for offset in offsets):
            raise BadFile("a node lies outside of the page")
        return offsets

    def _children(self, raw: bytes, start: bytes, *, reverse: bool) -> list[int]:
        """Return the child pages that may hold wanted keys, the first one to visit last."""
        children: list[int] = []
        for index, offset in enumerate(self._nodes(raw)):
            low, high, top, key_size = _NODE.unpack_from(raw, offset)
            if offset + 8 + key_size > self.page_size:
                raise BadFile("a key overruns the page")
            key = raw[offset + 8 : offset + 8 + key_size]
            if index and start:
                if reverse and key > start:
                    break  # everything to the right is above `start`
                if not reverse and key <= start:
                    children.clear()  # everything to the left is below `start`
            children.append(low | high << 16 | top << 32)
        if not children:
            raise BadFile("a branch has no children")
        if not reverse:
            children.reverse()
        return children

    def _leaf(self, raw: bytes, number: int, walk: Walk, *, sub_data: bool) -> list[Entry]:
        page_size, unpack, found = self.page_size, _NODE.unpack_from, list[Entry]()
        for offset in self._nodes(raw):
            low, high, flags, key_size = unpack(raw, offset)
            size = low | high << 16
            at = offset + 8 + key_size
            if not flags and not sub_data and at + size <= page_size:  # nearly always
                found.append(Entry(raw[offset + 8 : at], raw[at : at + size], number))
                continue
            if at > page_size or (not flags & BIG_DATA and at + size > page_size):
                walk.damage.append((number, "a node overruns the page"))
                continue
            key = raw[offset + 8 : at]
            if bool(flags & SUB_DATA) != sub_data or flags & DUPLICATES:
                if flags & ~SUB_DATA or not sub_data:
                    walk.damage.append((number, f"a node has flags {flags:#x}"))
                continue
            if sub_data and size != _TREE.size:
                walk.damage.append((number, "a table's description has a wrong size"))
                continue
            if not flags & BIG_DATA:
                found.append(Entry(key, raw[at : at + size], number))
                continue
            try:
                found.append(Entry(key, self._big_value(raw, at, size), number))
            except BadFile as damage:
                walk.damage.append((number, f"value of key {key.hex()}: {damage}"))
        return found

    def _big_value(self, raw: bytes, at: int, size: int) -> bytes:
        if at + 8 > self.page_size or size > VALUE_MAX:
            raise BadFile("its description is impossible")
        (first,) = _U64.unpack_from(raw, at)
        pages = (HEADER + size - 1) // self.page_size + 1
        if not first >= 2 or first + pages - 1 > self.meta.last_page:
            raise BadFile(f"its pages from {first} are outside of the file's pages")
        extent = self.raw_extent(first, pages)
        if len(extent) < HEADER + size:
            raise BadFile(f"its pages from {first} are beyond the end of the file")
        own_number, _, flags, _, _ = _PAGE.unpack_from(extent)
        if self._is_lenient:
            return extent[HEADER : HEADER + size]
        if own_number != first or not flags & OVERFLOW:
            raise BadFile(f"page {first} is not the overflow page it should be")
        if _U32.unpack_from(extent, 12)[0] != pages:
            raise BadFile(f"page {first} counts another number of pages")
        return extent[HEADER : HEADER + size]

    def _read_meta(self) -> Meta:
        try:
            return self._choose_meta()
        except BadFile:
            if not self._is_lenient:
                raise
            return self._any_meta()

    def _any_meta(self) -> Meta:
        """Return the meta page that is left; one without trees if none is."""
        for place in (0, PAGE_SIZE):
            raw = os.pread(self._file, HEADER + META_SIZE, place)
            try:
                meta = Meta(raw, place // PAGE_SIZE)
            except (BadFile, struct.error):
                continue
            if meta.page_size == PAGE_SIZE:
                return meta
        return Meta.unknown(self.size // PAGE_SIZE)

    def _choose_meta(self) -> Meta:
        """Choose the meta page as LMDB does: the higher transaction number."""
        for _ in range(ATTEMPTS_MAX):
            first = os.pread(self._file, HEADER + META_SIZE, 0)
            if len(first) < HEADER + META_SIZE:
                raise BadFile("the file is too short for an LMDB environment")
            zero = Meta(first, 0)
            size = zero.page_size
            if not 256 <= size <= 1 << 15 or size & (size - 1):
                raise BadFile(f"page size {size} is impossible")
            second = os.pread(self._file, HEADER + META_SIZE, size)
            if len(second) < HEADER + META_SIZE:
                raise BadFile("the file is too short for its second meta page")
            if os.pread(self._file, HEADER + META_SIZE, 0) != first:
                continue  # a commit is just writing it
            one = Meta(second, 1)
            if one.page_size != size:
                raise BadFile("the two meta pages disagree about the page size")
            return one if zero.txnid < one.txnid else zero
        raise BadFile("the meta pages never hold still")


def _is_wanted(key: bytes, *, start: bytes, after: bytes | None, reverse: bool) -> bool:
    """Tell whether a scan has reached its start, and not yielded the key before."""
    if reverse:
        return (not start or key <= start) if after is None else key < after
    return key >= start if after is None else key > after
